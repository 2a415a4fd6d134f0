"""Marts computed by Trino itself are those that DuckDB computes, row by row and type by type; its failures are ours.

Two lakes get the same rows: Trino computes the marts of one, DuckDB those of the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.table import Table

from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.engines.athena_client import unload_statement
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.engines.engine import DayFilter, Engine, Input, KeyFilter, Limits, TrinoSettings
from medallion_assets.engines.query import Query, read_query
from medallion_assets.engines.trino_client import TrinoEngine
from medallion_assets.errors import LakeUnavailable, MartError, QueryFailed, SettingsError
from medallion_assets.gold.refresh import RefreshResult
from medallion_assets.gold.spec import Mart, load_marts
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.local.emulator import REGION
from medallion_assets.silver.table import VERSION, ensure_silver_table, silver_schema
from medallion_assets_tests.fixtures import everything
from medallion_assets_tests.fixtures.chain import chain_domain, daily_share
from medallion_assets_tests.gold.shop import (
    DOMAIN,
    MARTS,
    TODAY,
    Row,
    Shop,
    customer,
    daily_sales_by_region,
    key_metrics,
    order,
    ordered,
    product,
    product_performance,
    stored_rows,
)
from medallion_assets_tests.gold.test_refresh import mart_of
from medallion_assets_tests.real_engines.trino import Trino

DAILY = "daily_sales_by_region"
MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)
LIMITS = Limits(timeout_seconds=300, result_bytes=2**28)


def engine_on(trino: Trino, lake: Lake, limits: Limits = LIMITS) -> TrinoEngine:
    """Trino on a catalog that is this lake."""
    catalog = trino.add_lake(lake.settings)
    return TrinoEngine(
        TrinoSettings(url=f"http://127.0.0.1:{trino.port}", catalog=catalog, user="medallion", limits=limits)
    )


@contextmanager
def on_files(folder: Path) -> Iterator[Lake]:
    """An empty lake on files."""
    with Lake.open(LakeSettings(warehouse=str(folder), catalog="sqlite", region=REGION)) as lake:
        yield lake


class Twins:
    """One shop on two lakes: `trino` has the marts by Trino, `duckdb` those by DuckDB."""

    def __init__(self, trino: Shop, duckdb: Shop) -> None:
        self.trino = trino
        self.duckdb = duckdb

    def write(self, table: str, *rows: Row, delete: tuple[str, ...] = ()) -> None:
        for shop in (self.trino, self.duckdb):
            shop.write(table, *rows, delete=delete)

    def refresh(self, *, today: date = TODAY, days: list[date] | None = None) -> dict[str, RefreshResult]:
        """Refresh all marts by both, and compare what happened and what is published."""
        done = {}
        for name, mart in MARTS.items():
            only = days if mart.spec.partition else None
            one, other = (shop.refresh(name, today=today, days=only) for shop in (self.trino, self.duckdb))
            assert happened(one) == happened(other)
            assert gold(self.trino, name) == gold(self.duckdb, name)
            done[name] = one
        return done

    def require_true(self, today: date = TODAY) -> None:
        """Compare with the marts in plain Python."""
        assert self.trino.gold(DAILY) == daily_sales_by_region(self.trino)
        assert self.trino.gold("key_metrics") == key_metrics(self.trino, today)
        assert self.trino.gold("product_performance") == product_performance(self.trino, today)


def happened(result: RefreshResult) -> tuple[Any, ...]:
    checks = [(one.name, one.passed, dict(one.numbers), list(one.examples)) for one in result.checks]
    return (checks, result.published, result.changed, result.days, result.keys, result.rows)


def gold(shop: Shop, name: str | Mart) -> tuple[pa.Schema, list[Row]]:
    """A mart as it is stored, with the types of its columns and of its values."""
    mart = MARTS[name] if isinstance(name, str) else name
    table = shop.lake.table("gold", mart.name)
    schema = table.schema().as_arrow()
    rows = [
        {column: (type(value).__name__, value) for column, value in row.items() if column != "silver_snapshots"}
        for row in ordered(stored_rows(shop.lake, mart), mart)
    ]
    return schema, rows


BOTH_LAKES = pytest.mark.parametrize("twins", ["files", "glue"], indirect=True)
FILES = pytest.mark.parametrize("twins", ["files"], indirect=True)


@pytest.fixture
def twins(request: pytest.FixtureRequest, trino: Trino, tmp_path: Path) -> Iterator[Twins]:
    """Shops without rows; Trino's lake is of either kind."""
    lake: Lake = request.getfixturevalue(f"{request.param}_lake")
    with on_files(tmp_path / "other") as other:
        yield Twins(Shop(lake, engine_on(trino, lake)), Shop(other))


def fill(twins: Twins) -> None:
    twins.write("customers", customer(1), customer(2, "south"))
    twins.write("products", product(1), product(2, stock=9, price="0.01"), product(3, stock=49))
    twins.write(
        "orders",
        order(1, MONDAY, "0.10"),
        order(2, MONDAY, "0.15", of=2, region="south", products=(1, 2, 2)),
        order(3, MONDAY, "0.00", status="cancelled"),
        order(4, TUESDAY, "9999999999.99", products=()),
        order(5, TODAY, "0.05", hour=0),
        order(6, TODAY, "0.05", hour=23, region=None),
        order(7, TODAY - timedelta(days=89)),
    )


@BOTH_LAKES
def test_a_life_of_three_marts(twins: Twins) -> None:
    first = twins.refresh()
    assert first[DAILY].rows == 0  # no table is there yet
    twins.require_true()

    fill(twins)
    done = twins.refresh()
    assert done["product_performance"].rows == 3
    twins.require_true()

    # Nothing new: nothing is computed.
    assert twins.refresh()[DAILY].days == ()

    # Late changes: amounts of a past day, an order that moves to another day, a customer who is known now.
    twins.write("orders", order(1, MONDAY, "0.30"), order(4, MONDAY, "7.00"))
    assert twins.refresh()[DAILY].days == (MONDAY, TUESDAY)
    twins.require_true()
    twins.write("orders", order(6, TODAY, "0.05", hour=23, region="north"))
    twins.write("products", product(2, stock=50, price="123.45"))
    assert twins.refresh()[DAILY].days == (TODAY,)
    twins.require_true()

    # Deletes: the last order of a day, a product that orders name.
    twins.write("orders", delete=("o7",))
    twins.write("products", delete=("p3",))
    assert twins.refresh()[DAILY].days == (TODAY - timedelta(days=89),)
    twins.require_true()

    # A held audit: readers keep what they had, and the mend is published.
    before = gold(twins.trino, DAILY)
    twins.write("orders", order(8, TUESDAY, "-5.00"))
    held = twins.refresh()
    assert not held[DAILY].published and gold(twins.trino, DAILY) == before
    twins.write("orders", order(8, TUESDAY, "5.00"))
    assert twins.refresh()[DAILY].published
    twins.require_true()

    # A new day, and requested days.
    twins.refresh(today=TODAY + timedelta(days=1))
    twins.require_true(TODAY + timedelta(days=1))
    assert twins.refresh(today=TODAY + timedelta(days=1), days=[MONDAY])[DAILY].days == (MONDAY,)


@FILES
def test_the_edges_of_days(twins: Twins) -> None:
    days = [date.min, date(1969, 12, 31), date(1970, 1, 1), date.max - timedelta(days=1)]
    twins.write(
        "orders", *(order(at, day, hour=hour) for at, (day, hour) in enumerate((d, h) for d in days for h in (0, 23)))
    )
    twins.refresh()
    twins.write("orders", *(order(at, day, "1.00") for at, day in enumerate(days)))
    twins.refresh()
    twins.require_true()


@FILES
def test_many_scattered_days(twins: Twins) -> None:
    """More days than a statement has ranges."""
    days = [date(2000, 1, 1) + timedelta(days=2 * at) for at in range(450)]
    twins.write("orders", *(order(at, day) for at, day in enumerate(days)))
    twins.write("orders", *(order(1000 + at, day + timedelta(days=1)) for at, day in enumerate(days)))
    twins.refresh()
    twins.write("orders", *(order(at, day, "3.00") for at, day in enumerate(days)))
    assert twins.refresh()[DAILY].days == tuple(days)
    twins.require_true()


@FILES
def test_days_in_a_time_zone(twins: Twins, tmp_path: Path) -> None:
    """Orders around midnight in Berlin, in summer, in winter and in the night between them."""
    mart = mart_of(
        tmp_path / "local_sales",
        "SELECT CAST(order_date AT TIME ZONE 'Europe/Berlin' AS DATE) AS day, count(*) AS orders FROM silver.orders "
        "GROUP BY CAST(order_date AT TIME ZONE 'Europe/Berlin' AS DATE)",
        {"day": "date", "orders": "bigint"},
        grain=["day"],
        partition={"column": "day", "table": "orders", "day_of": "order_date", "time_zone": "Europe/Berlin"},
    )
    days = [date(2025, 10, 25), date(2025, 10, 26), date(2026, 1, 5), date(2026, 3, 29)]
    written = [
        order(at, day, hour=hour) for at, (day, hour) in enumerate((d, h) for d in days for h in (0, 21, 22, 23))
    ]
    for rows in (written[:12], written[12:], [{**written[1], "status": "paid"}]):
        twins.write("orders", *rows)
        one, other = (shop.refresh(mart) for shop in (twins.trino, twins.duckdb))
        assert happened(one) == happened(other)
        assert twins.trino.gold(mart) == twins.duckdb.gold(mart)
    assert one.days == (date(2025, 10, 25),)


@FILES
def test_a_snapshot_has_the_columns_of_now(twins: Twins) -> None:
    """One that is younger than the snapshot is null, and one that has become wider has its new type."""
    contract = DOMAIN.by_name["orders"]
    full = silver_schema(contract, DOMAIN)
    at, amount = full.get_field_index("customer_region"), full.get_field_index("total_amount")
    narrow = pa.field("total_amount", pa.decimal128(7, 2))
    for shop in (twins.trino, twins.duckdb):
        old = shop.lake.ensure(
            "silver",
            "orders",
            full.set(amount, narrow).remove(at),
            key=contract.key_names,
            partition_by=[(part.column, part.transform) for part in contract.partition],
        )
        row = {key: value for key, value in order(1, MONDAY).items() if key != "customer_region"}
        merge_row(shop, old, row)
        ensure_silver_table(shop.lake, contract, full)
    assert twins.refresh()[DAILY].rows == 1
    assert [row["region"] for row in twins.trino.gold(DAILY)] == ["unknown"]
    assert [row["avg_order_value"] for row in twins.trino.gold(DAILY)] == [Decimal("10.00")]


def merge_row(shop: Shop, table: Table, row: Row) -> None:
    schema = pa.schema([pa.field(one.name, one.type) for one in table.schema().as_arrow()])
    rows = pa.Table.from_pylist([{**row, **shop._meta()}], schema=schema)
    staged = stage_merge(shop.lake, table, rows, key=["order_id"], order_by=VERSION)
    publish(shop.lake, table, staged)


# Every type ---------------------------------------------------------------------------------------------------------


def test_every_type_of_value(played: everything.Shop, trino: Trino) -> None:
    domain = played.pipeline.domain
    contract = domain.by_name["readings"]
    declared = domain.silver_columns(contract)
    query = read_query(
        f"SELECT {', '.join(declared)} FROM silver.readings",
        {"readings": declared},
        where="test",
        doubles=True,
    )
    table = played.lake.table("silver", "readings")
    inputs = {"readings": Input(declared, table, table.metadata.current_snapshot_id)}
    one, other = (
        engine.compute(query, inputs, declared, today=TODAY)
        for engine in (engine_on(trino, played.lake), EmbeddedEngine(played.lake))
    )
    assert one.schema.names == other.schema.names
    order_by = [(name, "ascending") for name in contract.key_names]
    mine, theirs = one.sort_by(order_by).to_pylist(), other.sort_by(order_by).to_pylist()
    assert len(mine) > 5
    assert [repr(normal(row)) for row in mine] == [repr(normal(row)) for row in theirs]
    for name, kind in declared.items():
        assert one.schema.field(name).type == kind.arrow()


def normal(value: Any) -> Any:
    """Maps in one order; they have none."""
    if isinstance(value, dict):
        return {name: normal(one) for name, one in value.items()}
    if isinstance(value, list):
        found = [normal(one) for one in value]
        return sorted(found) if found and isinstance(found[0], tuple) else found
    return value


def test_a_timestamp_of_another_time_zone_is_the_same_instant(filled: Lake, trino: Trino) -> None:
    """In Berlin 02:30 exists twice on 25 October; Trino sends no offset."""
    Shop(filled).write("orders", order(900, date(2026, 10, 25), hour=0), order(901, date(2026, 10, 25), hour=1))
    query = orders_query(
        "SELECT order_id AS id, order_date AT TIME ZONE 'Europe/Berlin' + INTERVAL '30' MINUTE AS at FROM silver.orders"
    )
    columns = {"id": parse_type("string"), "at": parse_type("timestamp")}
    one, other = (
        engine.compute(query, orders_of(filled), columns, today=TODAY).sort_by("id").to_pylist()
        for engine in (engine_on(trino, filled), EmbeddedEngine(filled))
    )
    assert one == other
    assert [row["at"].hour for row in one if row["id"] in ("o900", "o901")] == [0, 1]


# The text that Athena gets ------------------------------------------------------------------------------------------


@FILES
def test_the_select_of_athenas_statement_runs_on_trino(twins: Twins, trino: Trino) -> None:
    """The same text but for the catalog, and with timestamps as text."""
    fill(twins)
    lake = twins.trino.lake
    catalog = trino.add_lake(lake.settings)
    columns = {"order_id": parse_type("string"), "order_date": parse_type("timestamp")}
    query = orders_query("SELECT order_id, order_date FROM silver.orders")
    sql = unload_statement(query.sql, orders_of(lake), columns, catalog=catalog, today=TODAY, place="s3://bucket/x/")
    select = sql.removeprefix("UNLOAD (\n").split("\n) TO 's3://")[0]
    found = {row[0]: row[1] for row in trino.run(select).rows}
    assert found["o5"] == "2026-03-15 00:00:00.000000 UTC"
    assert len(found) == 7


# Failures -----------------------------------------------------------------------------------------------------------


def orders_query(sql: str) -> Query:
    tables = {"orders": DOMAIN.silver_columns(DOMAIN.by_name["orders"])}
    return read_query(sql, tables, where="test")


def orders_of(lake: Lake) -> dict[str, Input]:
    table = lake.table("silver", "orders")
    columns = DOMAIN.silver_columns(DOMAIN.by_name["orders"])
    return {"orders": Input(columns, table, table.metadata.current_snapshot_id)}


BIGINT: dict[str, ColumnType] = {"n": parse_type("bigint")}
SLOW = "SELECT count(*) AS n FROM " + " CROSS JOIN ".join(f"silver.orders AS o{at}" for at in range(7))


@pytest.fixture
def filled(files_lake: Lake) -> Lake:
    shop = Shop(files_lake)
    shop.write("orders", *(order(at, MONDAY) for at in range(60)))
    return files_lake


def count(engine: Engine, lake: Lake, sql: str = "SELECT count(*) AS n FROM silver.orders") -> int:
    [found] = engine.compute(orders_query(sql), orders_of(lake), BIGINT, today=TODAY).column("n").to_pylist()
    assert isinstance(found, int)
    return found


def test_a_snapshot_that_trino_does_not_see_is_an_outage(filled: Lake, trino: Trino, tmp_path: Path) -> None:
    with on_files(tmp_path / "stranger") as stranger:
        Shop(stranger).write("orders", order(1))
        engine = engine_on(trino, stranger)
        with pytest.raises(LakeUnavailable, match=r"snapshot ID does not exist.*MEDALLION_WAREHOUSE"):
            count(engine, filled)


def test_an_older_snapshot_is_read_as_it_was(filled: Lake, trino: Trino) -> None:
    before = orders_of(filled)
    Shop(filled).write("orders", *(order(at, MONDAY) for at in range(100, 110)))
    engine = engine_on(trino, filled)
    sql = orders_query("SELECT count(*) AS n FROM silver.orders")
    assert engine.compute(sql, before, BIGINT, today=TODAY).column("n").to_pylist() == [60]
    assert count(engine, filled) == 70


def test_a_catalog_without_the_tables_is_a_setting(filled: Lake, trino: Trino, tmp_path: Path) -> None:
    with on_files(tmp_path / "empty") as empty:
        engine = engine_on(trino, empty)
        with pytest.raises(SettingsError, match="MEDALLION_TRINO_CATALOG"):
            count(engine, filled)
    nowhere = TrinoEngine(engine._settings.model_copy(update={"catalog": "nowhere"}))
    with pytest.raises(SettingsError, match="CATALOG_NOT_FOUND"):
        count(nowhere, filled)


def test_a_query_that_fails_is_the_marts_mistake(filled: Lake, trino: Trino) -> None:
    with pytest.raises(MartError, match="DIVISION_BY_ZERO"):
        count(engine_on(trino, filled), filled, "SELECT count(*) / (count(*) - 60) AS n FROM silver.orders")


def test_a_type_that_is_not_declared_is_refused(filled: Lake, trino: Trino) -> None:
    engine = engine_on(trino, filled)
    with pytest.raises(MartError, match=r"gives the column n as bigint, expected integer.*CAST"):
        engine.compute(
            orders_query("SELECT count(*) AS n FROM silver.orders"),
            orders_of(filled),
            {"n": parse_type("int")},
            today=TODAY,
        )


def test_a_query_out_of_time_is_given_up(filled: Lake, trino: Trino) -> None:
    engine = engine_on(trino, filled, replace_limits(timeout_seconds=2))
    with pytest.raises(QueryFailed, match=r"EXCEEDED_TIME_LIMIT.*MEDALLION_ENGINE_TIMEOUT_SECONDS"):
        count(engine, filled, SLOW)


def test_a_cancelled_query_is_not_tried_again(filled: Lake, trino: Trino) -> None:
    engine = engine_on(trino, filled)

    def kill() -> None:
        while True:
            running = trino.run(
                "SELECT query_id FROM system.runtime.queries WHERE source = 'medallion-assets' AND state = 'RUNNING'"
            ).rows
            for (query_id,) in running:
                trino.run(f"CALL system.runtime.kill_query(query_id => '{query_id}', message => 'enough')")
            if running:
                return
            time.sleep(0.2)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(QueryFailed, match="Somebody cancelled it"):
        count(engine, filled, SLOW)
    killer.join()


def test_a_result_that_is_too_large_is_not_held_and_its_query_ends(filled: Lake, trino: Trino) -> None:
    engine = engine_on(trino, filled, replace_limits(result_bytes=1_000_000))
    columns = {"a": parse_type("string"), "b": parse_type("string"), "c": parse_type("string")}
    wide = orders_query(
        "SELECT a.order_id AS a, b.order_id AS b, c.order_id AS c FROM silver.orders AS a "
        "CROSS JOIN silver.orders AS b CROSS JOIN silver.orders AS c"
    )
    with pytest.raises(QueryFailed, match="MEDALLION_ENGINE_RESULT_MB"):
        engine.compute(wide, orders_of(filled), columns, today=TODAY)
    states = trino.run("SELECT state FROM system.runtime.queries WHERE source = 'medallion-assets'").rows
    assert {state for (state,) in states} <= {"FAILED", "FINISHED"}


def test_days_that_lie_between_the_asked_ones_are_left_out(filled: Lake, trino: Trino) -> None:
    Shop(filled).write("orders", order(500, TUESDAY), order(501, TODAY))
    query = orders_query(
        "SELECT CAST(order_date AS DATE) AS day, count(*) AS n FROM silver.orders GROUP BY CAST(order_date AS DATE);"
    )
    columns = {"day": parse_type("date"), "n": parse_type("bigint")}
    only = DayFilter("day", [MONDAY, TODAY], "orders", "order_date", [MONDAY, TODAY])
    found = engine_on(trino, filled).compute(query, orders_of(filled), columns, today=TODAY, only=only)
    assert sorted(found.column("day").to_pylist()) == [MONDAY, TODAY]


KEYS: dict[str, list[Any]] = {
    "string": ["", "a", "A", "ä", "it's", "\\", "\0", "\n", "\U0001f600", "x" * 300],
    "int": [-(2**31), -1, 0, 2**31 - 1],
    "bigint": [-(2**63), -1, 0, 2**63 - 1],
    "decimal(38,2)": [Decimal("-" + "9" * 36 + ".99"), Decimal("-0.01"), Decimal("0.00"), Decimal("1.50")],
    "date": [date(1, 1, 1), date(1969, 12, 31), TODAY, date(9999, 12, 31)],
    "binary": [b"", b"\x00", b"\xff\x00", b"a"],
}


def test_exactly_the_asked_keys_of_every_type_are_computed(files_lake: Lake, trino: Trino) -> None:
    kinds = {f"k{number}": parse_type(text) for number, text in enumerate(KEYS)}
    values = dict(zip(kinds, KEYS.values(), strict=True))
    rows = [{name: one} for name, some in values.items() for one in some]
    table = files_lake.ensure("silver", "things", pa.schema([(name, kind.arrow()) for name, kind in kinds.items()]))
    stored = pa.Table.from_pylist(rows, schema=pa.schema([(name, kind.arrow()) for name, kind in kinds.items()]))
    publish(files_lake, table, stage_replace(files_lake, table, stored))
    inputs = {"things": Input(kinds, table, table.metadata.current_snapshot_id)}
    engines: list[Engine] = [engine_on(trino, files_lake), EmbeddedEngine(files_lake)]
    for name, kind in kinds.items():
        query = read_query(
            f"SELECT {name} AS k, count(*) AS n FROM silver.things GROUP BY {name}", {"things": kinds}, where="test"
        )
        columns = {"k": kind, "n": parse_type("bigint")}
        many = [f"many {number}" for number in range(20_000)] if name == "k0" else []
        for chosen in (values[name], values[name][1:], [*values[name][:2], None], [None], [*values[name][3:], *many]):
            only = KeyFilter("k", pa.array(chosen, kind.arrow()), "things", name)
            found = [
                {
                    row["k"]: row["n"]
                    for row in engine.compute(query, inputs, columns, today=TODAY, only=only).to_pylist()
                }
                for engine in engines
            ]
            nulls = len(rows) - len(values[name])
            assert found[0] == found[1] == {one: 1 if one is not None else nulls for one in chosen if one not in many}


@FILES
def test_keys_of_a_mart_are_refreshed_by_trino_as_by_duckdb(twins: Twins, tmp_path: Path) -> None:
    """Moved orders, orders without the key, a joined table, and keys that are gone."""
    joins = {"customers": "customer_id"}
    mart = mart_of(
        tmp_path / "by_region",
        """SELECT o.customer_region AS region, max(c.name) AS name, count(*) AS n, sum(o.total_amount) AS revenue
        FROM silver.orders AS o LEFT JOIN silver.customers AS c ON c.customer_id = o.customer_id
        GROUP BY o.customer_region""",
        {"region": "string", "name": "string", "n": "bigint", "revenue": "decimal(38,2)"},
        grain=["region"],
        partition={"column": "region", "table": "orders", "key_of": "customer_region", "joins": joins},
    )

    def refreshed() -> int | None:
        one, other = (shop.refresh(mart) for shop in (twins.trino, twins.duckdb))
        assert happened(one) == happened(other)
        assert one.published
        assert twins.trino.gold(mart) == twins.duckdb.gold(mart)
        return one.keys

    twins.write("customers", *(customer(number) for number in range(4)))
    twins.write("orders", *(order(number, of=number % 4, region=f"r{number}") for number in range(20)))
    assert refreshed() == 20
    twins.write("orders", order(1, of=1, region="r2"), order(3, region=None))
    assert refreshed() == 4
    twins.write("orders", delete=("o4",))
    assert refreshed() == 1
    twins.write("customers", {**customer(3), "name": "it's another"})
    assert refreshed() == 4


def replace_limits(**changed: int) -> Limits:
    return LIMITS.model_copy(update=changed)


@FILES
def test_marts_over_marts_are_computed_from_the_snapshots_of_these(twins: Twins, tmp_path: Path) -> None:
    marts = load_marts(chain_domain(tmp_path))

    def refresh() -> dict[str, tuple[Any, ...]]:
        done = {}
        for mart in marts:
            one, other = (shop.refresh(mart) for shop in (twins.trino, twins.duckdb))
            assert happened(one) == happened(other)
            assert gold(twins.trino, mart) == gold(twins.duckdb, mart)
            done[mart.name] = one.days
        return done

    refresh()
    fill(twins)
    refresh()
    twins.write("orders", order(1, MONDAY, "0.30"), order(9, TUESDAY, "3.00", region="south"))
    assert refresh()["daily_share"]
    twins.write("orders", delete=("o1", "o9"))
    refresh()
    share = next(mart for mart in marts if mart.name == "daily_share")
    assert twins.trino.gold(share) == daily_share(daily_sales_by_region(twins.trino))
