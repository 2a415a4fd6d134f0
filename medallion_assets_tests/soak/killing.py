"""The stack under steady traffic, its processes killed at random moments; afterwards the lake must equal the source.

What belongs here: who is killed when, and what is looked at in the end. How many writers share a table is `writers`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import dagster as dg

from medallion_assets.capture.coverage import read_coverage
from medallion_assets.capture.dead_letter import list_dead_letters
from medallion_assets.capture.store import open_store
from medallion_assets.defs.launcher import PID_TAG
from medallion_assets.errors import TableMissing
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.maintenance import expire, remove_orphans
from medallion_assets.local.demo import OBSERVE_SECONDS, Demo
from medallion_assets.local.processes import Child
from medallion_assets.local.stack import Stack, run_stack
from medallion_assets_tests.capture.chain import has_hole

POLLER, DAEMON = "the stream poller", "Dagster's daemon"
WORKER, STAGER = "a run's worker", "a run's worker with a staged snapshot"
PAUSE_SECONDS = 12.0
"""Between two kills, on average: a run is started, found dead by the daemon and made again in about twice that time."""
PATIENCE_SECONDS = 180.0
"""How long nothing may come closer to Gold before it counts as stuck."""
WORK_SECONDS = 45.0
"""How long a kill of a worker waits for one that works."""
_STARTED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
_SUCCEEDED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
MEDALLION = str(Path(sys.executable).parent / "medallion")


@dataclass
class Report:
    """What was done and found; `wrong` says what should not have been. `changes` are those that DynamoDB streamed."""

    changes: int = 0
    seconds: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)
    killed_in: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    files_left: int = 0
    objects: int = 0
    caught_up_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def drawn(dice: random.Random) -> Iterator[tuple[float, str]]:
    """Kills without end: the seconds to wait, and who is killed then."""
    while True:
        [victim] = dice.choices([POLLER, DAEMON, WORKER, STAGER], [3, 2, 3, 2])
        yield dice.expovariate(1 / PAUSE_SECONDS), victim


def soak(
    state: Path,
    *,
    seconds: float,
    rate: float,
    seed: int,
    kills: Iterable[tuple[float, str]],
    say: Callable[[str], None],
) -> Report:
    """Kill while there are `rate` writes a second, let the stack catch up, and compare it with the source.

    `say` is told what happens.
    """
    report = Report()
    with run_stack("ecommerce", state=state) as stack, Lake.open(stack.settings.lake()) as lake:
        demo = Demo(stack, lake, seed=seed)
        say(f"Up; {demo.load()} rows loaded. {rate:g} writes a second for {seconds:g} s, with kills.")
        with dg.DagsterInstance.get() as instance:
            began = time.monotonic()

            def over() -> bool:
                return time.monotonic() - began >= seconds

            with demo.writing(rate=rate):
                killer = Killer(stack, lake, instance, random.Random(seed), report, say)
                for pause_seconds, victim in kills:
                    _wait(pause_seconds, over)
                    if over():
                        break
                    killer.kill(victim, over)
                _wait(seconds, over)
            report.seconds = time.monotonic() - began
            _catch_up(demo, stack, report, say)
            report.runs.update(str(run.status.value) for run in instance.get_runs())
        _ask("status", report, say)
        _ask("verify", report, say)
        _look_at_bronze(stack, report)
        _clean(stack, lake, report, say)
        _ask("verify", report, say)
    return report


class Killer:
    """Kills one process of a running stack at a time. `dice` draw the moment in a worker's step."""

    def __init__(
        self,
        stack: Stack,
        lake: Lake,
        instance: dg.DagsterInstance,
        dice: random.Random,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        self._children: dict[str, Child] = {child.name: child for child in stack.children}
        self._lake = lake
        self._instance = instance
        self._dice = dice
        self._report = report
        self._say = say
        self._dead: set[str] = set()

    def kill(self, victim: str, over: Callable[[], bool]) -> None:
        """Kill it; a run's worker once there is one that writes a table, unless it is `over` before."""
        if victim not in (WORKER, STAGER):
            self._children[victim].kill_and_restart()
            self._note(victim)
            return
        deadline = time.monotonic() + WORK_SECONDS
        while time.monotonic() < deadline and not over():
            if any(self._kill_worker(run, victim) for run in self._instance.get_runs(_STARTED)):
                return
            time.sleep(0.05)

    def _kill_worker(self, run: dg.DagsterRun, victim: str) -> bool:
        """Kill a run's process if it writes a table: some time into the step, or once it has staged. Whether it did."""
        step = self._step_at_work(run)
        if step is None or PID_TAG not in run.tags or run.run_id in self._dead:
            return False
        if victim == WORKER:
            time.sleep(self._dice.uniform(0, self._typical_seconds(step)))
            step = self._step_at_work(run) or "between two steps"
        elif not self._has_staged(step):
            return False
        try:
            os.kill(int(run.tags[PID_TAG]), signal.SIGKILL)
        except ProcessLookupError:
            return False
        self._dead.add(run.run_id)  # it is found dead only some seconds later
        self._note(victim, step)
        return True

    def _step_at_work(self, run: dg.DagsterRun) -> str | None:
        """The step that writes a table and has begun but not ended."""
        return next(
            (
                stats.step_key
                for stats in self._instance.get_run_step_stats(run.run_id)
                if stats.step_key.startswith(("silver", "gold")) and stats.start_time and not stats.end_time
            ),
            None,
        )

    def _typical_seconds(self, step: str) -> float:
        """How long the step took lately."""
        took = [
            stats.end_time - stats.start_time
            for run in self._instance.get_runs(_SUCCEEDED, limit=3)
            for stats in self._instance.get_run_step_stats(run.run_id, [step])
            if stats.start_time and stats.end_time
        ]
        return sum(took) / len(took) if took else 1.0

    def _has_staged(self, step: str) -> bool:
        """Whether a manifest list was written just now whose snapshot the table does not know."""
        layer, _, name = step.partition("__")
        try:
            table = self._lake.table(layer, name)
        except TableMissing:
            return False
        bucket, _, prefix = table.location().removeprefix("s3://").partition("/")
        found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/metadata/snap-")
        known = {f"snap-{snapshot.snapshot_id}" for snapshot in table.snapshots()}
        just_now = datetime.now(UTC) - timedelta(seconds=5)
        return any(
            one["LastModified"] > just_now and not one["Key"].rpartition("/")[2].startswith(tuple(known))
            for one in found.get("Contents", [])
        )

    def _note(self, victim: str, step: str | None = None) -> None:
        self._report.killed[victim] += 1
        if step:
            self._report.killed_in[step.partition("__")[0]] += 1
        self._say(f"killed {victim}" + (f" in {step}" if step else ""))


def _catch_up(demo: Demo, stack: Stack, report: Report, say: Callable[[str], None]) -> None:
    """Wait until everything written is in Gold, as long as it comes closer."""
    began = moved = time.monotonic()
    seen = None
    while time.monotonic() - moved < PATIENCE_SECONDS:
        stack.check()
        progress = demo.observe(writing=False)
        report.changes = sum(progress.emitted.values())
        report.caught_up_seconds = time.monotonic() - began
        if progress.caught_up:
            return
        waiting = sum(table.pending_objects for table in progress.status.tables)
        behind = sum(progress.emitted.values()) - sum(progress.captured.values())
        marts = [mart.mart for mart in progress.status.marts if mart.behind]
        if (behind, waiting, marts) != seen:
            seen, moved = (behind, waiting, marts), time.monotonic()
            say(f"catching up: {behind} changes not in Bronze, {waiting} objects not in Silver, marts behind: {marts}")
        time.sleep(OBSERVE_SECONDS)
    report.wrong.append(f"nothing came closer to Gold for {PATIENCE_SECONDS:g} s; look into {stack.folder}")


def _wait(seconds: float, over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not over():
        time.sleep(0.1)


def _ask(command: str, report: Report, say: Callable[[str], None]) -> None:
    """A command that ends with 0 if all is well, as a user gives it; this process's environment is the stack's."""
    asked = subprocess.run([MEDALLION, command], capture_output=True, text=True, check=False)
    say(f"medallion {command}:\n{asked.stdout}{asked.stderr}")
    if asked.returncode:
        report.wrong.append(f"medallion {command} ended with {asked.returncode}")


def _look_at_bronze(stack: Stack, report: Report) -> None:
    """Nothing may have been given up, and no shard may have a hole between its objects."""
    store = open_store(stack.settings.bronze)
    if letters := list_dead_letters(store):
        report.wrong.append(f"records were set aside: {letters}")
    for contract in stack.domain.tables:
        paths = list(store.list(contract.table))
        report.objects += len(paths)
        coverages = [coverage for path in paths if (coverage := read_coverage(store.read(path)))]
        if not coverages or has_hole(coverages):
            report.wrong.append(f"the objects of {contract.table} do not follow each other without a hole")


def _clean(stack: Stack, lake: Lake, report: Report, say: Callable[[str], None]) -> None:
    """What the dead left: files nobody needs. The daemon is stopped: nobody writes."""
    next(child for child in stack.children if child.name == DAEMON).stop()
    marts = load_marts(stack.domain)
    tables = [("silver", contract.lake_name) for contract in stack.domain.tables] + [("gold", m.name) for m in marts]
    now = timedelta(0)
    for layer, name in tables:
        table = lake.table(layer, name)
        expire(lake, table, older_than=now)
        report.files_left += remove_orphans(lake, table, older_than=now)
    say(f"removed {report.files_left} files of the dead")
