"""Stream records and Bronze objects for tests, and contracts made from a few words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from medallion_assets.capture.envelope import envelope, to_parquet
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.silver.batch import BatchResult
from medallion_assets.silver.batches import merge_pending, remerge_day
from medallion_assets.silver.quarantine import Dropped, drop
from medallion_assets.silver.replay import ReplayResult, replay
from medallion_assets.silver.table import SILVER

DAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Item = Mapping[str, Mapping[str, Any]]


def contract(table: str, columns: Mapping[str, Any], *, key: str | tuple[str, str], **more: Any) -> Contract:
    """A contract as a file would say it."""
    parts = (key, None) if isinstance(key, str) else key
    return Contract.model_validate(
        {
            "table": table,
            "owner": "team:tests",
            "key": {"hash": parts[0], "range": parts[1]},
            "columns": dict(columns),
            **more,
        }
    )


def domain(*contracts: Contract) -> Domain:
    return Domain(name="tests", folder=Path(), since=date(2026, 1, 1), tables=contracts)


def record(table: str, sequence: int, keys: Item, new: Item | None, *, name: str | None = None) -> dict[str, Any]:
    """One change as Lambda delivers it; `new` None is a deletion, and `keys` are added to it."""
    change: dict[str, Any] = {
        "Keys": keys,
        "SequenceNumber": str(sequence),
        "ApproximateCreationDateTime": NOON.timestamp(),
    }
    if new is not None:
        change["NewImage"] = {**keys, **new}
    return {
        "eventID": f"{table}-{sequence}",
        "eventName": name or ("REMOVE" if new is None else "MODIFY"),
        "eventSourceARN": f"arn:aws:dynamodb:eu-central-1:123456789012:table/{table}/stream/2026-03-01T00:00:00.000",
        "dynamodb": change,
    }


def bronze_bytes(*records: Mapping[str, Any], at: datetime = NOON) -> bytes:
    return to_parquet([envelope(one) for one in records], captured_at=at)


@dataclass
class Bench:
    """A lake, a Bronze store and a domain, driven as the assets drive them."""

    lake: Lake
    store: BronzeStore
    domain: Domain
    _seconds: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, *records: Mapping[str, Any], day: date = DAY) -> None:
        """Capture the records now, as one batch."""
        failed = write_bronze(list(records), store=self.store, captured_at=self.clock(day))
        assert failed == []

    def clock(self, day: date = DAY) -> datetime:
        """Return a later time with every call: seconds after the day's noon."""
        return datetime.combine(day, NOON.timetz()) + timedelta(seconds=next(self._seconds))

    def merge_pending(self, table: str, *, day: date = DAY, now: datetime = NOON) -> list[BatchResult]:
        return list(
            merge_pending(
                self.lake,
                self.store,
                self.domain.by_name[table],
                self.domain,
                day=day,
                run_id=f"run-{next(self._runs)}",
                now=now,
            )
        )

    def remerge_day(self, table: str, *, day: date = DAY, now: datetime = NOON) -> list[BatchResult]:
        return list(
            remerge_day(
                self.lake,
                self.store,
                self.domain.by_name[table],
                self.domain,
                day=day,
                run_id=f"run-{next(self._runs)}",
                now=now,
            )
        )

    def replay(self, table: str, *, where: str | None = None, now: datetime = NOON) -> ReplayResult:
        return replay(
            self.lake,
            self.domain.by_name[table],
            self.domain,
            where=where,
            run_id=f"run-{next(self._runs)}",
            now=now,
        )

    def drop(self, table: str, *, where: str, reason: str = "test data", now: datetime = NOON) -> Dropped:
        return drop(
            self.lake,
            self.domain.by_name[table],
            where=where,
            reason=reason,
            run_id=f"run-{next(self._runs)}",
            now=now,
        )

    def rows(self, name: str, *, namespace: str = SILVER) -> list[dict[str, Any]]:
        """Return the rows of the published table; none if it does not exist."""
        table = self.lake.find(namespace, name)
        if table is None:
            return []
        with self.lake.duckdb() as connection:
            found = connection.execute(f"SELECT * FROM {self.lake.scan_sql(table, None)}").to_arrow_table()
        return list(found.to_pylist())

    def snapshots(self, name: str) -> int:
        table = self.lake.find(SILVER, name)
        return len(table.metadata.snapshots) if table is not None else 0


@contextmanager
def bench_on_files(folder: Path, *contracts: Contract) -> Iterator[Bench]:
    """A Bench on a lake of files, for tests that need many of them."""
    settings = LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-central-1")
    with Lake.open(settings) as lake:
        yield Bench(lake, open_store(str(folder / "bronze")), domain(*contracts))
