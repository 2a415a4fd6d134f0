"""Sessions over a real lake: what they show, at which snapshot, and how little of it they read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.table import Table

from medallion_assets.engines.day_ranges import day_ranges
from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import MartError
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets_tests.gold.shop import Shop, order, product

TODAY = date(2026, 3, 15)


@pytest.mark.both_lakes
def test_a_reader_sees_published_rows_without_tombstones_exactly(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("orders", order(1, amount="0.10"), order(2, amount="0.25"), order(3))
    shop.write("orders", delete=["o3"])
    with Embedded(lake) as session:
        session.show_published()
        found = session.run(
            "SELECT COUNT(*) AS n, AVG(total_amount) AS a, current_date AS d FROM silver.orders", today=TODAY
        )
    assert found.to_pylist() == [{"n": 2, "a": Decimal("0.18"), "d": TODAY}]


def test_a_session_may_look_at_an_older_snapshot_beside_one_that_does_not(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("products", product(1))
    before = lake.table("silver", "products").metadata.current_snapshot_id
    shop.write("products", product(2))
    table = lake.table("silver", "products")
    with Embedded(lake) as old, Embedded(lake) as new:
        old.show(table, snapshot_id=before)
        new.show(table)
        count = "SELECT COUNT(*) AS n FROM silver.products"
        assert old.run(count, today=TODAY).to_pylist() == [{"n": 1}]
        assert new.run(count, today=TODAY).to_pylist() == [{"n": 2}]


def test_a_query_of_what_is_published_reads_only_the_tables_that_it_names(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(lake)
    for table, row in (("products", product(1)), ("orders", order(1))):
        shop.write(table, row)
    read: list[str] = []
    scan_sql = Lake.scan_sql

    def counted(self: Lake, table: Table, snapshot_id: int | None, **how: bool) -> str:
        read.append(table.name()[-1])
        return scan_sql(self, table, snapshot_id, **how)

    monkeypatch.setattr(Lake, "scan_sql", counted)
    with Embedded(lake) as session:
        sql = "WITH o AS (SELECT * FROM silver.orders) SELECT COUNT(*) AS n FROM o"
        assert session.run_published(sql, today=TODAY).to_pylist() == [{"n": 1}]
    assert read == ["orders"]
    with Embedded(lake) as session, pytest.raises(MartError, match=r"silver\.orders.*silver\.products"):
        session.run_published("SELECT * FROM silver.machines, silver.orders", today=TODAY)


def test_a_table_without_a_snapshot_has_no_rows(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("products")
    with Embedded(lake) as session:
        session.show_published()
        assert session.run("SELECT * FROM silver.products", today=TODAY).num_rows == 0


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nothing FROM silver.products", "Column 'nothing' could not be resolved"),
        ("SELECT nothing FROM silver.products", "; silver.products has product_id, "),
        ("SELECT p.nothing FROM silver.products AS p", "Unknown column: nothing; silver.products has product_id, "),
        ("WITH q AS (SELECT 1 AS one) SELECT two FROM q", "; q has one"),
        ("SELECT nothing", "; FROM names no table"),
        ("SHOW TABLES", "expected one SELECT and nothing else"),
        ("EXPLAIN SELECT 1", "expected one SELECT and nothing else"),
        ("SELECT name, COUNT(*) FROM silver.products", "The query cannot be run: Binder Error"),
        (
            "SELECT CAST(name AS bigint) FROM silver.products",
            "The query cannot be run: Invalid Input Error: Cannot cast 'Product 1' to bigint",
        ),
        ("SELECT frobnicate(name) FROM silver.products", "The query cannot be run: Catalog Error"),
        ("SELECT * FROM read_text('/etc/hostname')", "no such table"),
        ("SELECT * FROM silver.nothing", "no such table; expected one of silver.products"),
    ],
)
@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_a_query_that_cannot_be_run_is_one_sentence(
    lake: Lake, sql: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    Shop(lake).write("products", product(1))
    with Embedded(lake) as session:
        session.show_published()
        with pytest.raises(MartError) as refused:
            session.run(sql, today=TODAY)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not caplog.records, "no library says anything of its own"


def test_days_are_cut_at_the_widest_gaps_into_few_ranges() -> None:
    first = date(2026, 1, 1)
    days = [first + timedelta(days=number * number) for number in range(12)]
    ranges = day_ranges(days, at_most=8)
    assert len(ranges) == 8
    assert all(any(start <= day <= end for start, end in ranges) for day in days)
    assert day_ranges([first, first + timedelta(days=1)], at_most=8) == [(first, first + timedelta(days=1))]


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_single_days_read_only_the_files_that_can_hold_them(lake: Lake) -> None:
    shop = Shop(lake)
    for month in range(1, 13):  # Silver's orders are partitioned by month: one file each
        shop.write("orders", order(month, date(2025, month, 15)))
    table = lake.table("silver", "orders")
    days = [date(2025, 2, 15), date(2025, 11, 15)]
    with Embedded(lake) as session:
        session.show(table, days=("order_date", days))
        found = session.run("SELECT order_id FROM silver.orders", today=TODAY)
        assert sorted(found["order_id"].to_pylist()) == ["o11", "o2"]
        assert files_read(session) == 2
        session.show(table)
        assert files_read(session) == 12


@pytest.mark.parametrize("lake", ["files"], indirect=True)
@pytest.mark.parametrize("transform", ["hour", "day", "month", "year", "identity"])
def test_a_filter_on_a_time_before_1970_finds_its_rows(lake: Lake, transform: str) -> None:
    """DuckDB looks for the month of such a time one too late, if it may skip files by it."""
    written = ["1969-12-31T12:30", "1969-11-30T23:59:59.999999", "1960-02-29T05:00", "1970-01-01", "2026-03-01T01:00"]
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC) for time in written]
    schema = pa.schema([pa.field("id", pa.int64()), pa.field("seen", pa.timestamp("us", tz="UTC"))])
    table = lake.ensure("silver", "visits", schema, partition_by=[("seen", transform)])
    rows = pa.table({"id": range(len(times)), "seen": times}, schema=schema)
    publish(lake, table, stage_replace(lake, table, rows))
    with Embedded(lake) as session:
        session.show_published()
        for number, time in enumerate(times):
            found = session.run(
                f"SELECT id FROM silver.visits WHERE seen = TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f} UTC'", today=TODAY
            )
            assert found["id"].to_pylist() == [number]
            found = session.run(f"SELECT id FROM silver.visits WHERE seen >= DATE '{time:%Y-%m-%d}'", today=TODAY)
            assert number in found["id"].to_pylist()


@pytest.mark.parametrize("lake", ["files"], indirect=True)
def test_days_with_fewer_rows_than_a_commit_deleted_in_all_are_read(lake: Lake) -> None:
    shop = Shop(lake)
    shop.write("orders", order(1, date(2025, 2, 15)))
    shop.write("orders", order(2, date(2025, 5, 15)))
    shop.write("orders", order(1, date(2025, 2, 16)), order(2, date(2025, 2, 17)))
    with Embedded(lake) as session:
        session.show(lake.table("silver", "orders"), days=("order_date", [date(2025, 2, 17), date(2025, 5, 15)]))
        found = session.run("SELECT order_id FROM silver.orders", today=TODAY)
    assert found["order_id"].to_pylist() == ["o2"]


def files_read(session: Embedded) -> int:
    connection = session._connection
    ((_, text),) = connection.execute("EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM silver.orders").fetchall()

    def total(node: dict[str, object]) -> int:
        extra, children = node.get("extra_info", {}), node.get("children", [])
        assert isinstance(extra, dict) and isinstance(children, list)
        return int(extra.get("Total Files Read", 0)) + sum(total(child) for child in children)

    return total(json.loads(text))


def test_a_timestamp_belongs_to_its_day_in_utc(lake: Lake) -> None:
    shop = Shop(lake)
    late = {**order(1), "order_date": datetime(2026, 3, 14, 23, 59, 59, 999999, tzinfo=UTC)}
    shop.write("orders", late, order(2, TODAY, hour=0))
    with Embedded(lake) as session:
        session.show(lake.table("silver", "orders"), days=("order_date", [TODAY]))
        found = session.run("SELECT order_id, CAST(order_date AS DATE) AS d FROM silver.orders", today=TODAY)
    assert found.to_pylist() == [{"order_id": "o2", "d": TODAY}]
