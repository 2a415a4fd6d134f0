"""The SQL that Trino and Athena get, and what their failures mean.

That it runs: real_engines/test_marts_on_trino.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date, timedelta

import pyarrow as pa
import pytest
from pydantic import SecretStr

from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.engines.engine import DayFilter, Input, KeyFilter, Limits, TrinoSettings, open_engine
from medallion_assets.engines.query import Query, read_query
from medallion_assets.engines.remote import collect, failure, require_types, select_statement
from medallion_assets.engines.trino_client import TrinoEngine
from medallion_assets.errors import ExtraMissing, LakeUnavailable, MartError, QueryFailed, SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.processes import free_port
from medallion_assets_tests.gold.shop import DOMAIN, TODAY, Shop, order

ORDERS = DOMAIN.silver_columns(DOMAIN.by_name["orders"])
PRODUCTS = DOMAIN.silver_columns(DOMAIN.by_name["products"])
MONDAY = date(2026, 3, 9)
N: Mapping[str, ColumnType] = {"n": parse_type("bigint")}


@pytest.fixture
def orders(files_lake: Lake) -> Input:
    Shop(files_lake).write("orders", order(1, MONDAY))
    table = files_lake.table("silver", "orders")
    return Input(ORDERS, table, table.metadata.current_snapshot_id)


def read(sql: str) -> Query:
    return read_query(sql, {"orders": ORDERS, "products": PRODUCTS}, where="test")


def statement(sql: str, source: Input, *, days: DayFilter | KeyFilter | None = None) -> str:
    inputs = {"orders": source, "products": Input(PRODUCTS, None, None)}
    query = read(sql)
    return select_statement(
        query.sql, {name: inputs[name] for name in query.tables}, N, catalog="lake", today=TODAY, only=days
    )


def test_a_table_is_its_rows_in_the_snapshot(orders: Input) -> None:
    sql = statement("SELECT count(*) AS n FROM silver.orders", orders)
    assert sql.startswith('SELECT "n"\nFROM (\nSELECT count(*) AS n FROM (SELECT "order_id", "customer_id", ')
    assert f'FROM "lake"."silver"."orders" FOR VERSION AS OF {orders.snapshot_id}' in sql
    assert sql.endswith(') AS "orders"\n) AS result')


def test_a_table_is_named_by_its_database(orders: Input, monkeypatch: pytest.MonkeyPatch) -> None:
    """Glue's databases may have a prefix (lake.glue); the SQL of a mart is the same."""
    assert orders.table is not None
    monkeypatch.setattr(orders.table.catalog, "identifier_to_database", lambda namespace: f"shop_{namespace[0]}")
    sql = statement("SELECT count(*) AS n FROM silver.orders", orders)
    assert f'FROM "lake"."shop_silver"."orders" FOR VERSION AS OF {orders.snapshot_id}' in sql


def test_the_rest_of_the_text_stays_as_it_is_written(orders: Input) -> None:
    before = (
        "SELECT -- ä silver.orders, current_date;\n"
        "  count(*)   FILTER (WHERE o.status <> 'silver.orders current_date ö') AS n FROM "
    )
    after = " o\nWHERE CAST(o.order_date AS DATE) <= "
    sql = statement(f'{before}"silver"."orders"{after}CURRENT_DATE -- the end\n;', orders)
    assert f"(\n{before}(SELECT " in sql
    assert f"){after}DATE '2026-03-15' -- the end\n\n) AS result" in sql


def test_a_column_with_its_schema_finds_the_rows(orders: Input) -> None:
    sql = statement("SELECT count(silver.orders.status) AS n FROM silver.orders", orders)
    assert "count(orders.status) AS n FROM (SELECT" in sql


def test_a_table_that_is_not_there_yet_has_no_rows(orders: Input) -> None:
    sql = statement("SELECT count(*) AS n FROM silver.orders JOIN silver.products ON order_id = name", orders)
    assert 'JOIN (SELECT CAST(NULL AS VARCHAR) AS "product_id", ' in sql
    assert 'AS DECIMAL(12, 2)) AS "price"' in sql
    assert 'WHERE false) AS "products" ON' in sql


def test_a_mart_is_its_rows_in_the_snapshot_next_to_a_table_of_the_same_name(orders: Input) -> None:
    columns = {"status": parse_type("string"), "day": parse_type("date")}
    read_sql = (
        "WITH o AS (SELECT silver.orders.status FROM silver.orders) "
        "SELECT count(gold.orders.status) AS n FROM gold.orders WHERE status IN (SELECT status FROM o)"
    )
    query = read_query(read_sql, {"orders": ORDERS, "gold.orders": columns}, where="test")
    assert query.tables == ("gold.orders", "orders")
    inputs = {"orders": orders, "gold.orders": Input(columns, None, None)}
    days = DayFilter("day", [MONDAY], "gold.orders", "day", [MONDAY])
    sql = select_statement(query.sql, inputs, N, catalog="lake", today=TODAY, only=days)
    assert "SELECT orders.status FROM (SELECT" in sql
    assert f'"lake"."silver"."orders" FOR VERSION AS OF {orders.snapshot_id}) AS "orders")' in sql
    assert 'count(orders.status) AS n FROM (SELECT CAST(NULL AS VARCHAR) AS "status", ' in sql


def test_only_the_days_are_read_and_returned(orders: Input) -> None:
    wanted = [MONDAY, MONDAY + timedelta(days=1), date(9999, 12, 31)]
    days = DayFilter("day", wanted, "orders", "order_date", wanted)
    sql = statement("SELECT count(*) AS n FROM silver.orders", orders, days=days)
    since, until, last = (f"TIMESTAMP '{day} 00:00:00 UTC'" for day in ("2026-03-09", "2026-03-11", "9999-12-31"))
    assert f'("order_date" >= {since} AND "order_date" < {until} OR "order_date" >= {last})' in sql
    assert sql.endswith(
        "WHERE (\"day\" BETWEEN DATE '2026-03-09' AND DATE '2026-03-10' OR "
        "\"day\" BETWEEN DATE '9999-12-31' AND DATE '9999-12-31')"
    )


def test_only_the_keys_are_read(orders: Input) -> None:
    sql = "SELECT count(*) AS n FROM silver.orders"
    for keys, condition in (
        (["it's", None], "(\"status\" IS NULL OR \"status\" IN ('it''s'))"),
        ([None], '("status" IS NULL)'),
        (["x" * 140_000], None),
        (["nul\0"], None),
    ):
        text = statement(sql, orders, days=KeyFilter("n", pa.array(keys, pa.string()), "orders", "status"))
        assert f" WHERE {condition}) AS" in text if condition else "WHERE" not in text


def test_rows_of_other_keys_are_left_out() -> None:
    batches = [pa.record_batch({"n": pa.array([1, None, 2], pa.int64())})] * 2
    only = KeyFilter("n", pa.array([2, None], pa.int64()), "orders", "status")
    assert collect(batches, N, only=only, limit_bytes=20_000).column("n").to_pylist() == [None, 2, None, 2]


def test_a_snapshot_that_is_gone_is_planned_again(orders: Input) -> None:
    gone = Input(ORDERS, orders.table, 42)
    with pytest.raises(LakeUnavailable, match="has no snapshot 42 any more"):
        statement("SELECT count(*) AS n FROM silver.orders", gone)


def test_the_rows_are_bounded() -> None:
    batches = (pa.record_batch({"n": pa.array(range(1000), pa.int64())}) for _ in range(1000))
    with pytest.raises(QueryFailed, match="more than 0 MB"):
        collect(batches, N, only=None, limit_bytes=20_000)
    assert next(batches).num_rows == 1000  # and no more than needed were fetched


def test_types_are_compared_as_trino_writes_them() -> None:
    columns = {
        "a": parse_type("string"),
        "b": parse_type("timestamp"),
        "c": parse_type("struct<X:int,Y:list<decimal(9,6)>>"),
        "d": parse_type("map<binary>"),
    }
    given = {
        "a": "varchar(8)",
        "b": "timestamp(6) with time zone",
        "c": 'row("x" integer, "y" array(decimal(9, 6)))',
        "d": "map(varchar, varbinary)",
    }
    require_types(given, columns, engine="Trino")
    for name, other in (
        ("a", "varbinary"),
        ("b", "timestamp(9) with time zone"),
        ("c", "row(x bigint, y array(date))"),
    ):
        with pytest.raises(MartError, match=f"Trino gives the column {name} as "):
            require_types({**given, name: other}, columns, engine="Trino")
    with pytest.raises(MartError, match="column d as nothing"):
        require_types({name: given[name] for name in "abc"}, columns, engine="Trino")


@pytest.mark.parametrize(
    ("name", "outage", "kind"),
    [
        ("DIVISION_BY_ZERO", False, MartError),
        ("SYNTAX_ERROR", False, MartError),
        ("TABLE_NOT_FOUND", False, SettingsError),
        ("PERMISSION_DENIED", False, SettingsError),
        ("USER_CANCELED", False, QueryFailed),
        ("ADMINISTRATIVELY_KILLED", False, QueryFailed),
        ("EXCEEDED_TIME_LIMIT", False, QueryFailed),
        ("EXCEEDED_GLOBAL_MEMORY_LIMIT", False, QueryFailed),
        ("QUERY_QUEUE_FULL", False, LakeUnavailable),
        ("CLUSTER_OUT_OF_MEMORY", False, LakeUnavailable),
        ("ICEBERG_CATALOG_ERROR", True, LakeUnavailable),
        ("GENERIC_INTERNAL_ERROR", True, LakeUnavailable),
    ],
)
def test_what_a_failure_means(name: str, outage: bool, kind: type[Exception]) -> None:
    found = failure(engine="Trino", query_id="q1", name=name, text="because.\nand more", outage=outage)
    assert type(found) is kind
    assert f"Trino, query q1: {name}: because." in str(found) + "."


def test_the_client_of_trino_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trino", None)
    limits = Limits(timeout_seconds=1, result_bytes=1)
    with pytest.raises(ExtraMissing, match=r"medallion-assets\[trino\]"):
        TrinoEngine(TrinoSettings(url="http://h", catalog="lake", user="ada", limits=limits))


def test_a_server_that_does_not_answer_is_an_outage_and_no_password_is_told(orders: Input, files_lake: Lake) -> None:
    settings = TrinoSettings(
        url=f"https://127.0.0.1:{free_port()}",
        catalog="lake",
        user="ada",
        password=SecretStr("s3cr3t"),
        limits=Limits(timeout_seconds=1, result_bytes=1),
    )
    engine = open_engine(settings, files_lake)
    assert isinstance(engine, TrinoEngine)
    query = read("SELECT count(*) AS n FROM silver.orders")
    with pytest.raises(LakeUnavailable, match="did not answer") as told:
        engine.compute(query, {"orders": orders}, N, today=TODAY)
    assert "s3cr3t" not in f"{told.value} {settings!r} {told.value.__cause__!r}"
