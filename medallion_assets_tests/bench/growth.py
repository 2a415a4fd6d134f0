"""A day of minutes on one table, under the project's maintenance and without it.

Belongs here: 1,440 micro-batches of the shipped domain's orders over seven month partitions, a mart that is refreshed
every quarter of an hour, maintenance every hour of a played clock, and what the table costs its readers and writers
after each quarter. The slow tests play a smaller day and look at its counts.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table import Table

from medallion_assets.capture.envelope import Row, to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake import commit, maintenance
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.maintenance import compact
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import COMPRESSION_LEVEL
from medallion_assets.maintenance.maintain import maintain
from medallion_assets.silver import batches
from medallion_assets.silver.batches import merge_pending
from medallion_assets.silver.table import SILVER
from medallion_assets.simulation.clock import Clock
from medallion_assets.simulation.harness.lake import patched

DOMAIN: Final = load_domain("ecommerce")
ORDERS: Final = DOMAIN.by_name["orders"]
(DAILY,) = (mart for mart in load_marts(DOMAIN) if mart.name == "daily_sales_by_region")

MINUTES, MINUTES_WITHOUT, START_ROWS = 1_440, 120, 1_000_000
CHANGES, OBJECTS, NEW_PERCENT, MART_MINUTES = 100, 4, 10, 15
REPEATS: Final = 9

_READ: Final = "SELECT sum(hash(t)::HUGEINT) FROM {source} t"
"""A reader of every column."""
_GROUP: Final = "SELECT status, count(*), sum(total_amount) FROM {source} GROUP BY status"

_IMAGE: Final = """{OrderID: {S: id}, CustomerID: {S: 'C' || md5((n % 5000)::VARCHAR)},
    ProductID: {L: [{S: 'P' || md5((n % 900)::VARCHAR)}, {S: 'P' || md5((n * 7 % 900)::VARCHAR)}]},
    OrderDate: {S: strftime(TIMESTAMP '2025-09-01' + to_seconds(n * 7919 % (212 * 86400)), '%Y-%m-%dT%H:%M:%SZ')},
    TotalAmount: {N: ((n + i) % 900 + 100) || '.99'}, Status: {S: ['pending', 'shipped', 'delivered'][1 + i % 3]}}"""


@dataclass
class Point:
    """The table after some minutes. Seconds are of the processor but for the longest wait; bytes are of files.

    - read, group: a reader of every column, and one of two
    - merge: the median of the last 32 merges, or of the first 16; without compaction
    - most_files: data and delete files of the partition that has most
    - stored: everything below the table's location; live: the same rows, written once per partition
    - compaction, hourly: of all until then. longest_wait: of a merge for one of them
    """

    minute: int
    read: float
    group: float
    merge: float
    most_files: int
    files: int
    snapshots: int
    metadata_bytes: int
    stored_bytes: int
    live_bytes: int
    compaction: float
    hourly: float
    longest_wait: float
    peak_mb: int


@dataclass
class PlayedDay:
    """One lake and its Bronze, driven as the assets drive them, on a clock that jumps from minute to minute."""

    lake: Lake
    store: BronzeStore
    maintained: bool
    clock: Clock = field(default_factory=Clock)
    number: int = 0
    orders: int = 0
    merges: list[float] = field(default_factory=list)
    compactions: list[float] = field(default_factory=list)
    compaction_waits: list[float] = field(default_factory=list)
    hourly: list[float] = field(default_factory=list)
    hourly_waits: list[float] = field(default_factory=list)

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Show the clock to the writers of snapshots and to maintenance, and time the compactions."""

        def timed(lake: Lake, table: Table) -> None:
            if self.maintained:
                with _timed(self.compactions, self.compaction_waits):
                    compact(lake, table)

        shown = SimpleNamespace(
            **{**vars(dt), "datetime": SimpleNamespace(now=lambda zone: self.clock().astimezone(zone))}
        )
        stamps = SimpleNamespace(time=lambda: self.clock().timestamp())
        with patched((batches, "compact", timed), (maintenance, "dt", shown), (commit, "time", stamps)):
            yield

    def load(self, rows: int) -> None:
        """Merge the first orders."""
        with duckdb.connect() as source:
            for first in range(0, rows, 50_000):
                self.clock.advance(1)
                self._put(source, min(50_000, rows - first), new_percent=100, objects=1)
        self._merge()
        self._refresh()

    def play(self, batches: int, *, minutes_between: int = 1) -> None:
        """Merge micro-batches; refresh the mart every MART_MINUTES; maintain both once an hour."""
        with duckdb.connect() as source:
            for _ in range(batches):
                self.clock.advance(60 * minutes_between)
                self._put(source, CHANGES, new_percent=NEW_PERCENT, objects=OBJECTS)
                before = sum(self.compactions)
                with _timed(self.merges):
                    self._merge()
                self.merges[-1] -= sum(self.compactions) - before
                if self.clock().minute % MART_MINUTES == 0:
                    self._refresh()
                if self.maintained and self.clock().minute == 30:
                    for layer, name in ((SILVER, ORDERS.lake_name), ("gold", DAILY.name)):
                        with _timed(self.hourly, self.hourly_waits):
                            maintain(self.lake, DOMAIN, [DAILY], layer=layer, name=name)

    def table(self) -> Table:
        """The table of orders as it is now."""
        return self.lake.table(SILVER, ORDERS.lake_name)

    def measure(self, minute: int) -> Point:
        """Read the table, and count what there is of it."""
        table = self.table()
        contents = Contents.of(table, table.metadata.current_snapshot_id)
        files = [*contents.data_files(), *contents.delete_files()]
        with self.lake.duckdb() as connection:
            scan = self.lake.scan_sql(table, None)
            return Point(
                minute=minute,
                read=_seconds(connection, _READ, scan),
                group=_seconds(connection, _GROUP, scan),
                merge=statistics.median(self.merges[-32:] or [0.0]),
                most_files=max(Counter(str(file.partition) for file in files).values()),
                files=len(files),
                snapshots=len(table.metadata.snapshots),
                metadata_bytes=Path(table.metadata_location).stat().st_size,
                stored_bytes=sum(path.stat().st_size for path in Path(table.location()).rglob("*") if path.is_file()),
                live_bytes=_live_bytes(connection, scan),
                compaction=sum(self.compactions),
                hourly=sum(self.hourly),
                longest_wait=max([*self.compaction_waits, *self.hourly_waits], default=0),
                peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            )

    def _put(self, source: duckdb.DuckDBPyConnection, changes: int, *, new_percent: int, objects: int) -> None:
        first, self.number = self.number, self.number + changes
        new = changes * new_percent // 100
        known, self.orders = self.orders, self.orders + new
        old = f"hash(i) % {known}" if known else "0"
        arn = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{ORDERS.table}/stream/2026-01-01T00:00:00.000"
        found = source.execute(f"""
            WITH numbers AS (SELECT i, i - {first} < {new} AS fresh,
                    CASE WHEN fresh THEN {known} + i - {first} ELSE {old} END::BIGINT AS n
                FROM range({first}, {self.number}) r(i)),
            images AS (SELECT *, 'O' || md5(n::VARCHAR) AS id, {_IMAGE} AS image FROM numbers)
            SELECT md5(i::VARCHAR), CASE WHEN fresh THEN 'INSERT' ELSE 'MODIFY' END, '{ORDERS.table}',
                (1000000000000000000000 + i)::HUGEINT::VARCHAR, epoch_us(TIMESTAMP '2026-01-05') + i,
                to_json({{OrderID: {{S: id}}}})::VARCHAR, to_json(image)::VARCHAR, NULL, NULL, '{arn}'
            FROM images ORDER BY i""").fetchall()
        rows = [Row(*row) for row in found]
        for at in range(objects):
            part = rows[at * len(rows) // objects : (at + 1) * len(rows) // objects]
            captured_at = self.clock() + dt.timedelta(seconds=at)
            name = ObjectName(ORDERS.table, captured_at, int(part[0].sequence_number), f"{self.number + at:016x}")
            self.store.put(name.path, to_parquet(part, captured_at=captured_at))

    def _merge(self) -> None:
        now = self.clock()
        for result in merge_pending(
            self.lake, self.store, ORDERS, DOMAIN, day=now.date(), run_id=f"run-{self.number}", now=now
        ):
            if not result.published:
                raise RuntimeError(f"the batch of {now} was not published: {result.checks}")

    def _refresh(self) -> None:
        now = self.clock()
        refresh(self.lake, DAILY, today=now.date(), now=now, run_id=f"run-{self.number}")


@contextmanager
def _timed(cpu: list[float], wall: list[float] | None = None) -> Iterator[None]:
    start, started = time.process_time(), time.perf_counter()
    yield
    cpu.append(time.process_time() - start)
    if wall is not None:
        wall.append(time.perf_counter() - started)


def _seconds(connection: duckdb.DuckDBPyConnection, query: str, source: str) -> float:
    seconds: list[float] = []
    for _ in range(REPEATS):
        with _timed(seconds):
            connection.execute(query.format(source=source)).fetchall()
    return statistics.median(seconds)


def _live_bytes(connection: duckdb.DuckDBPyConnection, scan: str) -> int:
    """Return the bytes of the rows as one Parquet file per partition, sorted by the key."""
    total = 0
    for (month,) in connection.execute(f"SELECT DISTINCT date_trunc('month', order_date) FROM {scan}").fetchall():
        wanted = f"FROM {scan} WHERE date_trunc('month', order_date) = $month ORDER BY order_id"
        rows, sink = connection.execute(wanted, {"month": month}).to_arrow_table(), pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd", compression_level=COMPRESSION_LEVEL)
        total += sink.tell()
    return total


def run() -> Iterator[dict[str, Any]]:
    """A day under maintenance, and its first two hours without any."""
    for side, minutes in (("under maintenance", MINUTES), ("without maintenance", MINUTES_WITHOUT)):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "medallion_assets_tests.bench.growth", side, folder, str(minutes)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                start: Point | None = None
                for line in process.stdout:
                    point = Point(**json.loads(line))
                    start = start or point
                    yield from _figures(side, point, start)
        if process.returncode:
            raise RuntimeError(f"the day {side} ended with {process.returncode}; its error is on the error stream")


def _figures(side: str, point: Point, start: Point) -> Iterator[dict[str, Any]]:
    for name, value in asdict(point).items():
        if name not in {"minute", "peak_mb"}:
            other = point.live_bytes if name == "stored_bytes" else getattr(start, name)
            yield {
                "work": f"growth {side}, minute {point.minute}, {name}",
                "ours": round(value, 4),
                "other": round(other, 4),
                "unit": "s" if isinstance(value, float) else "bytes" if "bytes" in name else "",
                "ratio": round(value / other, 2) if other else None,
                "peak_mb": point.peak_mb,
                "what_other_is": "the live bytes" if name == "stored_bytes" else "the start",
            }


def _play(side: str, folder: Path, minutes: int) -> Iterator[Point]:
    settings = LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-central-1")
    with Lake.open(settings) as lake:
        day = PlayedDay(lake, open_store(str(folder / "bronze")), maintained=side == "under maintenance")
        with day.playing():
            day.load(START_ROWS)
            yield replace(day.measure(0), merge=_first_merges(day))
            for quarter in range(1, 5):
                day.play(quarter * minutes // 4 - len(day.merges))
                yield day.measure(quarter * minutes // 4)


def _first_merges(day: PlayedDay) -> float:
    """Return the median of the first merges; the table has been measured before them."""
    day.play(16)
    return statistics.median(day.merges)


if __name__ == "__main__":
    for one in _play(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.write(f"{json.dumps(asdict(one))}\n")
        sys.stdout.flush()
