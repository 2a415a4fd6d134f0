"""Loading marts: a mistake names file and field."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.errors import ContractError, MartError
from medallion_assets.gold.spec import load_marts
from medallion_assets_tests.gold.shop import DOMAIN, MARTS


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    """A copy of the shop, to make mistakes in."""
    return load_domain(str(shutil.copytree(DOMAIN.folder, tmp_path / "shop")))


def edit(domain: Domain, file: str, old: str, new: str) -> None:
    path = domain.folder / "marts" / "daily_sales_by_region" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_shop_has_its_three_marts() -> None:
    assert sorted(MARTS) == ["daily_sales_by_region", "key_metrics", "product_performance"]
    assert [name for name, mart in MARTS.items() if mart.uses_current_date] == ["key_metrics", "product_performance"]
    assert MARTS["product_performance"].tables == ("orders", "products")
    assert [name for name, mart in MARTS.items() if mart.spec.partition] == ["daily_sales_by_region"]


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("mart.yaml", "owner:", "ovner:", "mart.yaml: ovner: unknown key"),
        ("mart.yaml", "owner: team:commerce", "owner: me", "owner 'me': expected an e-mail address or team:name"),
        ("mart.yaml", "grain: [order_date, region]", "grain: []", "mart.yaml: grain: "),
        ("mart.yaml", "grain: [order_date, region]", "grain: [order_date, shop]", "grain: no column 'shop'"),
        ("mart.yaml", "grain: [order_date, region]", "grain: [region]", "'order_date' is the partition's day"),
        ("mart.yaml", "{column: order_date, table", "{column: region, table", "'region' is not a column of type date"),
        ("mart.yaml", "table: orders", "table: customers", "partition.table: 'customers' is not in query.sql"),
        ("mart.yaml", "day_of: order_date", "day_of: status", "partition.day_of: 'status' is not a date or timestamp"),
        ("mart.yaml", "day_of: order_date}", "day_of: order_date, joins: {products: product_ids}}", "partition.joins"),
        ("mart.yaml", "region: {type: string", "region: {type: text", "columns.region.type"),
        ("mart.yaml", "region: {type: string", "region: {type: bigint", "but query.sql gives varchar"),
        ("mart.yaml", "'decimal(38,2)'", "'decimal(18,2)'", "columns.total_revenue.type: decimal(18,2); but query.sql"),
        ("mart.yaml", "  region:", "  area:", "grain: no column 'region'"),
        ("mart.yaml", "  order_count:", "  computed_at:", "every Gold table has this column already"),
        ("mart.yaml", "{min: 0}", "{references: orders}", "a mart's rule says one of"),
        ("mart.yaml", "{min: 0}", "{pattern: x}", "rule pattern: expected type string"),
        ("query.sql", "AS order_count", "AS orders", "columns: order_date, region, order_count"),
        ("query.sql", "FROM silver.orders", "FROM silver.order", "expected one of silver.customers, silver.orders"),
        ("query.sql", "GROUP BY CAST(order_date AS DATE), ", "GROUP BY ", "query.sql: Binder Error"),
        ("query.sql", "AVG(total_amount)", "AVG(CAST(total_amount AS double))", "query.sql: AVG(CAST("),
    ],
)
def test_a_mistake_in_a_mart_names_file_and_field(domain: Domain, file: str, old: str, new: str, reason: str) -> None:
    edit(domain, file, old, new)
    with pytest.raises((ContractError, MartError)) as refused:
        load_marts(domain)
    assert str(domain.folder / "marts" / "daily_sales_by_region") in str(refused.value)
    assert reason in str(refused.value)


def test_a_folder_without_a_query_or_with_an_unusable_name_is_refused(domain: Domain) -> None:
    folder = domain.folder / "marts" / "key_metrics"
    (folder / "query.sql").unlink()
    with pytest.raises(ContractError, match=r"query\.sql: no such file"):
        load_marts(domain)
    shutil.copytree(DOMAIN.folder / "marts" / "key_metrics", folder, dirs_exist_ok=True)
    folder.rename(folder.with_name("Key-Metrics"))
    with pytest.raises(ContractError, match="the folder's name is the mart's name"):
        load_marts(domain)


def test_a_domain_may_have_no_marts(domain: Domain) -> None:
    shutil.rmtree(domain.folder / "marts")
    assert load_marts(domain) == ()


def test_the_definition_follows_sql_and_columns_but_not_descriptions(domain: Domain) -> None:
    def definition() -> str:
        return next(mart for mart in load_marts(domain) if mart.name == "daily_sales_by_region").code_version

    before = definition()
    edit(domain, "mart.yaml", "Orders and revenue", "Revenue and orders")
    assert definition() == before
    edit(domain, "query.sql", "'unknown'", "'nowhere'")
    assert definition() != before
