"""A lake with everything in it: the simulation's shop after a history of inserts, updates, deletes and a new contract.

Belongs here: what happens, through capture, merge, audit, publish, refresh, maintenance and the writers of `ops`. Does
not belong here: reading it.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.update import update_ledger
from medallion_assets.maintenance.maintain import maintain
from medallion_assets.ops.tables import OPS_TABLES, OpsTable
from medallion_assets.ops.upsert import upsert
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.reconcile import Reconciliation
from medallion_assets.reconciliation.record import record_reconciliation
from medallion_assets.reconciliation.scan import Description, Keys
from medallion_assets.reconciliation.verify import Verification, verify
from medallion_assets.simulation import harness
from medallion_assets.simulation.table import Table
from medallion_assets.testing import Pipeline

_EXTREMES = """\
  Whole: 'decimal(38,0)'
  Thousandth: 'decimal(3,3)'
  Parts: 'list<struct<Name:string,Share:decimal(9,6)>>'
  Grid: 'list<list<bigint>>'
  Shelves: 'map<list<string>>'
  Marks: set<binary>
"""
_ADDED = "  Added: string\n  AddedAt: timestamp\n"


@dataclass
class Shop:
    """The pipeline of the simulation's shop, whose readings have a column of every type, on one lake."""

    pipeline: Pipeline
    lake: Lake
    store: BronzeStore
    folder: Path

    @classmethod
    def on(cls, lake: Lake, folder: Path) -> Shop:
        """Return a shop without items; contracts and Bronze go below `folder`."""
        shutil.copytree(Path(harness.__file__).parent / "shop", folder / "domain")
        _insert(folder / "domain" / "tables" / "readings.yaml", _EXTREMES)
        store = open_store(str(folder / "bronze"))
        return cls(Pipeline(load_domain(str(folder / "domain")), lake, store), lake, store, folder)

    def add_columns(self) -> None:
        """Go on with a contract of the readings that has two more columns."""
        _insert(self.folder / "domain" / "tables" / "readings.yaml", _ADDED)
        self.pipeline.domain = load_domain(str(self.folder / "domain"))
        self.pipeline.marts = load_marts(self.pipeline.domain)

    def verify(self, note: Any = None) -> Verification:
        """Compare the lake with the source."""
        tables = self.pipeline._cloud.tables
        return verify(
            self.lake,
            self.pipeline.domain,
            self.pipeline.marts,
            source=lambda contract: Scanned(tables[contract.table]),
            store=self.store,
            today=self.pipeline.now.date(),
            catch_up=CatchUp(capture_delay_seconds=0, limit_seconds=0, now=lambda: self.pipeline.now),
            note=note,
        )

    def maintain(self, *, older_than: timedelta = timedelta()) -> None:
        """Compact every table as if it were due, and expire its snapshots."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("medallion_assets.lake.maintenance.COMMITS_BETWEEN", 2)
            patch.setattr("medallion_assets.lake.maintenance.FOLD_FILES", 2)
            for namespace, name in all_tables(self.lake):
                maintain(
                    self.lake,
                    self.pipeline.domain,
                    self.pipeline.marts,
                    layer=namespace,
                    name=name,
                    older_than=older_than,
                )


def all_tables(lake: Lake) -> list[tuple[str, str]]:
    """Return every table of every namespace of the catalog."""
    namespaces = sorted(namespace for (namespace,) in lake._catalog.list_namespaces())
    return [(namespace, name) for namespace in namespaces for name in lake.tables(namespace)]


def play(shop: Shop) -> None:
    """Play the history, and check that the lake is what the source is."""
    pipeline = shop.pipeline
    for number in range(6):
        pipeline.put("Customers", {"CustomerID": f"c{number}", "Name": f"Näme {number}", "Region": "north", "Tier": 1})
        pipeline.put("Orders", order(number, pipeline.now))
        pipeline.put("Readings", reading(f"d{number % 2}", number))
    pipeline.put("Readings", {"Device": "d9", "At": 1, "Small": None, "Names": [], "Counts": {}, "Anything": None})
    pipeline.put("Readings", {"Device": "d9", "At": 2})
    pipeline.run()

    pipeline.put("Customers", {"CustomerID": "c1", "Name": "moved", "Region": "south", "Tier": 2})
    pipeline.put("Orders", {**order(2, pipeline.now), "Amount": Decimal("0.01"), "Status": "paid"})
    pipeline.put("Orders", order(7, pipeline.now - timedelta(days=1)))
    pipeline.delete("Orders", {"OrderID": "o3"})
    pipeline.delete("Readings", {"Device": "d1", "At": 3})
    pipeline.put("Readings", {"Device": "d5", "At": 1, "Note": "# breaks the pattern", "Blob": b"\x00\xff"})
    pipeline.put("Readings", {"Device": "d5", "At": 2, "Small": "no number"})
    pipeline.put("Orders", {**order(9, pipeline.now), "Amount": "no number"})
    pipeline.put("Customers", {"CustomerID": "c9", "Name": "C", "Tier": -1})
    pipeline.run()
    shop.maintain()

    shop.add_columns()
    pipeline.put("Readings", {**reading("d0", 2), "Added": "later", "AddedAt": "2026-02-03T04:05:06.000007Z"})
    pipeline.delete("Customers", {"CustomerID": "c5"})
    pipeline.put("Orders", {**order(8, pipeline.now), "CustomerID": "nobody"})
    pipeline.run()
    # After the last compaction: rows that are deleted by position in files that stay.
    pipeline.put("Orders", {**order(1, pipeline.now), "Status": "cancelled"})
    pipeline.put("Readings", {**reading("d0", 0), "Flag": None, "Unknown": {"a": [1, "b", None]}})
    pipeline.run()

    write_ops(shop)


def write_ops(shop: Shop) -> None:
    """Fill every table of `ops`: ledger and reconciliations by their writers, then each with a full and a bare row."""
    now = shop.pipeline.now
    update_ledger(shop.lake, shop.store, shop.pipeline.domain, run_id="ledger", now=now)
    found: list[Reconciliation] = []
    assert shop.verify(found.append).agrees
    for one in found:
        record_reconciliation(shop.lake, one, run_id="verify")
    for table in OPS_TABLES:
        upsert(shop.lake, table, list(_ops_rows(table, now)), run_id="test")


def order(number: int, at: datetime) -> dict[str, Any]:
    """Return an order of that time."""
    amount = Decimal("9999999999.99") - number
    fields = {"CustomerID": f"c{number}", "OrderDate": at.isoformat(), "Amount": amount, "Status": "open"}
    return {"OrderID": f"o{number}", **fields, "Secret": "is dropped"}


def reading(device: str, at: int) -> dict[str, Any]:
    """Return a reading with a value in every column, at the edges of its type."""
    sign = "" if at % 2 else "-"
    times = ("1969-12-31T23:59:59.999999Z", "2026-03-29T02:30:00.123456+02:00", "9999-12-31T23:59:59.999999Z")
    return {
        "Device": device,
        "At": at,
        "Small": int(f"{sign}2147483647"),
        "Big": int(f"{sign}9223372036854775807"),
        "Exact": Decimal(f"{sign}1234567890123456789012345678.0123456789"),
        "Rough": Decimal(f"{sign}1.7976931348623157E+100"),
        "Flag": at % 2 == 0,
        "Blob": bytes(range(0, 256, 5)) if at else b"\x00",
        "Day": ["0001-01-01", "1969-12-31", "2026-02-28", "9999-12-31"][at % 4],
        "Seen": times[at % 3],
        "Note": "quote ' back \\ ünïcødé 🦆 \n",
        "Names": ["b", None, "a", ""],
        "Tags": {"z", "ä", "a b"},
        "Levels": {3, -1, 2147483647},
        "Counts": {"one": 1, "zwölf": 12, "": 0, "none": None},
        "Place": {"Lat": Decimal("-123.456789"), "Label": None if at % 2 else "here"},
        "Anything": {"deep": [1, {"x": Decimal("1E-30")}, None, True, "s"], "empty": {}},
        "Whole": Decimal(f"{sign}99999999999999999999999999999999999999"),
        "Thousandth": Decimal(f"{sign}0.125"),
        "Parts": [{"Name": "p", "Share": Decimal("0.5")}, {"Name": None, "Share": None}],
        "Grid": [[1, 2], [], [-9223372036854775808]],
        "Shelves": {"top": ["a", "b"], "empty": []},
        "Marks": {b"\x00", b"\xff\xfe"},
        "Undeclared": {"kept": "in _extra"},
    }


class Scanned:
    """A simulated table as reconciliation reads it."""

    units = 0.0

    def __init__(self, table: Table) -> None:
        self._table = table

    def scan(self) -> Iterator[bytes]:
        """Yield every item in one document."""
        yield _document(self._table)

    def get(self, keys: Iterable[Keys]) -> Iterator[bytes]:
        """Yield the items that exist."""
        typed = ({name: _typed(value) for name, value in key.items()} for key in keys)
        yield _document([item for key in typed if (item := self._table.get(key)) is not None])

    def describe(self) -> Description:
        """Return the table's ARN, its key and its stream."""
        return Description(self._table.arn, dict(self._table.key), self._table.streams[-1].arn)


def _typed(value: Mapping[str, str]) -> dict[str, Any]:
    return {tag: base64.b64decode(text) if tag == "B" else text for tag, text in value.items()}


def _document(items: Iterable[Mapping[str, Any]]) -> bytes:
    return orjson.dumps({"Items": list(items)}, default=lambda raw: base64.b64encode(raw).decode())


def _insert(contract: Path, columns: str) -> None:
    """Add columns at the end of a contract whose last section is its columns."""
    contract.write_text(contract.read_text() + columns)


def _ops_rows(table: OpsTable, now: datetime) -> Iterator[dict[str, Any]]:
    values = {
        "string": "text",
        "strings": ["a", None, ""],
        "integer": 2**63 - 1,
        "double": 0.1,
        "boolean": True,
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    }
    for bare in (False, True):
        row = {one.name: None if bare and not one.required else values[one.type] for one in table.columns}
        yield {**row, table.key: f"{table.name}-{'bare' if bare else 'full'}", table.order_by: now}
