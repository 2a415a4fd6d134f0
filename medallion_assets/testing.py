"""Run changes through a domain inside a test: capture, Silver, audits and Gold, in this process and on files.

Belongs here: what the tests of a user's project call. Does not belong here: merging and computing; the code that runs
is that of production. DynamoDB is the simulator's, so nothing listens on a port and nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import AuditFailed
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.tables import create_tables
from medallion_assets.silver.batches import merge_pending
from medallion_assets.simulation.cloud import Cloud

Item = Mapping[str, Any]
"""An item as Python values: text, int, Decimal, bool, None, bytes, lists, sets and dicts. No floats, as in boto3."""


@contextmanager
def open_pipeline(domain: str | Path | Domain, folder: Path) -> Iterator[Pipeline]:
    """Yield a pipeline with empty tables: the source in memory, Bronze and the lake below `folder`.

    Raises ContractError or MartError for a mistake in the domain's files.
    """
    loaded = domain if isinstance(domain, Domain) else load_domain(str(domain))
    settings = LakeSettings(warehouse=str(folder.resolve() / "warehouse"), catalog="sqlite", region="us-east-1")
    with Lake.open(settings) as lake:
        yield Pipeline(loaded, lake, open_store(str(folder.resolve() / "bronze")))


class Pipeline:
    """A domain's tables, and what becomes of their changes. Its time stands at noon (UTC) of the current day."""

    def __init__(self, domain: Domain, lake: Lake, store: BronzeStore) -> None:
        self.domain = domain
        self.marts = load_marts(domain)
        self._lake = lake
        self._store = store
        self._runs = 0
        # At noon no run of a test crosses midnight, whenever the test runs.
        self._cloud = Cloud(seed=0, start=datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0))
        create_tables(self._cloud.dynamodb, domain)
        self._mappings = [self._cloud.mapping(table, self._capture) for table in self._cloud.tables.values()]

    @property
    def now(self) -> datetime:
        """The pipeline's time, aware UTC; `current_date` in a mart is its day."""
        return self._cloud.clock()

    def put(self, table: str, item: Item) -> None:
        """Put an item into a table (its DynamoDB name). Raises botocore's errors."""
        self._cloud.dynamodb.put_item(TableName=table, Item=_typed(item))

    def delete(self, table: str, key: Item) -> None:
        """Delete the item with this key from a table (its DynamoDB name). Raises botocore's errors."""
        self._cloud.dynamodb.delete_item(TableName=table, Key=_typed(key))

    def capture(self) -> None:
        """Capture what was written since the last time; nothing is merged."""
        for mapping in self._mappings:
            mapping.drain()

    def run(self) -> None:
        """Capture, merge, audit and publish what was written since the last run, up to every mart.

        Raises AuditFailed if a check blocks a publication; the message has each failed check with its numbers.
        """
        self._runs += 1
        self.capture()
        today, run_id = self.now.date(), f"test-{self._runs}"
        for contract in self.domain.tables:
            batches = merge_pending(
                self._lake, self._store, contract, self.domain, day=today, run_id=run_id, now=self.now
            )
            for batch in batches:
                _require_published(f"silver/{contract.lake_name}", batch.checks, published=batch.published)
        for mart in self.marts:
            done = refresh(self._lake, mart, today=today, now=self.now, run_id=run_id)
            _require_published(f"gold/{mart.name}", done.checks, published=done.published)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a SELECT (Trino's dialect) over silver.*, gold.* and quarantine.*. Raises MartError."""
        with Embedded(self._lake) as engine:
            rows: list[dict[str, Any]] = engine.run_published(sql, today=self.now.date()).to_pylist()
        return rows

    def _capture(self, event: Mapping[str, Any], _context: object) -> Mapping[str, Any]:
        failed = write_bronze(event["Records"], store=self._store, captured_at=self.now)
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


def _typed(values: Item) -> dict[str, Any]:
    from boto3.dynamodb.types import TypeSerializer

    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in values.items()}


def _require_published(asset: str, checks: Sequence[CheckResult], *, published: bool) -> None:
    if published:
        return
    failed = [check for check in checks if check.blocks_publish]
    lines = [
        f"{check.name}: {check.description} "
        + ", ".join(f"{name} {number}" for name, number in check.numbers.items())
        + (f"; for example {', '.join(check.examples)}" if check.examples else "")
        for check in failed
    ]
    raise AuditFailed(f"{asset} was not published:\n" + "\n".join(lines))
