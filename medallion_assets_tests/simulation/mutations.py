"""Bugs planted in the pipeline, to see whether histories find them: `make prove-mutations`.

Each mutation is a context manager: while inside, the pipeline has that bug. CAUGHT says which seed finds it; the suite
plays just those seeds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AssertRefSnapshotId

from medallion_assets.backfill import backfill, bronze_rows, handover, known
from medallion_assets.backfill.progress import Done, write_progress
from medallion_assets.capture import handler, position, write_bronze
from medallion_assets.capture.position import Position
from medallion_assets.checks.results import CheckResult
from medallion_assets.errors import LakeUnavailable
from medallion_assets.gold import changes as gold_changes
from medallion_assets.gold import refresh as gold_refresh
from medallion_assets.lake import commit, maintenance, merge
from medallion_assets.lake.commit import Staged
from medallion_assets.lake.publish import publish
from medallion_assets.scheduling import planner
from medallion_assets.silver import batch, batches, changes, decode, source_format
from medallion_assets.silver.table import IS_DELETION, POSITION, SEQUENCE, ensure_silver_table
from medallion_assets.simulation.harness import capture as simulated_capture
from medallion_assets.simulation.harness import daemon, lake
from medallion_assets.simulation.harness.histories import draw
from medallion_assets.simulation.harness.lake import patched
from medallion_assets.simulation.harness.play import play

MAX_SEEDS: Final = 200

CAUGHT: Final[dict[str, int]] = {
    "skip_the_version_guard": 10,
    "compare_numbers_as_unpadded_text": 0,
    "order_all_streams_by_number_alone": 72,
    "forget_deleted_keys": 0,
    "drop_tombstones": 0,
    "advance_the_position_before_the_commit": 0,
    "publish_before_the_audit": 1,
    "publish_whatever_the_audit_says": 51,
    "treat_a_retry_as_new": 5,
    "lose_the_look_back": 0,
    "forget_the_day_a_row_was_of": 0,
    "keep_the_rows_of_a_key_that_is_gone": 21,
    "overlook_the_rows_of_a_mart": 1,
    "overlook_a_mart_made_by_hand": 1,
    "skip_the_enrichment_refresh": 2,
    "acknowledge_before_the_write": 6,
    "float_instead_of_decimal": 2,
    "report_the_highest_failure": 9,
    "commit_whoever_was_faster": 23,
    "drop_bad_rows": 0,
    "compact_deleted_rows_back": 0,
    "take_a_killed_run_for_a_good_one": 156,
    "pass_over_an_older_day": 23,
    "show_soft_deleted_items": 8,
    "forget_the_zone_of_times": 2,
    "delete_rows_that_expired": 5,
    "leave_items_that_moved": 4,
    "take_every_item_for_the_entity": 2,
    "load_rows_newer_than_the_stream": 17,
    "load_before_earlier_changes_are_merged": 603,
    "load_a_snapshot_from_before_the_capture": 600,
    "keep_keys_that_went_while_changes_were_lost": 70,
}
"""By mutation: a seed whose history finds it. Without one, `make prove-mutations` searches."""


@contextmanager
def in_sql(*changes: tuple[str, str]) -> Iterator[None]:
    """While inside, DuckDB runs other SQL: these patterns are replaced, each at least once a history that matters."""
    real = lake._Connection.execute

    def execute(self: Any, query: str, *parameters: Any) -> Any:
        for pattern, by in changes:
            query = re.sub(pattern, by, query)
        return real(self, query, *parameters)

    with patched((lake._Connection, "execute", execute)):
        yield


@contextmanager
def skip_the_version_guard() -> Iterator[None]:
    """Whatever is merged replaces what is there, older or newer."""
    with patched((merge, "files_surely_older", lambda schema, files, rows, order_by: list(files))):
        yield


@contextmanager
def compare_numbers_as_unpadded_text() -> Iterator[None]:
    """99 is newer than 100."""
    short = r"ltrim(\1, '0')"
    with (
        patched((merge, "files_surely_older", lambda schema, files, rows, order_by: [])),
        in_sql(
            (r"arg_max\(_row, \((_sequence_number)", rf"arg_max(_row, ({short}"),
            (r"(t\.c\d+) < (i\.c\d+) THEN 'older'", r"ltrim(\1, '0') < ltrim(\2, '0') THEN 'older'"),
        ),
    ):
        yield


@contextmanager
def order_all_streams_by_number_alone() -> Iterator[None]:
    """A table that was made anew has lower numbers, and its rows lose to the old ones."""
    real = merge.stage_merge

    def stage(*given: Any, **more: Any) -> Any:
        return real(*given, **{**more, "order_by": [SEQUENCE]})

    with patched((batch, "stage_merge", stage)):
        yield


@contextmanager
def forget_deleted_keys() -> Iterator[None]:
    """A deletion removes its row, and nothing remembers it."""
    with patched((batch, "record_tombstones", lambda *given, **more: None)):
        yield


@contextmanager
def drop_tombstones() -> Iterator[None]:
    """A deletion is understood and forgotten."""
    real = changes.read_changes

    def read(*given: Any, **more: Any) -> Any:
        for found in real(*given, **more):
            rows = found.rows.filter(pc.invert(found.rows[IS_DELETION]))
            yield replace(found, rows=rows, rows_in=found.rows_in - found.rows.num_rows + rows.num_rows)

    with patched((batches, "read_changes", read)):
        yield


@contextmanager
def advance_the_position_before_the_commit() -> Iterator[None]:
    """The objects are ticked off, then they are merged."""
    real = batch.Merger.merge

    def merge_(self: Any, changes: Any, *, advance: Callable[[Position], Position]) -> Any:
        table = ensure_silver_table(self.lake, self.contract, self.schema)
        at = Position.from_json(text) if (text := table.properties.get(POSITION)) else Position.start()
        nothing = Staged(".".join(table.name()), table.metadata.current_snapshot_id)
        publish(self.lake, table, nothing, properties={POSITION: advance(at).to_json()})
        return real(self, changes, advance=advance)

    with patched((batch.Merger, "merge", merge_)):
        yield


@contextmanager
def publish_before_the_audit() -> Iterator[None]:
    """Readers see a batch, then it is audited."""
    real = batch.Merger._audit

    def audit(self: Any, connection: Any, table: Any, result: Any, *, staged: Staged, **more: Any) -> Any:
        as_planned = self.lake.table(*table.name())
        publish(self.lake, table, staged)
        return real(self, connection, as_planned, result, staged=staged, **more)

    with patched((batch.Merger, "_audit", audit)):
        yield


@contextmanager
def publish_whatever_the_audit_says() -> Iterator[None]:
    """A failed audit is shown, and the batch is published all the same."""
    with patched((CheckResult, "blocks_publish", property(lambda self: False))):
        yield


@contextmanager
def treat_a_retry_as_new() -> Iterator[None]:
    """A change that is in the table already is added once more."""
    real = merge._match

    def find(connection: Any, *given: Any, **more: Any) -> None:
        real(connection, *given, **more)
        connection.execute("DELETE FROM decided WHERE verdict = 'equal'")

    with patched((merge, "_match", find)):
        yield


@contextmanager
def lose_the_look_back() -> Iterator[None]:
    """A reader goes on from the newest name it knows, not from 15 minutes before."""
    with patched((position, "LATEST_WRITE", timedelta(0))):
        yield


@contextmanager
def forget_the_day_a_row_was_of() -> Iterator[None]:
    """A mart refreshes the days that rows came to, not those they left."""
    real = gold_changes.changed_rows  # type: ignore[attr-defined]

    def changed(*given: Any, **more: Any) -> Any:
        rows = real(*given, **more)
        return None if rows is None else rows.filter(pc.equal(rows["_side"], "new"))

    with patched((gold_changes, "changed_rows", changed)):
        yield


@contextmanager
def keep_the_rows_of_a_key_that_is_gone() -> Iterator[None]:
    """A refresh by keys replaces the rows of the keys that it has computed rows of, not of those that have none now."""
    real = gold_refresh.stage_replace  # type: ignore[attr-defined]

    def staged(lake: Any, table: Any, rows: Any, *, only: Any, **more: Any) -> Any:
        if only is not None and table.name()[1] == "region_totals":
            only = (only[0], pc.unique(rows[only[0]]))
        return real(lake, table, rows, only=only, **more)

    with patched((gold_refresh, "stage_replace", staged)):
        yield


@contextmanager
def overlook_the_rows_of_a_mart() -> Iterator[None]:
    """A mart is refreshed for changes of Silver, not for those of the marts that it reads."""
    real = gold_changes._affected_by

    def affected(lake: Any, mart: Any, tables: Any, changed: str, **more: Any) -> Any:
        return (
            pa.chunked_array([], pa.null()) if changed in mart.upstream else real(lake, mart, tables, changed, **more)
        )

    with patched((gold_changes, "_affected_by", affected)):
        yield


@contextmanager
def overlook_a_mart_made_by_hand() -> Iterator[None]:
    """What follows a mart that a person or a new day computed is not refreshed."""
    with patched((planner.Graph, "read", planner.Graph.tables)):
        yield


@contextmanager
def skip_the_enrichment_refresh() -> Iterator[None]:
    """Only incoming rows get the referenced row's values."""
    with patched((batch, "find_outdated", lambda connection, lake, table, referenced: None)):
        yield


@contextmanager
def acknowledge_before_the_write() -> Iterator[None]:
    """Capture says a batch is done although Bronze did not take it."""
    real = write_bronze.write_bronze

    def hasty(*given: Any, **more: Any) -> list[str]:
        try:
            return real(*given, **more)
        except LakeUnavailable:
            return []

    with patched((handler, "write_bronze", hasty), (simulated_capture, "write_bronze", hasty)):
        yield


@contextmanager
def float_instead_of_decimal() -> Iterator[None]:
    """A number is a double on its way to a decimal."""
    real = decode.decode_sql

    def sql(contract: Any) -> str:
        return re.sub(r"::(DECIMAL\(\d+, \d+\))", r"::DOUBLE::\1", real(contract))

    with patched((decode, "decode_sql", sql)):
        yield


@contextmanager
def report_the_highest_failure() -> Iterator[None]:
    """The function reports the last record that failed: the stream goes on after the first."""
    real = write_bronze.write_bronze

    def lowest_left_out(*given: Any, **more: Any) -> list[str]:
        return real(*given, **more)[-1:]

    with patched((handler, "write_bronze", lowest_left_out), (simulated_capture, "write_bronze", lowest_left_out)):
        yield


class _Nothing(AssertRefSnapshotId):
    """A requirement that every table meets."""

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]
        return


@contextmanager
def commit_whoever_was_faster() -> Iterator[None]:
    """A commit does not ask whether main is still the snapshot it was planned on."""
    with patched((commit, "AssertRefSnapshotId", _Nothing)):
        yield


@contextmanager
def drop_bad_rows() -> Iterator[None]:
    """A row that breaks its contract is counted and not kept."""
    with patched((batch, "quarantine_rows", lambda *given, **more: None)):
        yield


@contextmanager
def compact_deleted_rows_back() -> Iterator[None]:
    """Compaction forgets the position deletes of the files it folds."""
    real = maintenance._live_rows

    def rows(connection: Any, table: Any, files: Any, delete_files: Any) -> pa.Table:
        return real(connection, table, files, [])

    with patched((maintenance, "_live_rows", rows)):
        yield


@contextmanager
def take_a_killed_run_for_a_good_one() -> Iterator[None]:
    """What a run was for is forgotten when the run ends, however it ended."""

    def all_succeeded(nodes: Any, steps: Any) -> Any:
        return dict.fromkeys(nodes, "succeeded")

    with patched((daemon, "read_outcomes", all_succeeded), (planner, "read_outcomes", all_succeeded)):
        yield


@contextmanager
def pass_over_an_older_day() -> Iterator[None]:
    """A day made again moves the position although objects of the day before are not merged."""
    with patched((batches, "_merge", partial(_moving, batches._merge))):
        yield


@contextmanager
def forget_the_zone_of_times() -> Iterator[None]:
    """A time without an offset is one of UTC."""
    real = source_format._iso_time
    with patched((source_format, "_iso_time", lambda zone, text: real(zone and "UTC", text))):
        yield


@contextmanager
def show_soft_deleted_items() -> Iterator[None]:
    """An item that its contract calls deleted stays in Silver."""
    with patched((decode, "is_soft_deleted", lambda contract, image: "FALSE")):
        yield


@contextmanager
def delete_rows_that_expired() -> Iterator[None]:
    """An expiry is taken for a deletion although the contract keeps such rows."""
    removed = "SELECT *, FALSE AS expired, event_name = 'REMOVE' AS item_removed, new_image AS item FROM bronze"
    with patched((decode, "_items", lambda contract: removed)):
        yield


@contextmanager
def leave_items_that_moved() -> Iterator[None]:
    """An item that is of another entity now stays in the table of the one that it was of."""
    real = decode._of_entity
    with patched((decode, "_of_entity", lambda contract: f"FROM ({real(contract)}) WHERE NOT moved")):
        yield


@contextmanager
def take_every_item_for_the_entity() -> Iterator[None]:
    """A contract takes all items whose key can be one of its entity."""
    with patched((decode, "is_of_entity", lambda contract, image: "TRUE")):
        yield


@contextmanager
def load_rows_newer_than_the_stream() -> Iterator[None]:
    """A snapshot's rows win over every change of the stream."""
    with patched((bronze_rows, "pad_sequence", lambda number: "9" * 40)):
        yield


@contextmanager
def load_before_earlier_changes_are_merged() -> Iterator[None]:
    """A snapshot's rows do not wait for the changes that were made before it."""
    with patched((backfill, "wait_until_handed_over", lambda *given, **more: None)):
        yield


@contextmanager
def wait_for_earlier_changes_once() -> Iterator[None]:
    """A scan waits for the changes made before its first segment was read, not for those made until its last was."""
    real = backfill._Loading._hand_over

    def hand_over(self: Any, past: datetime) -> None:
        if self._handed_over is None:
            real(self, past)

    with patched((backfill._Loading, "_hand_over", hand_over)):
        yield


@contextmanager
def load_a_snapshot_from_before_the_capture() -> Iterator[None]:
    """Nobody asks whether the stream was captured when the snapshot was made."""
    real = handover.require_captured

    def captured(*given: Any, stream_arn: str | None, **more: Any) -> str:
        return real(*given, stream_arn=stream_arn, **more) if stream_arn is None else stream_arn

    with patched((backfill, "require_captured", captured)):
        yield


@contextmanager
def note_a_part_before_its_rows_are_written() -> Iterator[None]:
    """After a crash in a part, the rest of that part counts as loaded."""
    real = backfill._Loading.load

    def load(self: Any, part: Any) -> Any:
        done = Done(part.name, 0, 0)
        write_progress(self.store, self.contract, self.plan.snapshot.id, done)
        return real(self, part)

    with patched((backfill._Loading, "load", load)):
        yield


@contextmanager
def load_lost_changes_as_if_none_were_lost() -> Iterator[None]:
    """What Silver has from before a gap stays, though the snapshot is newer."""
    real = known.KnownChanges.numbered

    def numbered(self: Any, rows: Any, *given: Any) -> Any:
        real(self, rows, *given)
        return rows

    with patched((known.KnownChanges, "numbered", numbered)):
        yield


@contextmanager
def keep_keys_that_went_while_changes_were_lost() -> Iterator[None]:
    """A key that the snapshot does not have stays in Silver."""
    with patched((known.KnownChanges, "gone", lambda self, *given, **more: iter(()))):
        yield


@contextmanager
def replace_changes_made_after_the_snapshot() -> Iterator[None]:
    """After a gap the snapshot wins over every change that is merged when it is loaded."""
    with patched((known, "CLOCK_TOLERANCE", timedelta(days=-1000))):
        yield


def _moving(real: Any, *given: Any, **more: Any) -> Any:
    return real(*given, **{**more, "may_advance": True})


MUTATIONS: Final = {
    mutation.__name__: mutation
    for mutation in (
        skip_the_version_guard,
        compare_numbers_as_unpadded_text,
        order_all_streams_by_number_alone,
        forget_deleted_keys,
        drop_tombstones,
        advance_the_position_before_the_commit,
        publish_before_the_audit,
        publish_whatever_the_audit_says,
        treat_a_retry_as_new,
        lose_the_look_back,
        forget_the_day_a_row_was_of,
        keep_the_rows_of_a_key_that_is_gone,
        overlook_the_rows_of_a_mart,
        overlook_a_mart_made_by_hand,
        skip_the_enrichment_refresh,
        acknowledge_before_the_write,
        float_instead_of_decimal,
        report_the_highest_failure,
        commit_whoever_was_faster,
        drop_bad_rows,
        compact_deleted_rows_back,
        take_a_killed_run_for_a_good_one,
        pass_over_an_older_day,
        show_soft_deleted_items,
        forget_the_zone_of_times,
        delete_rows_that_expired,
        leave_items_that_moved,
        take_every_item_for_the_entity,
        load_rows_newer_than_the_stream,
        load_before_earlier_changes_are_merged,
        wait_for_earlier_changes_once,
        load_a_snapshot_from_before_the_capture,
        note_a_part_before_its_rows_are_written,
        load_lost_changes_as_if_none_were_lost,
        keep_keys_that_went_while_changes_were_lost,
        replace_changes_made_after_the_snapshot,
    )
}


def violations(mutation: str, seed: int) -> tuple[str, ...]:
    """What the history of a seed finds wrong with the pipeline that has this bug."""
    with ExitStack() as held:
        held.enter_context(MUTATIONS[mutation]())
        return play(draw(seed)).violations


def main(arguments: list[str] | None = None) -> int:
    """Find a seed that catches each mutation, first the one that is known; 1 if one gets away."""
    import logging

    parser = argparse.ArgumentParser(prog="prove-mutations", description="Which seed finds each planted bug.")
    parser.add_argument("names", nargs="*", choices=[*MUTATIONS, []], help="only these")
    logging.disable(logging.CRITICAL)
    missed = 0
    for name in parser.parse_args(arguments).names or MUTATIONS:
        for seed in dict.fromkeys((*([CAUGHT[name]] if name in CAUGHT else []), *range(MAX_SEEDS))):
            if found := violations(name, seed):
                sys.stdout.write(f'    "{name}": {seed},  # {found[0][:150]}\n')
                break
        else:
            missed += 1
            sys.stdout.write(f"    {name}: not found by {MAX_SEEDS} histories\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
