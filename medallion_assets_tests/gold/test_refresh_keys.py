"""A mart that is partitioned by a key: a refresh computes the affected keys, and equals its full recompute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from medallion_assets.engines.embedded import Embedded, EmbeddedEngine
from medallion_assets.errors import MartError
from medallion_assets.gold import refresh as refresh_module
from medallion_assets.gold.changes import InputVersions
from medallion_assets.gold.published import audit_published
from medallion_assets.gold.spec import Mart, load_mart
from medallion_assets.lake import maintenance
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.maintenance.maintain import maintain
from medallion_assets_tests.gold.shop import DOMAIN, TODAY, Row, Shop, customer, order, ordered, product
from medallion_assets_tests.gold.test_refresh import mart_of

FILES = pytest.mark.parametrize("lake", ["files"], indirect=True)
YESTERDAY = date(2026, 3, 14)

CUSTOMERS = """SELECT o.customer_id, c.region, COUNT(*) AS n, SUM(o.total_amount) AS revenue
FROM silver.orders AS o LEFT JOIN silver.customers AS c ON c.customer_id = o.customer_id
GROUP BY o.customer_id, c.region"""
CUSTOMER_COLUMNS = {"customer_id": "string", "region": "string", "n": "bigint", "revenue": "decimal(38,2)"}
BY_CUSTOMER = {"column": "customer_id", "table": "orders", "key_of": "customer_id"}

CATEGORIES = """WITH pieces AS (
    SELECT o.total_amount AS amount, o.customer_region AS region, u.p AS product_id
    FROM silver.orders AS o CROSS JOIN UNNEST(o.product_ids) AS u (p)
), ranked AS (
    SELECT pieces.region, pieces.amount, COALESCE(x.category, '?') AS category,
        rank() OVER (PARTITION BY pieces.region ORDER BY pieces.amount DESC) AS place
    FROM pieces LEFT JOIN silver.products AS x ON x.product_id = pieces.product_id
)
SELECT category, region, MIN(place) AS best, SUM(amount) AS revenue FROM ranked
GROUP BY category, region"""
CATEGORY_COLUMNS = {"category": "string", "region": "string", "best": "bigint", "revenue": "decimal(38,2)"}

AMOUNTS = "SELECT total_amount AS amount, COUNT(*) AS n FROM silver.orders GROUP BY total_amount"


@pytest.fixture
def mart(tmp_path: Path) -> Mart:
    """Orders of each customer, with the customer's region."""
    partition = {**BY_CUSTOMER, "joins": {"customers": "customer_id"}}
    return mart_of(tmp_path / "customers", CUSTOMERS, CUSTOMER_COLUMNS, grain=["customer_id"], partition=partition)


@pytest.fixture
def categories(tmp_path: Path) -> Mart:
    """Several rows of each key, which may be null, and a join by a list of keys."""
    joins = {"products": "product_ids"}
    partition = {"column": "region", "table": "orders", "key_of": "customer_region", "joins": joins}
    return mart_of(
        tmp_path / "categories", CATEGORIES, CATEGORY_COLUMNS, grain=["category", "region"], partition=partition
    )


@pytest.fixture
def amounts(tmp_path: Path) -> Mart:
    """A key that is a decimal."""
    partition = {"column": "amount", "table": "orders", "key_of": "total_amount"}
    columns = {"amount": "decimal(12,2)", "n": "bigint"}
    return mart_of(tmp_path / "amounts", AMOUNTS, columns, grain=["amount"], partition=partition)


@pytest.fixture
def regions(tmp_path: Path, mart: Mart) -> Mart:
    """A mart over a mart by keys, by another key of it, which may be null."""
    folder = tmp_path / "regions"
    folder.mkdir()
    (folder / "query.sql").write_text(
        "SELECT region, COUNT(*) AS customers, SUM(revenue) AS revenue FROM gold.customers GROUP BY region"
    )
    (folder / "mart.yaml").write_text(
        "owner: team:test\ngrain: [region]\npartition: {column: region, table: gold.customers, key_of: region}\n"
        "columns: {region: string, customers: bigint, revenue: 'decimal(38,2)'}\n"
    )
    return load_mart(folder, DOMAIN, [mart])


@pytest.fixture
def shop(lake: Lake, mart: Mart) -> Shop:
    """Twenty customers with an order each; the mart is up to date."""
    shop = Shop(lake)
    shop.write("customers", *(customer(number) for number in range(20)))
    shop.write("products", product(1), product(2), product(3))
    shop.write("orders", *(order(number, of=number) for number in range(20)))
    assert shop.refresh(mart).keys == 20
    return shop


def recomputed(shop: Shop, mart: Mart) -> list[Row]:
    """All rows of the mart by its SQL."""
    with Embedded(shop.lake) as session:
        session.show_published()
        return ordered(session.compute(mart.query, today=TODAY).to_pylist(), mart)


def test_only_the_keys_of_changed_rows_are_computed(shop: Shop, mart: Mart) -> None:
    shop.write("orders", order(1, YESTERDAY, "3.00", of=1), order(20, of=2))
    result = shop.refresh(mart)
    assert (result.published, result.changed, result.keys, result.rows, result.days) == (True, True, 2, 2, ())
    assert shop.gold(mart) == recomputed(shop, mart)
    contents = Contents.of(shop.lake.table("gold", mart.name), result.snapshot_id)
    assert sorted(file.record_count for file in contents.data_files()) == [2, 20], "other keys are not written again"
    assert (shop.refresh(mart).changed, shop.refresh(mart).keys) == (False, 0)


@FILES
def test_an_order_that_moves_affects_the_key_it_left_and_the_key_it_came_to(shop: Shop, mart: Mart) -> None:
    shop.write("orders", order(1, of=2))
    assert (shop.refresh(mart).keys, shop.gold(mart)) == (2, recomputed(shop, mart))
    assert "c1" not in {row["customer_id"] for row in shop.gold(mart)}
    shop.write("orders", delete=["o1", "o2"])
    assert (shop.refresh(mart).keys, shop.gold(mart)) == (1, recomputed(shop, mart))


@FILES
def test_rows_without_a_key_are_a_key_of_their_own(shop: Shop, categories: Mart) -> None:
    shop.write("orders", *(order(number, region=f"r{number}") for number in range(20)))
    shop.refresh(categories)
    shop.write("orders", order(1, region=None))
    assert (shop.refresh(categories).keys, shop.gold(categories)) == (2, recomputed(shop, categories))
    assert [row["revenue"] for row in shop.gold(categories) if row["region"] is None] == [Decimal(10)]
    shop.write("orders", order(21, region=None))
    assert (shop.refresh(categories).keys, shop.gold(categories)) == (1, recomputed(shop, categories))
    assert all(check.passed for check in audit_published(shop.lake, categories, engine=EmbeddedEngine(shop.lake)))
    shop.write("orders", order(1, region="r1"), order(21, region="r1"))
    assert (shop.refresh(categories).keys, shop.gold(categories)) == (2, recomputed(shop, categories))
    assert all(row["region"] for row in shop.gold(categories))


@FILES
def test_a_change_of_a_joined_row_affects_the_keys_whose_rows_refer_to_it(
    shop: Shop, mart: Mart, categories: Mart
) -> None:
    shop.write("orders", *(order(number, of=number, region=f"r{number}") for number in range(20)))
    shop.write("orders", order(3, of=3, region="r3", products=[2, 3]), order(4, of=4, region=None, products=[2]))
    shop.refresh(mart)
    shop.refresh(categories)
    shop.write("customers", customer(5, "south"), customer(99))
    assert (shop.refresh(mart).keys, shop.gold(mart)) == (1, recomputed(shop, mart))
    shop.write("products", {**product(3), "category": "other"})
    assert (shop.refresh(categories).keys, shop.gold(categories)) == (1, recomputed(shop, categories))
    shop.write("products", delete=["p2"])
    assert (shop.refresh(categories).keys, shop.gold(categories)) == (2, recomputed(shop, categories))


@FILES
def test_most_keys_are_computed_as_a_whole_mart(shop: Shop, mart: Mart) -> None:
    def files() -> list[int]:
        contents = Contents.of(table := shop.lake.table("gold", mart.name), table.metadata.current_snapshot_id)
        return sorted(file.record_count for file in contents.data_files())

    shop.write("orders", *(order(number, amount="2.00", of=number) for number in range(5)))
    assert (shop.refresh(mart).keys, files()) == (5, [5, 20])
    shop.write("orders", *(order(number, amount="3.00", of=number) for number in range(6)))
    assert (shop.refresh(mart).keys, files()) == (20, [20])
    assert shop.refresh(mart, whole=True).keys == 20
    assert shop.gold(mart) == recomputed(shop, mart)


@FILES
def test_a_mart_by_keys_is_compacted_while_it_is_refreshed_and_a_compaction_has_its_inputs(
    shop: Shop, mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table() -> Table:
        return shop.lake.table("gold", mart.name)

    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 9)
    for number in range(7):
        shop.write("orders", order(number, amount="2.00", of=number))
        shop.refresh(mart)
    known = InputVersions.recorded(table())
    shop.write("orders", order(7, amount="2.00", of=7))
    assert shop.refresh(mart).keys == 1
    contents = Contents.of(table(), table().metadata.current_snapshot_id)
    (file,) = contents.data_files()
    found = pq.ParquetFile(file.file_path.removeprefix("file://")).read()["customer_id"].to_pylist()
    assert found == sorted(f"c{number}" for number in range(20)), "sorted by the key"
    assert (contents.delete_files(), shop.gold(mart)) == ([], recomputed(shop, mart))
    compaction, versions = table().metadata.current_snapshot_id, InputVersions.recorded(table())
    shop.write("orders", order(8, amount="2.00", of=8))
    shop.refresh(mart)
    assert InputVersions.of_snapshot(table(), compaction) == versions != known


@FILES
def test_days_of_a_mart_that_is_refreshed_by_keys_are_refused(shop: Shop, mart: Mart) -> None:
    with pytest.raises(MartError, match="customers is not partitioned by day"):
        shop.refresh(mart, days=[TODAY])


@FILES
def test_a_failed_check_of_one_key_leaves_the_published_rows(shop: Shop, tmp_path: Path) -> None:
    sql = "SELECT customer_id, order_id, total_amount AS amount FROM silver.orders"
    columns = {"customer_id": "string", "order_id": "string", "amount": "decimal(12,2)"}
    mart = mart_of(tmp_path / "listed", sql, columns, grain=["customer_id", "amount"], partition=BY_CUSTOMER)
    shop.refresh(mart)
    rows = shop.gold(mart)
    shop.write("orders", order(20, of=1), order(21, of=2, amount="1.00"))
    result = shop.refresh(mart)
    assert (result.published, [check.name for check in result.checks if not check.passed]) == (False, ["grain"])
    assert result.checks[0].numbers["rows"] == 4
    assert shop.gold(mart) == rows
    shop.write("orders", order(20, of=1, amount="2.00"))
    assert shop.refresh(mart).published
    assert shop.gold(mart) == recomputed(shop, mart)


def _chance(random: Random, shop: Shop) -> None:
    """One change as DynamoDB may bring it: new, updated, moved, deleted, redelivered, late, without a key, joined."""
    number, of = random.randrange(30), random.randrange(14)
    day = random.choice([TODAY, YESTERDAY, date(2025, 1, 1)])
    products = random.sample([1, 2, 3], random.randrange(3))
    region = random.choice([None, *(f"r{number}" for number in range(8))])
    row = order(number, day, random.choice(["1.00", "2.50", "2.5", "0"]), of=of, products=products, region=region)
    match random.randrange(10):
        case 0:
            shop.write("orders", delete=[f"o{number}"])
        case 1:
            shop.write("orders", {**row, "customer_region": None})
        case 2:
            shop.write("customers", customer(of, random.choice(["north", "south"])))
        case 3:
            shop.write("customers", delete=[f"c{of}"])
        case 4:
            shop.write("products", {**product(random.randrange(1, 4)), "category": random.choice(["a", "b"])})
        case 5:
            known = list(shop.rows["orders"].values())
            shop.write("orders", *random.sample(known, min(3, len(known))))
        case 6:
            shop.write("orders", row, order(30 + number, of=random.randrange(14)))
        case _:
            shop.write("orders", row)


class Died(BaseException):
    """The process ends at once."""


def _dying(act: Callable[..., Any], *, first: bool) -> Callable[..., Any]:
    def dying(*args: Any, **named: Any) -> Any:
        if first:
            act(*args, **named)
        raise Died

    return dying


@FILES
@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_gold_equals_its_full_recompute_after_any_changes_and_crashes(
    lake: Lake, mart: Mart, categories: Mart, amounts: Mart, regions: Mart, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "COMMITS_BETWEEN", 3)
    random, shop = Random(seed), Shop(lake)
    shop.write("customers", *(customer(number) for number in range(10)))
    shop.write("products", product(1), product(2))
    shop.write("orders", *(order(number, of=number % 12, products=[1 + number % 3]) for number in range(20)))
    marts = [mart, categories, amounts, regions]
    done: Counter[str] = Counter()
    shop.refresh(mart)
    for _ in range(10):
        for _ in range(random.randint(1, 3)):
            _chance(random, shop)
        one = random.choice(marts)
        if random.random() < 0.3:
            name = random.choice(["stage_replace", "audit_mart", "publish"])
            act = getattr(refresh_module, name)
            with monkeypatch.context() as patched:
                patched.setattr(refresh_module, name, _dying(act, first=random.random() < 0.5))
                try:
                    shop.refresh(one)
                except Died:
                    done["died"] += 1
        with monkeypatch.context() as patched:
            if random.random() < 0.7:  # never as a whole
                patched.setattr(refresh_module, "MOST_KEYS", 1000)
            result = shop.refresh(one)
        assert result.published
        done["some"] += 0 < (result.keys or 0) < len(shop.gold(one))
        assert shop.gold(one) == recomputed(shop, one)
        if random.random() < 0.4:
            maintain(lake, DOMAIN, marts, layer="gold", name=one.name)
            assert shop.gold(one) == recomputed(shop, one)
    for one in marts:
        shop.refresh(one)
        assert shop.gold(one) == recomputed(shop, one)
        assert all(check.passed for check in audit_published(lake, one, engine=EmbeddedEngine(lake)))
    assert done["some"] >= 2


@FILES
def test_another_writer_in_between_makes_the_refresh_plan_again(
    shop: Shop, mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beaten_once(*args: Any, **named: Any) -> None:
        monkeypatch.setattr(refresh_module, "publish", publish)
        shop.write("orders", order(3, amount="9.00", of=3))
        shop.refresh(mart)
        publish(*args, **named)

    shop.write("orders", order(1, amount="0.30", of=1))
    monkeypatch.setattr(refresh_module, "publish", beaten_once)
    shop.refresh(mart)
    assert shop.gold(mart) == recomputed(shop, mart)
    assert {row["revenue"] for row in shop.gold(mart)} == {Decimal("0.30"), Decimal("9.00"), Decimal("10.00")}
