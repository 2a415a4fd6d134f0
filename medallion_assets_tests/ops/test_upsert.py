"""The one writer of `ops.*`: every table of the registry, two writers at once, rows that are written again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.publish import publish
from medallion_assets.ops import upsert as upsert_module
from medallion_assets.ops.tables import GAPS, HEALTH, OPS, OPS_TABLES, OpsTable
from medallion_assets.ops.upsert import Change, upsert, upsert_planned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "string": "orders",
    "strings": ["a", "b"],
    "integer": 1,
    "double": 0.5,
    "boolean": True,
    "time": NOON,
}


def row(table: OpsTable, key: str, **values: Any) -> dict[str, Any]:
    """A row with a value in every column."""
    return {column.name: VALUES[column.type] for column in table.columns} | {table.key[-1]: key} | values


def stored(lake: Lake, table: OpsTable) -> list[dict[str, Any]]:
    with lake.duckdb() as connection:
        scan = lake.scan_sql(lake.table(OPS, table.name), None)
        rows: list[dict[str, Any]] = (
            connection.execute(f"FROM {scan} ORDER BY {table.key[-1]}").to_arrow_table().to_pylist()
        )
    return rows


@pytest.mark.parametrize("table", OPS_TABLES, ids=lambda table: table.name)
def test_two_writers_at_once_lose_no_row_of_any_table(lake: Lake, table: OpsTable) -> None:
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            with Lake.open(lake.settings) as own:
                for number in range(3):
                    upsert(own, table, [row(table, f"{writer}-{number}")])
        except BaseException as failure:
            failures.append(failure)
            raise

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert failures == []
    assert stored(lake, table) == [row(table, f"{writer}-{number}") for writer in range(2) for number in range(3)]


def test_a_row_replaces_the_row_with_its_key_unless_that_is_newer(lake: Lake) -> None:
    upsert(lake, GAPS, [row(GAPS, "a", reason="first"), row(GAPS, "b", reason="first")])
    upsert(lake, GAPS, [row(GAPS, "a", reason="second")])
    earlier = NOON - timedelta(seconds=1)
    upsert(lake, GAPS, [row(GAPS, "b", reason="older", detected_at=earlier)])
    assert [one["reason"] for one in stored(lake, GAPS)] == ["second", "first"]


def test_properties_are_set_with_and_without_rows(lake: Lake) -> None:
    upsert(lake, GAPS, [], properties={"medallion.test": "1"})
    upsert(lake, GAPS, [row(GAPS, "a")], properties={"medallion.test": "2"})
    assert lake.table(OPS, GAPS.name).properties["medallion.test"] == "2"
    assert len(stored(lake, GAPS)) == 1


def test_a_plan_is_made_again_from_the_properties_that_another_writer_left(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def plan(properties: Any) -> Change:
        seen.append(properties.get("medallion.next"))
        number = int(seen[-1] or "0")
        return Change([row(HEALTH, f"row-{number}")], {"medallion.next": str(number + 1)})

    def late(*args: Any, **more: Any) -> None:
        monkeypatch.setattr(upsert_module, "publish", publish)
        with Lake.open(lake.settings) as other:
            upsert_planned(other, HEALTH, plan)
        publish(*args, **more)

    upsert_planned(lake, HEALTH, plan)
    monkeypatch.setattr(upsert_module, "publish", late)
    upsert_planned(lake, HEALTH, plan)
    assert seen == [None, "1", "1", "2"]
    assert [one["id"] for one in stored(lake, HEALTH)] == ["row-0", "row-1", "row-2"]


def test_a_writer_that_always_loses_is_an_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*args: Any, **more: Any) -> None:
        raise CommitConflict("another writer")

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("medallion_assets.lake.retry.MAX_ATTEMPTS", 3)
    monkeypatch.setattr(upsert_module, "publish", lose)
    with pytest.raises(CommitConflict, match="another writer"):
        upsert(lake, GAPS, [row(GAPS, "a")])
