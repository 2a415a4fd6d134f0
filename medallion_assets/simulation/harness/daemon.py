"""What Dagster does with our pipeline, without Dagster: sensor ticks, runs of steps, retries, reruns by hand.

The decisions, the merges and the refreshes are the project's own. What is stood in for is what Dagster remembers (the
cursor, the runs, the last materialization of each table) and how it treats a step: try again what passes, skip what is
behind a failure, know nothing of a run that was killed.

Belongs here: those rules. Does not belong here: what goes wrong (faults, lake), whether the result is right (oracle).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from medallion_assets.backfill.backfill import Backfill, Plan, backfill
from medallion_assets.capture.given_up import GivenUp
from medallion_assets.capture.store import BronzeStore
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CommitConflict, LakeUnavailable, MedallionError
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.memory import TableMemory
from medallion_assets.ledger.update import update_ledger
from medallion_assets.ledger.view import ScanCursor
from medallion_assets.maintenance.maintain import maintain
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.comparison import Comparison
from medallion_assets.reconciliation.reconcile import reconcile
from medallion_assets.reconciliation.scan import SourceTable
from medallion_assets.repair.repair import Repair, repair
from medallion_assets.scheduling.pending import list_pending, read_published
from medallion_assets.scheduling.planner import (
    Cursor,
    Graph,
    Pending,
    Request,
    apply_outcome,
    is_mart,
    observe_commits,
    observe_materializations,
    plan_run,
    read_outcomes,
)
from medallion_assets.silver.batch import BatchResult
from medallion_assets.silver.batches import merge_pending, remerge_day
from medallion_assets.silver.quarantine import drop
from medallion_assets.silver.replay import replay
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.harness.lake import Warehouse

Act = Callable[[Lake, str], str | None]
"""What a step does, given a lake and its run's id; returns why its audit held, None if it did not."""

MAX_RETRIES: Final = 3
FIRST_BACKOFF_SECONDS: Final = 1.0
"""As defs.failures has them."""


@dataclass
class Run:
    """One run: how its steps ended (`SUCCESS`, `FAILURE`; a step that was skipped or never begun is not in it)."""

    run_id: str
    request: Request
    steps: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    succeeded: bool = False


class Daemon:
    """Dagster's daemon and its storage, for one domain on one warehouse. Everything it holds outlives a crash.

    `store` gives Bronze as a process sees it. Errors that are none of ours are not caught: no fault may cause one.
    """

    def __init__(
        self,
        domain: Domain,
        marts: Sequence[Mart],
        *,
        warehouse: Warehouse,
        store: Callable[[], BronzeStore],
        clock: Clock,
        pause: Callable[[float], None],
    ) -> None:
        self.domain = domain
        self.marts = {mart.name: mart for mart in marts}
        self.runs: dict[str, Run] = {}
        self.cursor = Cursor().model_dump_json()
        self._graph = Graph.of(domain, marts)
        self._warehouse = warehouse
        self._store = store
        self._clock = clock
        self._pause = pause
        self._cursors: Mapping[str, ScanCursor] = {}
        self.complete_to: Mapping[str, datetime | None] = {}
        self._made: dict[str, tuple[int, str]] = {}
        self._count = 0

    def tick(self) -> tuple[Request | None, Pending]:
        """One evaluation of the sensor: the run it asks for and what it saw pending. Raises what Dagster would log.

        The cursor is kept when it ends well. Call `launch` with the request.
        """
        cursor = Cursor.model_validate_json(self.cursor)
        run = self.runs.get(cursor.request.key) if cursor.request else None
        with self._warehouse.open() as lake:
            tables, _ = read_published(lake, self.domain.tables)
        positions = {name: table.position for name, table in tables.items()}
        pending = list_pending(self._store(), self.domain.tables, positions, self._clock().date())
        if run is not None:
            ended = (
                dict.fromkeys(run.request.nodes, "succeeded")
                if run.succeeded
                else read_outcomes(run.request.nodes, run.steps)
            )
            cursor = apply_outcome(cursor, ended, pending, self._clock())  # type: ignore[arg-type]
        cursor = cursor.model_copy(update={"request": None})
        latest = {node: made for node, (made, _) in self._made.items() if node in self._graph.read}
        own = {node for node, (_, by) in self._made.items() if run is not None and by == run.run_id}
        cursor = observe_materializations(cursor, self._graph, latest, own=own)
        runs = {run.run_id if run is not None else None, *(by for _, by in self._made.values())}
        commits = {f"silver/{name}": one.snapshot_id for name, one in tables.items() if one.snapshot_id is not None}
        known = {f"silver/{name}" for name, one in tables.items() if one.run_id in runs}
        cursor = observe_commits(cursor, self._graph, commits, own=known)
        request = plan_run(self._graph, cursor, pending, self._clock())
        self.cursor = cursor.model_copy(update={"request": request}).model_dump_json()
        return request, pending

    def launch(self, request: Request) -> Run:
        """Run what the sensor asked for, unless it was launched before. Raises Died when the run is killed."""
        if request.key in self.runs:
            return self.runs[request.key]
        run = self.runs[request.key] = Run(self._run_id(), request)
        done: set[str] = set()
        for node in request.nodes:
            if any(upstream in request.nodes and upstream not in done for upstream in self._graph.upstream[node]):
                continue
            layer, name = node.split("/")
            if node in request.oldest_pending:
                run.steps[f"bronze__{name}"] = "SUCCESS"
            act = self._refresh(name, None) if is_mart(node) else self._merge(merge_pending, name, request.day)
            error = self._step(act, run.run_id)
            run.steps[f"{layer}__{name}"] = "FAILURE" if error else "SUCCESS"
            if error:
                run.errors.append(f"{node}: {error}")
                continue
            done.add(node)
            self._materialized(node, run.run_id)
        run.succeeded = "FAILURE" not in run.steps.values()
        return run

    def rerun(self, table: str, day: date) -> str | None:
        """A person materializes one Silver table for one day; returns why it failed, None if it did not."""
        run_id = self._run_id()
        error = self._step(self._merge(remerge_day, table, day), run_id)
        if error is None:
            self._materialized(f"silver/{table}", run_id)
        return error

    def recompute(self, mart: str, days: Sequence[date] | None) -> str | None:
        """A person materializes some days of a mart, or the new day all that it touches; like `rerun`."""
        run_id = self._run_id()
        error = self._step(self._refresh(mart, days), run_id)
        if error is None and f"gold/{mart}" in self._graph.read:
            self._materialized(f"gold/{mart}", run_id)
        return error

    def replay(self, table: str) -> str | None:
        """A person replays all that is held of a table, after its contract was mended; like `rerun`."""

        def act(lake: Lake, run_id: str) -> None:
            contract = self.domain.by_name[table]
            replay(lake, contract, self.domain, run_id=f"replay-{run_id}", now=self._clock())

        return self._step(act, self._run_id())

    def drop(self, table: str, where: str) -> str | None:
        """A person gives up held changes of a table; like `rerun`."""

        def act(lake: Lake, run_id: str) -> None:
            contract = self.domain.by_name[table]
            drop(lake, contract, where=where, reason="given up", run_id=f"drop-{run_id}", now=self._clock())

        return self._step(act, self._run_id())

    def repair(self, table: str, source: SourceTable, catch_up: CatchUp) -> Repair | None:
        """A person repairs a table; None if that failed. Waiting for the merge, it lets the sensor work."""
        found: list[Repair] = []

        def act(lake: Lake, run_id: str) -> None:
            found.append(
                repair(
                    lake,
                    self.domain,
                    self.domain.by_name[table],
                    source=source,
                    store=self._store(),
                    reason="simulated",
                    run_id=f"repair-{run_id}",
                    catch_up=catch_up,
                    merge_seconds=900.0,
                )
            )

        self._step(act, self._run_id())
        return found[-1] if found else None

    def backfill(
        self,
        table: str,
        plan: Callable[[Lake, BronzeStore, Contract], Plan],
        catch_up: CatchUp,
        given_up: Callable[[], Mapping[str, GivenUp]],
    ) -> Backfill | None:
        """A person backfills a table; None if that failed. Waiting for the merge, it lets the sensor work."""
        found: list[Backfill] = []
        contract = self.domain.by_name[table]

        def act(lake: Lake, run_id: str) -> None:
            store = self._store()
            planned = plan(lake, store, contract)
            found.append(
                backfill(lake, store, contract, planned, catch_up=catch_up, merge_seconds=900.0, given_up=given_up)
            )

        self._step(act, self._run_id())
        return found[-1] if found else None

    def verify(self, table: str, source: SourceTable, catch_up: CatchUp) -> Comparison | None:
        """A person compares a table with its source; None if that failed."""
        found: list[Comparison] = []

        def act(lake: Lake, run_id: str) -> None:
            with tempfile.TemporaryDirectory(prefix="simulated-verify-") as folder:
                done = reconcile(
                    lake,
                    self.domain,
                    self.domain.by_name[table],
                    source=source,
                    store=self._store(),
                    folder=Path(folder) / "compared",
                    catch_up=catch_up,
                )
                found.append(done.comparison)

        self._step(act, self._run_id())
        return found[-1] if found else None

    def update_ledger(self) -> str | None:
        """The ledger's sensor looks once; like `rerun`."""

        def act(lake: Lake, run_id: str) -> None:
            found = update_ledger(
                lake,
                self._store(),
                self.domain,
                run_id=f"ledger-{run_id}",
                now=self._clock(),
                cursors=self._cursors,
            )
            self._cursors = found.cursors
            self.complete_to = {name: state.complete_to for name, state in found.statuses.items()}

        return self._step(act, self._run_id())

    def maintain(self, layer: str, table: str) -> str | None:
        """The hourly job on one table, to which everything is old; like `rerun`."""

        # Less than nothing: what was written in this very millisecond is old enough, too.
        age = timedelta(minutes=-5)

        def act(lake: Lake, run_id: str) -> None:
            marts = self.marts.values()
            maintain(lake, self.domain, marts, layer=layer, name=table, older_than=age, abandoned=age)

        return self._step(act, self._run_id())

    @property
    def clock_marts(self) -> list[str]:
        """The marts that look at the current day: they are refreshed when a new one begins."""
        return [name for name, mart in self.marts.items() if mart.uses_current_date]

    def _merge(self, merge: Callable[..., Iterator[BatchResult]], table: str, day: date) -> Act:
        def act(lake: Lake, run_id: str) -> str | None:
            lake.remember_tables(TableMemory())
            done = merge(
                lake,
                self._store(),
                self.domain.by_name[table],
                self.domain,
                day=day,
                run_id=run_id,
                now=self._clock(),
            )
            return next((_held(result.checks) for result in done if not result.published), None)

        return act

    def _refresh(self, name: str, days: Sequence[date] | None) -> Act:
        def act(lake: Lake, run_id: str) -> str | None:
            lake.remember_tables(TableMemory())
            now = self._clock()
            result = refresh(lake, self.marts[name], today=now.date(), now=now, run_id=run_id, days=days)
            return None if result.published else _held(result.checks)

        return act

    def _step(self, act: Act, run_id: str) -> str | None:
        """One step with its retries, each with a lake opened anew; returns why it failed."""
        for retry in range(MAX_RETRIES + 1):
            try:
                with self._warehouse.open() as lake:
                    return act(lake, run_id)
            except (LakeUnavailable, CommitConflict) as passing:
                if retry == MAX_RETRIES:
                    return str(passing)
                self._pause(FIRST_BACKOFF_SECONDS * 2**retry)
            except MedallionError as lasting:
                return str(lasting)
        raise AssertionError("unreachable")

    def _run_id(self) -> str:
        self._count += 1
        return f"run-{self._count}"

    def _materialized(self, node: str, run_id: str) -> None:
        self._count += 1
        self._made[node] = (self._count, run_id)


def _held(checks: Iterable[CheckResult]) -> str:
    return "held: " + ", ".join(check.name for check in checks if check.blocks_publish)
