"""Verification finds every kind of difference between the source and the lake, and none where there is none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import Domain
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.merge import stage_merge
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets.local.tables import create_tables
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.comparison import Comparison
from medallion_assets.reconciliation.scan import DynamoTable
from medallion_assets.reconciliation.verify import Verification, verify
from medallion_assets_tests.fixtures.chain import chain_domain
from medallion_assets_tests.gold.shop import DOMAIN
from medallion_assets_tests.silver.changes import DAY, NOON, Bench, record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = dict[str, dict[str, Any]]
TODAY = date(2026, 3, 2)


class Source:
    """The shop's DynamoDB tables, and a pipeline that receives every change unless a test says otherwise."""

    def __init__(self, client: DynamoDBClient, lake: Lake, bronze: Path, domain: Domain = DOMAIN) -> None:
        self.client = client
        self.domain = domain
        self.marts = load_marts(domain)
        self.bench = Bench(lake, open_store(str(bronze)), domain)
        self._numbers = itertools.count(1)

    def put(self, table: str, item: Item, *, heard: bool = True) -> None:
        self.client.put_item(TableName=table, Item=item)
        if heard:
            self._hear(table, item, item)

    def delete(self, table: str, key: Item, *, heard: bool = True) -> None:
        self.client.delete_item(TableName=table, Key=key)
        if heard:
            self._hear(table, key, None)

    def _hear(self, table: str, item: Item, new: Item | None) -> None:
        key = DOMAIN.sources[table].contracts[0].key.hash
        self.bench.put(record(table, next(self._numbers), {key: item[key]}, new))

    def pipeline(self) -> None:
        for contract in DOMAIN.tables:
            assert all(result.published for result in self.bench.merge_pending(contract.lake_name))
        for mart in self.marts:
            self.refresh(mart.name)

    def refresh(self, name: str) -> None:
        mart = next(one for one in self.marts if one.name == name)
        assert refresh(self.bench.lake, mart, today=TODAY, now=NOON, run_id="run").published

    def verify(self) -> Verification:
        return self.verify_on(TODAY)

    def verify_on(self, today: date) -> Verification:
        return verify(
            self.bench.lake,
            self.domain,
            self.marts,
            source=lambda contract: DynamoTable(self.client, contract.table),
            store=self.bench.store,
            today=today,
            catch_up=CatchUp(capture_delay_seconds=0, limit_seconds=0),
        )

    def comparison(self, name: str) -> Comparison:
        found = self.verify()
        return next(one for one in (*found.tables, *found.marts) if one.name == name)


@pytest.fixture
def source(aws: Emulator, tmp_path: Path) -> Iterator[Source]:
    """A customer, a product and three orders, one of them of a customer who is not known, all the way to Gold."""
    client = boto3.client("dynamodb")
    create_tables(client, DOMAIN)
    settings = LakeSettings(warehouse=str(tmp_path / "lake"), catalog="sqlite", region=REGION)
    with Lake.open(settings) as lake:
        source = Source(client, lake, tmp_path / "bronze")
        source.put("Customers", customer("north"))
        source.put(
            "Products", {"ProductID": {"S": "p1"}, "Name": {"S": "P"}, "Price": {"N": "1.1"}, "StockLevel": {"N": "9"}}
        )
        for number, of in ((1, "c1"), (2, "c1"), (3, "c2")):
            source.put("Orders", order(number, of=of))
        source.pipeline()
        yield source


def customer(region: str) -> Item:
    return {"CustomerID": {"S": "c1"}, "Name": {"S": "C"}, "Region": {"S": region}, "Phone": {"S": "1"}}


def order(number: int, amount: str = "10.05", *, of: str = "c1", **more: dict[str, Any]) -> Item:
    return {
        "OrderID": {"S": f"o{number}"},
        "CustomerID": {"S": of},
        "ProductID": {"L": [{"S": "p1"}, {"S": "p1"}]},
        "OrderDate": {"S": "2026-03-01T23:30:00-01:00"},
        "TotalAmount": {"N": amount},
        "Status": {"S": "pending"},
        "Tags": {"SS": ["b", "a"]},
        "Raw": {"B": b"\x00\xff"},
        **more,
    }


def test_a_lake_that_followed_agrees(source: Source) -> None:
    found = source.verify()
    assert found.agrees, found
    assert sorted((one.name, one.source, one.lake, one.equal) for one in (*found.tables, *found.marts)) == [
        ("gold/daily_sales_by_region", 2, 2, 2),
        ("gold/key_metrics", 1, 1, 1),
        ("gold/product_performance", 1, 1, 1),
        ("silver/customers", 1, 1, 1),
        ("silver/orders", 3, 3, 3),
        ("silver/products", 1, 1, 1),
    ]


def test_a_deleted_row_and_a_region_that_moved_agree(source: Source) -> None:
    source.delete("Orders", {"OrderID": {"S": "o2"}})
    source.put("Customers", customer("south"))
    source.pipeline()
    assert source.verify().agrees


def test_an_unheard_change_is_told_value_by_value(source: Source) -> None:
    source.put("Orders", order(1, "10.06"), heard=False)
    found = source.comparison("silver/orders")
    assert (found.different, found.equal, found.agrees) == (1, 2, False)
    assert found.differences == ["o1: total_amount: source Decimal('10.06'), lake Decimal('10.05')"]
    assert source.comparison("gold/daily_sales_by_region").different == 1
    assert source.comparison("gold/key_metrics").different == 1


def test_an_unheard_row_is_missing_and_an_unheard_deletion_is_extra(source: Source) -> None:
    source.put("Orders", order(4), heard=False)
    source.delete("Orders", {"OrderID": {"S": "o3"}}, heard=False)
    found = source.comparison("silver/orders")
    assert (found.missing, found.extra, found.different) == (1, 1, 0)
    assert set(found.differences) == {"o4: in the source, not in the lake", "o3: in the lake, not in the source"}
    assert source.comparison("gold/daily_sales_by_region").extra == 1  # the region 'unknown'


def test_an_undeclared_attribute_counts_and_a_dropped_one_does_not(source: Source) -> None:
    source.put("Customers", {**customer("north"), "Phone": {"S": "2"}}, heard=False)
    assert source.verify().agrees
    source.put("Customers", {**customer("north"), "Nickname": {"S": "Bo"}}, heard=False)
    assert source.comparison("silver/customers").different == 1


def test_a_row_in_quarantine_is_counted_apart_and_no_difference(source: Source) -> None:
    source.put("Orders", order(1, "-3"))
    source.put("Orders", order(5, "0.001"))
    source.pipeline()
    found = source.verify()
    assert found.agrees, found
    orders = next(one for one in found.tables if one.name == "silver/orders")
    assert (orders.source, orders.lake, orders.equal, orders.in_quarantine) == (4, 3, 2, 2)


@pytest.mark.slow
def test_a_dropped_row_is_not_compared_until_a_newer_change_of_its_key_comes(source: Source) -> None:
    source.put("Orders", order(1, "-3"))
    source.put("Orders", order(5, "0.001"))
    source.pipeline()
    assert source.bench.drop("orders", where="TRUE").dropped == 2
    found = source.verify()
    assert found.agrees, "Silver and Gold stay as they were; nobody asks for more"
    orders = next(one for one in found.tables if one.name == "silver/orders")
    assert (orders.source, orders.lake, orders.equal, orders.in_quarantine) == (4, 3, 2, 2)
    source.put("Orders", order(1, "7"))
    source.pipeline()
    found = source.verify()
    assert found.agrees
    orders = next(one for one in found.tables if one.name == "silver/orders")
    assert (orders.equal, orders.in_quarantine) == (3, 1)


@pytest.mark.slow
def test_a_superseded_row_is_compared(source: Source) -> None:
    source.put("Orders", order(1, "-3"))
    source.pipeline()
    source.put("Orders", order(1, "3"))
    source.pipeline()
    assert source.bench.replay("orders").superseded == 1
    source.put("Orders", order(1, "4"), heard=False)
    found = source.comparison("silver/orders")
    assert (found.in_quarantine, found.different) == (0, 1)


@pytest.mark.slow
def test_a_quarantined_row_that_was_mended_at_the_source_is_compared_again(source: Source) -> None:
    source.put("Orders", order(1, "-3"))
    source.put("Orders", order(1, "3"))
    source.pipeline()
    found = source.comparison("silver/orders")
    assert (found.in_quarantine, found.equal, found.agrees) == (0, 3, True)


def test_a_value_that_does_not_fit_and_was_never_captured_is_a_difference(source: Source) -> None:
    source.put("Orders", order(1, "0.001"), heard=False)
    found = source.comparison("silver/orders")
    assert found.different == 1
    assert "does not fit and is not in quarantine" in found.differences[0]


def test_a_silver_value_that_was_tampered_with_is_found(source: Source) -> None:
    lake = source.bench.lake
    table = lake.table("silver", "orders")
    with lake.duckdb() as connection:
        rows = connection.execute(
            f"SELECT * REPLACE (total_amount + 0.01 AS total_amount, repeat('9', 40) AS _sequence_number) "
            f"FROM {lake.scan_sql(table, None)} WHERE order_id = 'o1'"
        ).to_arrow_table()
    publish(lake, table, stage_merge(lake, table, rows, key=["order_id"]))
    assert source.comparison("silver/orders").different == 1
    assert source.comparison("gold/daily_sales_by_region").agrees  # Gold was not refreshed from it


def test_a_gold_row_that_was_tampered_with_is_found(source: Source) -> None:
    lake = source.bench.lake
    table = lake.table("gold", "daily_sales_by_region")
    staged = stage_replace(
        lake,
        table,
        table.scan().to_arrow().slice(0, 0),
        only=("order_date", pa.array([DAY, date(2026, 3, 2)])),
    )
    publish(lake, table, staged)
    found = source.comparison("gold/daily_sales_by_region")
    assert (found.source, found.lake, found.missing) == (2, 0, 2)
    assert not source.verify().agrees


def test_a_mart_is_compared_at_its_own_cut_while_changes_are_on_their_way(source: Source) -> None:
    source.put("Orders", order(1, "99"))
    source.put("Orders", order(4))
    source.delete("Orders", {"OrderID": {"S": "o3"}})
    found = source.verify()
    orders = next(one for one in found.tables if one.name == "silver/orders")
    assert (orders.unconfirmed, orders.different, orders.equal) == (3, 0, 1) and not found.agrees
    assert all(one.agrees and one.behind is None for one in found.marts), found.marts


@pytest.mark.slow
def test_a_mart_that_did_not_follow_silver_is_behind(source: Source) -> None:
    source.put("Orders", order(1, "99"))
    assert all(result.published for result in source.bench.merge_pending("orders"))
    found = source.verify()
    assert all(one.agrees for one in (*found.tables, *found.marts))
    behind = {one.name: one.behind for one in found.marts}
    assert behind["gold/daily_sales_by_region"] == "it lacks what orders got before the comparison"
    assert not found.agrees
    source.pipeline()
    assert source.verify().agrees


@pytest.mark.slow
def test_a_wrong_enriched_column_is_found(source: Source) -> None:
    lake = source.bench.lake
    table = lake.table("silver", "orders")
    with lake.duckdb() as connection:
        rows = connection.execute(
            f"SELECT * REPLACE ('nowhere' AS customer_region, _sequence_number || '+0000000000000001' AS "
            f"_sequence_number) FROM {lake.scan_sql(table, None)} WHERE order_id = 'o1'"
        ).to_arrow_table()
    publish(lake, table, stage_merge(lake, table, rows, key=["order_id"]))
    found = source.comparison("silver/orders")
    assert (found.different, found.equal) == (1, 2)
    assert found.differences == ["o1: customer_region: source 'north', lake 'nowhere'"]


def test_nothing_published_yet_is_missing_and_not_an_error(aws: Emulator, tmp_path: Path) -> None:
    client = boto3.client("dynamodb")
    create_tables(client, DOMAIN)
    settings = LakeSettings(warehouse=str(tmp_path / "lake"), catalog="sqlite", region=REGION)
    with Lake.open(settings) as lake:
        source = Source(client, lake, tmp_path / "bronze")
        source.put("Customers", customer("north"), heard=False)
        found = source.verify()
    assert [one.missing for one in (*found.tables, *found.marts)] == [1, 0, 0, 0, 1, 0]


def test_marts_are_computed_for_the_day_their_rows_are_of(source: Source) -> None:
    assert source.verify_on(date(2027, 1, 1)).agrees


def test_a_mart_over_marts_is_computed_from_the_source_and_not_from_their_published_rows(
    aws: Emulator, tmp_path: Path
) -> None:
    client = boto3.client("dynamodb")
    create_tables(client, DOMAIN)
    with Lake.open(LakeSettings(warehouse=str(tmp_path / "lake"), catalog="sqlite", region=REGION)) as lake:
        source = Source(client, lake, tmp_path / "bronze", chain_domain(tmp_path))
        source.put("Customers", customer("north"))
        source.put("Orders", order(1))
        source.pipeline()
        assert source.verify().agrees

        source.put("Orders", order(2, "1.00"))
        assert all(result.published for result in source.bench.merge_pending("orders"))
        source.refresh("daily_sales_by_region")
        marts = {one.name: one for one in source.verify().marts}
        assert all(one.agrees for one in marts.values()), "each at the snapshots that it names"
        assert marts["gold/daily_sales_by_region"].behind is None
        lacks = "it lacks what gold.daily_sales_by_region got before the comparison"
        assert marts["gold/region_totals"].behind == lacks
        assert marts["gold/daily_share"].behind == f"gold.region_totals is behind: {lacks}"
        source.pipeline()
        assert source.verify().agrees

        table = lake.table("gold", "region_totals")
        staged = stage_replace(lake, table, table.scan().to_arrow().slice(0, 0), only=None)
        publish(lake, table, staged)
        source.refresh("daily_share")
        found = {one.name: one for one in source.verify().marts}
        assert found["gold/daily_sales_by_region"].agrees
        assert (found["gold/region_totals"].missing, found["gold/daily_share"].missing) == (1, 1)


def test_a_row_that_is_kept_after_its_expiry_counts_in_marts(source: Source) -> None:
    kept = DOMAIN.by_name["orders"].model_copy(update={"on_expiry": "keep"})
    source.domain = source.bench.domain = replace(
        DOMAIN, tables=tuple(kept if one.lake_name == "orders" else one for one in DOMAIN.tables)
    )
    before = source.verify()
    key = {"OrderID": order(1)["OrderID"]}
    source.client.delete_item(TableName="Orders", Key=key)
    expiry = record("Orders", 99, key, None)
    expiry["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    expiry["dynamodb"]["OldImage"] = order(1)
    source.bench.put(expiry)
    source.pipeline()
    after = source.verify()
    assert before.agrees and after.agrees
    assert [mart.lake for mart in after.marts] == [mart.lake for mart in before.marts]
    source.delete("Orders", {"OrderID": order(2)["OrderID"]})
    source.pipeline()
    assert source.verify().agrees
