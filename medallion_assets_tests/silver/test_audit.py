"""The audit of a Silver snapshot: each check passes on good data and fails on the mistake that it looks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.table.snapshots import Operation

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import DEFAULT_GRACE_MINUTES
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.lake import maintenance, merge
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data
from medallion_assets.silver.audit import Audit, Batch, RowCounts, check_names
from medallion_assets.silver.table import SILVER, silver_schema
from medallion_assets.silver.whole_table import WholeTable
from medallion_assets_tests.silver.changes import DAY, NOON, Bench, bench_on_files, contract, domain, record

OTHERS = contract("Others", {"Id": "string"}, key="Id")
THINGS = contract(
    "Things",
    {
        "H": "string",
        "R": "int",
        "V": {"type": "int", "rules": [{"max": 9, "severity": "warn"}]},
        "Other": {"type": "string", "rules": [{"references": "others", "severity": "warn"}]},
        "Many": {"type": "list<string>", "rules": [{"references": "others", "severity": "warn"}]},
    },
    key=("H", "R"),
    rules={"row_count": {"max_drop": "0.5"}, "freshness": {"max_minutes": 60}},
)

AFTER_GRACE = NOON + timedelta(minutes=DEFAULT_GRACE_MINUTES)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, OTHERS, THINGS) as opened:
        yield opened


def thing(sequence: int, key: int, **values: Any) -> dict[str, Any]:
    return record("Things", sequence, {"H": {"S": "h"}, "R": {"N": str(key)}}, values)


def merged(bench: Bench, **more: Any) -> dict[str, CheckResult]:
    (result,) = bench.merge_pending("things", **more)
    return {check.name: check for check in result.checks}


def audited(
    bench: Bench, *, whole: bool, batch: dict[str, Any], schema: pa.Schema | None = None, now: datetime = NOON
) -> dict[str, CheckResult]:
    """Audit the published snapshot as if `batch` had staged it."""
    table = bench.lake.table(SILVER, "things")
    with bench.lake.duckdb() as connection:
        rows = connection.execute(f"SELECT * FROM {bench.lake.scan_sql(table, None)}").to_arrow_table()
        counts = dict.fromkeys(
            ["redelivered", "superseded", "unchanged", "quarantined", "dropped", "other_entities"], 0
        )
        staged = {"rows_in": rows.num_rows, "merged": rows.num_rows, "rows": rows}
        staged |= {"deletions": rows.slice(0, 0), "rejected": rows.slice(0, 0)}
        audit = Audit(
            connection,
            bench.lake,
            table,
            snapshot_id=table.metadata.current_snapshot_id,
            contract=THINGS,
            domain=bench.domain,
            schema=schema or silver_schema(THINGS, bench.domain),
            whole=WholeTable(EmbeddedEngine(bench.lake), bench.lake, table, None, THINGS, bench.domain)
            if whole
            else None,
            now=now,
        )
        checks, _ = audit.run(Batch(**(counts | staged | batch)), None)
    return {check.name: check for check in checks}


def test_the_checks_are_known_from_the_contract_alone(bench: Bench) -> None:
    bench.put(thing(1, 1))
    names = [(name, severity) for name, severity in check_names(THINGS)]
    assert names == [
        ("keys", "block"),
        ("columns", "block"),
        ("bronze_counts", "block"),
        ("quarantine_rate", "block"),
        ("row_rules", "warn"),
        ("references", "warn"),
        ("row_count", "warn"),
        ("freshness", "warn"),
    ]
    assert list(merged(bench)) == [name for name, _ in names]
    assert [name for name, _ in check_names(OTHERS)] == ["keys", "columns", "bronze_counts", "quarantine_rate"]


def test_a_good_batch_passes_everything(bench: Bench) -> None:
    bench.put(thing(1, 1, V={"N": "3"}), thing(2, 2))
    assert all(check.passed for check in merged(bench).values())
    assert all(check.passed for check in audited(bench, whole=True, batch={}).values())


def write_again(bench: Bench, key: int) -> pa.Table:
    """Let another writer append the row of a key a second time, and return that row."""
    table = bench.lake.table(SILVER, "things")
    with bench.lake.duckdb() as connection:
        sql = f"SELECT * FROM {bench.lake.scan_sql(table, None)} WHERE r = {key}"
        again = connection.execute(sql).to_arrow_table()
    contents = Contents.of(table, table.metadata.current_snapshot_id)
    publish(
        bench.lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=write_data(table, again))
    )
    return again


@pytest.mark.parametrize("whole", [True, False])
def test_a_repeated_key_is_found(bench: Bench, whole: bool) -> None:
    bench.put(thing(1, 1), thing(2, 2))
    merged(bench)
    again = write_again(bench, 1)
    found = audited(bench, whole=whole, batch={"rows": again})["keys"]
    assert (found.blocks_publish, found.numbers["repeated_keys"], list(found.examples)) == (True, 1, ["h/1"])


def test_a_repeated_key_that_the_batch_does_not_replace_stops_it(bench: Bench) -> None:
    bench.put(thing(5, 1), thing(6, 2))
    merged(bench)
    write_again(bench, 1)
    bench.put(thing(7, 2))
    found = merged(bench)
    assert (found["keys"].passed, found["keys"].numbers["rows"]) == (True, 3), "the other key is not of the batch"
    bench.put(thing(4, 1), thing(8, 2))
    found = merged(bench)
    assert (found["keys"].blocks_publish, list(found["keys"].examples)) == (True, ["h/1"])
    assert not found["bronze_counts"].blocks_publish


@pytest.mark.parametrize(
    ("lost", "check", "number"),
    [("write_data", "bronze_counts", "missing_keys"), ("write_deletes", "keys", "repeated_keys")],
)
def test_what_a_merge_did_not_write_is_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: str, check: str, number: str
) -> None:
    bench.put(thing(1, 1), thing(2, 2))
    merged(bench)
    monkeypatch.setattr(merge, lost, lambda *_, **__: [])
    bench.put(thing(3, 2), thing(4, 3))
    found = merged(bench)[check]
    assert found.blocks_publish
    assert found.numbers[number] == (2 if lost == "write_data" else 1)


def test_a_deletion_that_a_merge_did_not_write_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(thing(1, 1), thing(2, 2))
    merged(bench)
    monkeypatch.setattr(merge, "write_deletes", lambda *_, **__: [])
    gone = record("Things", 4, {"H": {"S": "h"}, "R": {"N": "2"}}, None)
    bench.put(record("Things", 3, {"H": {"S": "h"}, "R": {"N": "9"}}, None), gone, thing(5, 3))
    found = merged(bench)["bronze_counts"]
    assert (found.blocks_publish, found.numbers["surviving_keys"]) == (True, 1)


def test_rows_are_counted_from_the_last_count_until_another_writer_comes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 2)
    monkeypatch.setattr(maintenance, "FOLD_FILES", 2)

    def rows_after(*records: Any) -> object:
        bench.put(*records)
        return merged(bench)["keys"].numbers["rows"]

    assert rows_after(thing(1, 1), thing(2, 2)) == 2
    assert rows_after(thing(3, 2), thing(4, 3), record("Things", 5, {"H": {"S": "h"}, "R": {"N": "1"}}, None)) == 2
    table = bench.lake.table(SILVER, "things")
    operations = [one.summary.operation for one in table.snapshots() if one.summary is not None]
    assert operations[-1] is Operation.REPLACE, "the batch was followed by a compaction"
    assert rows_after(thing(6, 4)) == 3
    table = bench.lake.table(SILVER, "things")
    table.delete("r = 4")
    assert rows_after(thing(7, 5), thing(8, 6)) == 4


def test_a_column_of_another_type_is_found(bench: Bench) -> None:
    bench.put(thing(1, 1))
    merged(bench)
    declared = silver_schema(THINGS, bench.domain)
    declared = declared.set(declared.get_field_index("v"), pa.field("v", pa.int64()))
    found = audited(bench, whole=False, batch={}, schema=declared.append(pa.field("new", pa.date32())))["columns"]
    assert found.blocks_publish
    assert list(found.examples) == ["v: expected BIGINT, is INTEGER", "new: expected DATE, is missing"]


def test_rows_that_are_not_accounted_for_are_found(bench: Bench) -> None:
    bench.put(thing(1, 1))
    merged(bench)
    assert audited(bench, whole=False, batch={"rows_in": 2})["bronze_counts"].blocks_publish
    assert not audited(bench, whole=False, batch={"rows_in": 2, "superseded": 1})["bronze_counts"].blocks_publish


def test_a_change_that_is_not_in_the_snapshot_is_found(bench: Bench) -> None:
    bench.put(thing(5, 1))
    merged(bench)
    table = bench.lake.table(SILVER, "things")
    with bench.lake.duckdb() as connection:
        rows = connection.execute(f"SELECT * FROM {bench.lake.scan_sql(table, None)}").to_arrow_table()
    column = rows.schema.get_field_index("_sequence_number")
    newer = rows.set_column(column, "_sequence_number", [["6".rjust(40, "0")]])
    found = audited(bench, whole=False, batch={"rows": newer})["bronze_counts"]
    assert (found.blocks_publish, found.numbers["missing_keys"]) == (True, 1)


@pytest.mark.parametrize(
    ("rows_in", "quarantined", "blocks"),
    [(1, 1, False), (10, 5, False), (10, 6, True), (200, 10, False), (200, 11, True)],
)
def test_the_share_of_bad_rows_stops_a_batch_but_one_bad_row_does_not(
    bench: Bench, rows_in: int, quarantined: int, blocks: bool
) -> None:
    bench.put(thing(1, 1))
    merged(bench)
    rejected = pa.table({"keys": ["k"], "column_name": ["v"], "reason": ["expected int, saw 1.5"]})
    batch = {"rows_in": rows_in, "merged": rows_in - quarantined, "quarantined": quarantined, "rejected": rejected}
    found = audited(bench, whole=False, batch=batch)["quarantine_rate"]
    assert (list(found.examples), found.numbers["v: expected int"]) == (["k"], 1)
    assert found.blocks_publish is blocks
    assert found.numbers["share"] == Decimal(quarantined) / rows_in


def test_rows_that_break_a_warning_rule_are_counted_and_merged(bench: Bench) -> None:
    bench.put(thing(1, 1, V={"N": "10"}), thing(2, 2, V={"N": "9"}))
    found = merged(bench)["row_rules"]
    assert (found.passed, found.blocks_publish, found.numbers["v: max 9"], list(found.examples)) == (
        False,
        False,
        1,
        ["h/1"],
    )
    assert len(bench.rows("things")) == 2


def test_references_to_missing_rows_are_counted(bench: Bench) -> None:
    bench.put(record("Others", 1, {"Id": {"S": "here"}}, {}), record("Others", 2, {"Id": {"S": "gone"}}, None))
    bench.merge_pending("others")
    bench.put(
        thing(1, 1, Other={"S": "here"}, Many={"L": [{"S": "here"}, {"S": "here"}]}),
        thing(2, 2, Other={"S": "gone"}, Many={"L": [{"S": "here"}, {"S": "nowhere"}, {"S": "gone"}]}),
        thing(3, 3),
    )
    found = merged(bench, now=AFTER_GRACE)["references"]
    assert (found.passed, found.severity) == (False, "warn")
    assert found.numbers == {
        "other without others": 1,
        "other pending in others": 0,
        "many without others": 1,
        "many pending in others": 0,
    }
    assert list(found.examples) == ["h/2"]
    assert audited(bench, whole=True, batch={}, now=AFTER_GRACE)["references"].numbers == found.numbers


def reference_counts(found: CheckResult) -> tuple[bool, object, object]:
    """Return whether the check passed, and how many references of the column `other` failed and are pending."""
    return found.passed, found.numbers["other without others"], found.numbers["other pending in others"]


def with_rule(**rule: Any) -> Domain:
    """Return the domain with one rule on the column `other`."""
    columns = {"H": "string", "R": "int", "Other": {"type": "string", "rules": [rule]}}
    return domain(OTHERS, contract("Things", columns, key=("H", "R")))


def test_a_reference_is_pending_until_its_grace_period_is_over(bench: Bench) -> None:
    bench.put(thing(1, 1, Other={"S": "late"}))
    young = merged(bench, now=AFTER_GRACE - timedelta(seconds=1))["references"]
    assert (reference_counts(young), list(young.examples)) == ((True, 0, 1), [])
    assert reference_counts(audited(bench, whole=True, batch={})["references"]) == (True, 0, 1)
    old = audited(bench, whole=True, batch={}, now=AFTER_GRACE)["references"]
    assert (reference_counts(old), list(old.examples)) == ((False, 1, 0), ["h/1"])
    bench.put(record("Others", 1, {"Id": {"S": "late"}}, {}))
    bench.merge_pending("others")
    assert reference_counts(audited(bench, whole=True, batch={}, now=AFTER_GRACE)["references"]) == (True, 0, 0)


def test_the_first_audit_after_the_grace_period_judges_what_was_pending(bench: Bench) -> None:
    bench.put(thing(1, 1, Other={"S": "late"}), thing(2, 2, Other={"S": "never"}))
    assert reference_counts(merged(bench)["references"]) == (True, 0, 2)
    bench.put(record("Others", 1, {"Id": {"S": "late"}}, {}))
    bench.merge_pending("others")
    bench.put(thing(3, 3))
    assert reference_counts(merged(bench, now=AFTER_GRACE - timedelta(seconds=1))["references"]) == (True, 0, 0)
    bench.put(thing(4, 4))
    found = merged(bench, now=AFTER_GRACE)["references"]
    assert (reference_counts(found), list(found.examples)) == ((False, 1, 0), ["h/2"])
    bench.put(thing(5, 5))
    assert reference_counts(merged(bench, now=AFTER_GRACE)["references"]) == (True, 0, 0), (
        "each reference is checked once"
    )


@pytest.mark.parametrize("grace_minutes", [0, 90])
def test_a_contract_sets_the_grace_period(bench: Bench, grace_minutes: int) -> None:
    bench.domain = with_rule(references="others", grace_minutes=grace_minutes)
    bench.put(thing(1, 1, Other={"S": "nowhere"}))
    at = NOON + timedelta(minutes=grace_minutes)
    assert reference_counts(merged(bench, now=at - timedelta(seconds=1))["references"]) == (True, 0, 1)
    bench.put(thing(2, 2, Other={"S": "nowhere"}))
    found = merged(bench, now=at)["references"]
    assert (reference_counts(found), found.blocks_publish) == ((False, 2, 0), True), "the second row is of the batch"


def test_a_broken_reference_of_a_published_row_blocks_no_batch(bench: Bench) -> None:
    bench.domain = with_rule(references="others")
    bench.put(thing(1, 1, Other={"S": "nowhere"}))
    merged(bench)
    bench.put(thing(2, 2))
    found = merged(bench, now=AFTER_GRACE)["references"]
    assert (reference_counts(found), found.severity, found.blocks_publish) == ((False, 1, 0), "warn", False)


def test_a_table_that_lost_most_rows_since_the_day_before_is_found(bench: Bench) -> None:
    bench.put(*(thing(number, number) for number in range(1, 5)))
    first = merged(bench)["row_count"]
    assert (first.passed, first.numbers["day_before"]) == (True, "unknown")
    tomorrow, later = DAY + timedelta(days=1), NOON + timedelta(days=1)
    gone = [record("Things", 10 + key, {"H": {"S": "h"}, "R": {"N": str(key)}}, None) for key in (1, 2, 3)]
    bench.put(*gone[:2], day=tomorrow)
    half = merged(bench, day=tomorrow, now=later)["row_count"]
    assert (half.passed, half.numbers) == (True, {"rows": 2, "day_before": 4})
    bench.put(gone[2], day=tomorrow)
    less = merged(bench, day=tomorrow, now=later)["row_count"]
    assert (less.passed, less.blocks_publish, less.numbers) == (False, False, {"rows": 1, "day_before": 4})


def test_a_table_without_recent_changes_is_not_fresh(bench: Bench) -> None:
    bench.put(thing(1, 1))
    assert merged(bench, now=NOON + timedelta(minutes=60))["freshness"].passed
    bench.put(thing(2, 1))
    late = merged(bench, now=NOON + timedelta(minutes=61))["freshness"]
    assert (late.passed, late.numbers["age_seconds"]) == (False, 3660)


def test_row_counts_remember_the_day_before() -> None:
    first = RowCounts.after(None, today=date(2026, 3, 1), rows=5)
    same = RowCounts.after(first, today=date(2026, 3, 1), rows=6)
    following = RowCounts.after(same, today=date(2026, 3, 4), rows=7)
    assert [one.day_before for one in (first, same, following)] == [None, None, 6]
    assert RowCounts.read(following.text) == following
    assert RowCounts.after(following, today=date(2026, 3, 4), rows=1) == replace(following, rows=1)
