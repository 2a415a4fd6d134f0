"""A table captured as the poller captures it: objects with coverage, heartbeats, and updates of the ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.dead_letter import DeadLetter, write_dead_letter
from medallion_assets.capture.given_up import find_given_up
from medallion_assets.capture.heartbeat import PollerHeartbeat, ShardHeartbeat, write_heartbeat
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.ledger.backfill import unrecorded_gaps
from medallion_assets.ledger.gap import Gap
from medallion_assets.ledger.gaps import list_open_gaps
from medallion_assets.ledger.status import LedgerStatus
from medallion_assets.ledger.update import LedgerUpdate, update_ledger
from medallion_assets.ledger.view import ScanCursor
from medallion_assets_tests.silver.changes import NOON, Bench, bench_on_files, contract
from medallion_assets_tests.silver.changes import record as change

STREAM = "arn:aws:dynamodb:eu-central-1:123456789012:table/Orders/stream/2026-03-01T00:00:00.000"
ORDERS = contract("Orders", {"Id": "string", "Amount": "int"}, key="Id")


@dataclass
class Captured:
    """One table, `orders`, with its shards. `now` is the time of everything that happens."""

    bench: Bench
    root: Path
    given_up: BronzeStore
    now: datetime = NOON
    covered_up_to: dict[str, str | None] = field(default_factory=dict)
    dead_lettered: dict[str, int] = field(default_factory=dict)
    cursors: dict[str, ScanCursor] = field(default_factory=dict)
    runs: int = 0

    def pass_(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def put(self, shard: str, *numbers: int, bad: bool = False) -> str:
        """Write one object with these records of a shard, each of its own item. Return its path."""
        self.pass_(seconds=1)
        records = [order(number, "x" if bad else "1", self.now) for number in numbers]
        coverage = ShardCoverage(
            stream_arn=STREAM,
            shard_id=shard,
            after=self.covered_up_to.get(shard),
            up_to=str(numbers[-1]),
            dead_lettered=self.dead_lettered.pop(shard, 0),
        )
        before = set(self.paths())
        assert write_bronze(records, store=self.bench.store, captured_at=self.now, coverage=coverage) == []
        self.covered_up_to[shard] = str(numbers[-1])
        (path,) = set(self.paths()) - before
        return path

    def put_without_coverage(self, *numbers: int) -> str:
        """Write one object as a Lambda function does. Return its path."""
        self.pass_(seconds=1)
        before = set(self.paths())
        records = [order(number, "1", self.now) for number in numbers]
        assert write_bronze(records, store=self.bench.store, captured_at=self.now) == []
        (path,) = set(self.paths()) - before
        return path

    def set_aside(self, *numbers: int) -> None:
        """Write the dead letters of these records."""
        for number in numbers:
            self.pass_(seconds=1)
            letter = DeadLetter(failed_at=self.now, reason="a bug", record=order(number, "1", self.now))
            write_dead_letter(self.bench.store, letter)

    def give_up(self, *numbers: int) -> None:
        """Store these records as a batch that Lambda gave up."""
        self.pass_(seconds=1)
        document = {
            "DDBStreamBatchInfo": {"streamArn": STREAM},
            "payload": json.dumps({"Records": [order(number, "1", self.now) for number in numbers]}),
        }
        path = f"aws/lambda/mapping/shard/{self.now:%Y/%m/%d}/{self.now:%Y-%m-%dT%H.%M.%S}-{numbers[0]}"
        self.given_up.put(path, json.dumps(document).encode())

    def poll(self, *, read_up_to: datetime | None = None, started_at: datetime = NOON) -> datetime:
        """Write a heartbeat: everything that was put is read, up to now or `read_up_to`."""
        to = read_up_to or self.now
        shards = tuple(
            ShardHeartbeat(shard_id=shard, up_to=up_to, dead_lettered=self.dead_lettered.get(shard, 0), finished=False)
            for shard, up_to in self.covered_up_to.items()
        )
        write_heartbeat(
            self.bench.store,
            PollerHeartbeat(
                table="Orders",
                stream_arn=STREAM,
                started_at=started_at,
                written_at=self.now,
                read_up_to=to,
                shards=shards,
            ),
        )
        return to

    def merge(self) -> None:
        """Merge all objects into Silver, capture day by capture day."""
        for day in sorted({path.split("day=")[1][:2] for path in self.paths()}):
            self.bench.merge_pending("orders", day=NOON.date().replace(day=int(day)), now=self.now)

    def rerun(self) -> None:
        """Rerun the current capture day."""
        self.bench.remerge_day("orders", day=self.now.date(), now=self.now)

    def update(self) -> LedgerStatus:
        """Update the ledger once; return the status of the table."""
        return self.update_ledger().statuses["orders"]

    def update_ledger(self) -> LedgerUpdate:
        self.runs += 1
        done = update_ledger(
            self.bench.lake,
            self.bench.store,
            self.bench.domain,
            run_id=f"ledger-{self.runs}",
            now=self.now,
            given_up=find_given_up(self.given_up),
            cursors=self.cursors,
        )
        self.cursors = dict(done.cursors)
        return done

    def rows(self) -> dict[str, Mapping[str, Any]]:
        """Return the rows of the ledger by object."""
        return {row["object"]: row for row in self.bench.rows("ledger", namespace="ops")}

    def recorded(self) -> dict[str, str]:
        """Return the state of every recorded object."""
        return {name: row["state"] for name, row in self.rows().items()}

    def snapshots(self) -> dict[int | None, set[str]]:
        """Return the objects that each Silver snapshot was the first to contain."""
        found: defaultdict[int | None, set[str]] = defaultdict(set)
        for name, row in self.rows().items():
            found[row["snapshot_id"]].add(name)
        return dict(found)

    def paths(self) -> list[str]:
        return list(self.bench.store.list("Orders"))

    def file(self, path: str) -> Path:
        """Return the file of an object."""
        return self.root / path


def oldest_loss(bench: Bench) -> Gap | None:
    """Return the oldest gap of `orders` that needs a backfill, recorded or only marked by the poller."""
    gaps = [gap for gap in list_open_gaps(bench.lake, "orders") if gap.lossy]
    gaps += unrecorded_gaps(bench.lake, bench.store, ORDERS)
    return min(gaps, key=lambda gap: gap.detected_at, default=None)


def order(number: int, amount: str, at: datetime) -> dict[str, object]:
    made = change("Orders", number, {"Id": {"S": f"o-{number}"}}, {"Amount": {"N": amount}})
    made["dynamodb"]["ApproximateCreationDateTime"] = at.replace(microsecond=0).timestamp()
    return made


@contextmanager
def captured_on_files(folder: Path) -> Iterator[Captured]:
    with bench_on_files(folder, ORDERS) as bench:
        yield Captured(bench, folder / "bronze", open_store(str(folder / "given-up")))
