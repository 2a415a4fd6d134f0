"""A Silver table is made again beside the old one: another type or partition, other writers, and every crash."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import AuditFailed, SchemaMismatch
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.history import changed_rows
from medallion_assets.lake.maintenance import remove_orphans
from medallion_assets.reconciliation.reconcile import reconcile
from medallion_assets.repair.replace_silver import Replaced, replace_silver
from medallion_assets.silver import quarantine
from medallion_assets.silver.table import DELETED, QUARANTINE, SILVER
from medallion_assets_tests.repair.source import Clock, Items
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record

DAYS = [date(2026, 3, number) for number in (1, 2, 4)]
NOW = datetime(2026, 3, 5, 9, tzinfo=UTC)
RULES = {"quarantine_share": {"max": 1}}
BEFORE = {"Id": "string", "Price": "string", "N": "int", "Day": "date", "Gone": "string"}
# Price gets another type, N a narrower range of values, Gone is not declared any more, and the table a partition.
AFTER = {
    "Id": "string",
    "Price": "decimal(10,2)",
    "Number": {"type": "bigint", "renamed_from": "n"},
    "Day": "date",
    "N": {"type": "int", "rename": "number_2", "rules": [{"max": 80}]},
}


def old_contract() -> Contract:
    return contract("Orders", BEFORE, key="Id", rules=RULES)


def new_contract() -> Contract:
    columns = {**AFTER, "N": {"type": "bigint", "renamed_from": "n", "rename": "number", "rules": [{"max": 80}]}}
    columns.pop("Number")
    return contract("Orders", columns, key="Id", rules=RULES, partition=[{"column": "day", "transform": "month"}])


def change(number: int) -> dict[str, Any]:
    price = {"S": "1.50"} if number % 13 else {"BOOL": True}
    new = {"Price": price, "N": {"N": str(number)}, "Day": {"S": f"2026-0{number % 3 + 1}-01"}, "Gone": {"S": "x"}}
    priced = new | {"Price": {"N": "1.50"}} if number > 30 else new
    return record("Orders", number, {"Id": {"S": f"o{number % 20}"}}, None if number % 7 == 0 else priced)


BAD = record("Orders", 90, {"Id": {"S": "bad"}}, {"Price": {"BOOL": True}})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, old_contract()) as opened:
        for number in range(90):
            opened.put(change(number), day=DAYS[number // 30])
        opened.put(BAD, day=DAYS[-1])
        for day in DAYS:
            assert all(one.published for one in opened.merge_pending("orders", day=day))
        yield opened


def replaced(bench: Bench) -> Replaced:
    (declared,) = bench.domain.tables
    return replace_silver(bench.lake, bench.store, bench.domain, declared, run_id="again", now=NOW)


def tables(bench: Bench) -> list[list[dict[str, Any]]]:
    """Return the rows of Silver, deleted keys and quarantine, without when and by whom they were written."""
    found = [bench.rows("orders"), *(bench.rows("orders", namespace=one) for one in (DELETED, QUARANTINE))]
    own = ("run_id", "_run_id", "quarantined_at", "resolved_at")
    return [sorted(({name: row[name] for name in row if name not in own} for row in rows), key=repr) for rows in found]


def entries(bench: Bench) -> set[str]:
    return {f"{one}.{name}" for one in (SILVER, DELETED, QUARANTINE) for name in bench.lake.tables(one)}


def fresh(bench: Bench, folder: Path) -> list[list[dict[str, Any]]]:
    """Return what a lake becomes that has known the new contract only."""
    with bench_on_files(folder, new_contract()) as other:
        other.store = bench.store
        for day in DAYS:
            other.merge_pending("orders", day=day)
        return tables(other)[:2]


def test_another_type_and_partition_in_one_step(bench: Bench, tmp_path: Path) -> None:
    old = bench.lake.table(SILVER, "orders")
    before = tables(bench)
    bench.domain = domain(new_contract())
    bench.put(change(91), day=DAYS[-1])
    with pytest.raises(SchemaMismatch, match="medallion rebuild"):
        bench.merge_pending("orders", day=DAYS[-1])
    done = replaced(bench)
    assert (done.days, done.changes) == (3, 92) and done.rows == len(bench.rows("orders"))
    assert tables(bench)[:2] == fresh(bench, tmp_path / "fresh")
    now = bench.lake.table(SILVER, "orders")
    assert now.metadata.table_uuid == old.metadata.table_uuid and str(now.spec().fields[0].transform) == "month"
    for name, earlier in (("id", "id"), ("number", "n"), ("day", "day")):
        assert now.schema().find_field(name).field_id == old.schema().find_field(earlier).field_id
    assert now.schema().find_field("price").field_id > old.metadata.last_column_id
    snapshot = old.metadata.current_snapshot_id
    read = now.scan(snapshot_id=snapshot).to_arrow().sort_by("id").to_pylist()
    assert [row["price"] for row in read] == [row["price"] for row in sorted(before[0], key=lambda row: row["id"])]
    assert entries(bench) == {"silver.orders", "deleted.orders", "quarantine.orders"}
    current = now.metadata.current_snapshot_id
    assert current is not None and changed_rows(bench.lake, now, since=snapshot, until=current, columns=["id"]) is None
    bench.put(change(92), day=DAYS[-1])
    (merged,) = bench.merge_pending("orders", day=DAYS[-1])
    assert merged.published and merged.objects


def test_the_lake_equals_the_source_afterwards(bench: Bench, tmp_path: Path) -> None:
    declared = new_contract()
    source = Items(declared)
    for number in range(90):
        image = change(number)["dynamodb"].get("NewImage")
        keys = change(number)["dynamodb"]["Keys"]
        source.put(image) if image else source.delete(keys)
    source.put(BAD["dynamodb"]["NewImage"])
    bench.domain = domain(declared)
    replaced(bench)
    compared = reconcile(
        bench.lake,
        bench.domain,
        declared,
        source=source,
        store=bench.store,
        folder=tmp_path / "reconciled",
        catch_up=Clock().catch_up(),
    ).comparison
    assert compared.agrees and (compared.equal, compared.in_quarantine) == (9, 9), compared


def test_what_others_merge_meanwhile_is_in_the_new_table(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = quarantine.open_rows

    def merge_once(*arguments: Any) -> Any:
        monkeypatch.setattr(quarantine, "open_rows", opened)
        bench.put(record("Orders", 200, {"Id": {"S": "late"}}, {"N": {"N": "1"}}), day=DAYS[-1])
        assert bench.merge_pending("orders", day=DAYS[-1])[0].inserted == 1
        return opened(*arguments)

    monkeypatch.setattr(quarantine, "open_rows", merge_once)
    before = tables(bench)
    assert replaced(bench).changes == 92
    after = tables(bench)
    assert "late" in {row["id"] for row in after[0]}
    assert [[row for row in rows if row["id"] != "late"] for rows in after[:2]] == before[:2]


def test_what_was_dropped_from_quarantine_stays_dropped(bench: Bench) -> None:
    bench.drop("orders", where="TRUE")
    (dropped,) = (row for row in tables(bench)[2] if row["status"] == "dropped")
    looser = contract("Orders", {**BEFORE, "Price": "json"}, key="Id", rules=RULES)
    bench.domain = domain(looser)
    replaced(bench)
    assert [row for row in tables(bench)[2] if row["status"] == "dropped"] == [dropped]
    assert "bad" not in {row["id"] for row in bench.rows("orders")}


def test_lost_days_of_bronze_stop_it(bench: Bench, tmp_path: Path) -> None:
    before = tables(bench)
    for day in DAYS[1:]:
        for name in list(bench.store.list("Orders", day=day)):
            (tmp_path / "bronze" / name).unlink()
    with pytest.raises(AuditFailed, match=r"keys that Bronze does not have.*The table is as it was"):
        replaced(bench)
    assert tables(bench) == before


def test_a_table_whose_files_are_lost(bench: Bench) -> None:
    before = tables(bench)
    for file in bench.lake.table(SILVER, "orders").inspect.files()["file_path"].to_pylist():
        Path(file.removeprefix("file://")).unlink()
    replaced(bench)
    assert tables(bench)[:2] == before[:2]


CRASHES = 60


@pytest.mark.parametrize(
    "point", [*(pytest.param(one, marks=() if one in {3, 17, 30} else pytest.mark.slow) for one in range(CRASHES))]
)
def test_a_crash_leaves_the_old_table_or_the_new_one(
    point: int, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before or after a commit of the catalog: even points before it, odd ones after it."""
    old = tables(bench)
    bench.domain = domain(new_contract())
    counted = 0

    def dying(act: str) -> Any:
        original = getattr(SqlCatalog, act)

        def call(self: SqlCatalog, *arguments: Any, **more: Any) -> Any:
            nonlocal counted
            counted += 1
            if counted - 1 == point // 2 and point % 2 == 0:
                raise KeyboardInterrupt
            result = original(self, *arguments, **more)
            if counted - 1 == point // 2 and point % 2 == 1:
                raise KeyboardInterrupt
            return result

        return call

    with monkeypatch.context() as patch:
        for act in ("commit_table", "create_table", "drop_table"):
            patch.setattr(SqlCatalog, act, dying(act))
        try:
            replaced(bench)
        except KeyboardInterrupt:
            pass
        else:
            pytest.skip("there are fewer commits than that")
    wanted = fresh(bench, tmp_path / "fresh")
    assert bench.rows("orders") and tables(bench)[0] in (old[0], wanted[0]), "half a table"
    replaced(bench)
    assert tables(bench)[:2] == wanted
    assert entries(bench) == {"silver.orders", "deleted.orders", "quarantine.orders"}
    assert {row["status"] for row in bench.rows("orders", namespace=QUARANTINE)} <= {"open", "superseded", "resolved"}
    remove_orphans(bench.lake, bench.lake.table(SILVER, "orders"), older_than=NOW - NOW)
    assert tables(bench)[0] == wanted[0], "its files are the table's own"


def test_on_the_local_aws(lake: Lake, tmp_path: Path) -> None:
    bench = Bench(lake, open_store(str(tmp_path / "bronze")), domain(old_contract()))
    bench.put(*(change(number) for number in range(31, 61)))
    bench.merge_pending("orders")
    bench.domain = domain(new_contract())
    assert replaced(bench).changes == 30
    assert {str(row["price"]) for row in bench.rows("orders")} == {"1.50"}
    assert not [name for name in entries(bench) if "rebuild" in name]
