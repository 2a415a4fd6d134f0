"""A rebuild from Bronze: the same table, whether its objects are read by themselves or from compacted copies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.bronze import chunks, copies
from medallion_assets.bronze.compacted import FOLDER
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.maintenance.compact_bronze import compact_bronze
from medallion_assets.repair.rebuild import rebuild
from medallion_assets.repair.rebuilt import Rebuilt
from medallion_assets.silver.table import DELETED, QUARANTINE
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record

DAYS = [date(2026, 3, number) for number in (1, 2, 4)]
NOW = datetime(2026, 3, 5, 9, tzinfo=UTC)
CUSTOMERS = contract("Customers", {"Id": "string", "Age": "int"}, key="Id", rules={"quarantine_share": {"max": 1}})


def fill(bench: Bench) -> None:
    """Capture three days of changes, with deletions and changes that break the contract."""
    for number in range(90):
        new = None if number % 7 == 0 else {"Age": {"N": str(number)} if number % 11 else {"S": "old"}}
        bench.put(record("Customers", number, {"Id": {"S": f"c{number % 20}"}}, new), day=DAYS[number // 30])


def rebuilt(bench: Bench, layer: str) -> Rebuilt:
    done = rebuild_table(bench, layer)
    assert (done.days, done.rows) == (3, 90)
    return done


def rebuild_table(bench: Bench, layer: str) -> Rebuilt:
    return rebuild(
        bench.lake,
        bench.store,
        bench.domain,
        (),
        layer=layer,
        name="customers",
        run_id="again",
        now=NOW,
        engine=EmbeddedEngine(bench.lake),
    )


def tables(bench: Bench) -> list[list[dict[str, Any]]]:
    found = [bench.rows("customers"), *(bench.rows("customers", namespace=one) for one in (DELETED, QUARANTINE))]
    own = ("run_id", "_run_id", "quarantined_at", "updated_at")
    return [sorted(({name: row[name] for name in row if name not in own} for row in rows), key=repr) for rows in found]


def test_a_key_of_another_type_removes_the_table_first(tmp_path: Path) -> None:
    with bench_on_files(tmp_path, contract("Customers", {"Id": "string"}, key="Id")) as bench:
        bench.put(*(record("Customers", n, {"Id": {"N": str(n)}}, {} if n > 1 else None) for n in range(1, 4)))
        assert bench.merge_pending("customers")[0].published
        bench.domain = domain(contract("Customers", {"Id": "bigint"}, key="Id"))
        done = rebuild_table(bench, "silver")
        assert done == Rebuilt(("silver.customers", "deleted.customers"), 1, 3)
        found = (sorted(row["id"] for row in bench.rows("customers", namespace=one)) for one in ("silver", DELETED))
        assert list(found) == [[2, 3], [1]]


def test_a_rebuild_from_copies_makes_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MIN_OBJECTS", 1)
    with bench_on_files(tmp_path, CUSTOMERS) as bench:
        fill(bench)
        rebuilt(bench, "silver")
        rebuilt(bench, "quarantine")
        before = tables(bench)
        assert all(before)
        compact_bronze(bench.store, "Customers", now=NOW, elapsed=timedelta)
        assert len(list(bench.store.list(FOLDER))) == len(DAYS)
        monkeypatch.setattr(chunks, "read_object", None)  # each object is in a copy
        assert rebuilt(bench, "silver") == Rebuilt((), 3, 90, replaced=True)
        assert rebuilt(bench, "deleted").removed == ("silver.customers", "deleted.customers")
        assert rebuilt(bench, "quarantine").removed == ("quarantine.customers",)
        assert tables(bench) == before
