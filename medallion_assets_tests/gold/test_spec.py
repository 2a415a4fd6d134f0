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
        (
            "mart.yaml",
            "day_of: order_date}",
            "day_of: order_date, time_zone: Berlin}",
            "'Berlin' is not the name of a time",
        ),
        (
            "mart.yaml",
            "day_of: order_date}",
            "day_of: order_date, time_zone: Europe/Berlin}",
            "AT TIME ZONE 'Europe/Berlin'",
        ),
        ("mart.yaml", "day_of: order_date", "day_of: status", "partition.day_of: 'status' is not a date or timestamp"),
        ("mart.yaml", "day_of: order_date}", "day_of: order_date, joins: {products: product_ids}}", "partition.joins"),
        ("mart.yaml", ", day_of: order_date}", "}", "partition: a partition says exactly one of day_of, key_of"),
        (
            "mart.yaml",
            "day_of: order_date",
            "day_of: order_date, key_of: status",
            "exactly one of day_of, key_of; this",
        ),
        (
            "mart.yaml",
            "day_of: order_date",
            "key_of: order_dat",
            "partition.key_of: 'order_dat' is not a text, integer",
        ),
        (
            "mart.yaml",
            "day_of: order_date",
            "key_of: product_ids",
            "'product_ids' is not a text, integer, decimal, date",
        ),
        ("mart.yaml", "day_of: order_date", "key_of: status, time_zone: UTC", "time_zone belongs to a partition with"),
        ("mart.yaml", "day_of: order_date", "key_of: order_date", "'order_date' is not a text, integer, decimal, date"),
        (
            "mart.yaml",
            "day_of: order_date",
            "key_of: status",
            "AS DATE); expected status of orders",
        ),
        ("mart.yaml", "{column: order_date, table", "{column: day, table", "partition.column: no column 'day'"),
        ("mart.yaml", "region: {type: string", "region: {type: text", "columns.region.type"),
        ("mart.yaml", "region: {type: string", "region: {type: bigint", "but query.sql gives varchar"),
        ("mart.yaml", "'decimal(38,2)'", "'decimal(18,2)'", "columns.total_revenue.type: decimal(18,2); but query.sql"),
        ("mart.yaml", "  region:", "  area:", "grain: no column 'region'"),
        ("mart.yaml", "  order_count:", "  computed_at:", "every Gold table has this column already"),
        ("mart.yaml", "{min: 0}", "{references: orders}", "a mart's rule says one of"),
        ("mart.yaml", "{min: 0}", "{pattern: x}", "rule pattern: expected type string"),
        ("query.sql", "AS order_count", "AS orders", "columns: order_date, region, order_count"),
        ("query.sql", "FROM silver.orders", "FROM silver.order", "expected one of gold.key_metrics, "),
        ("query.sql", "GROUP BY CAST(order_date AS DATE), ", "GROUP BY ", "query.sql: Binder Error"),
        (
            "query.sql",
            "AS order_count",
            "AS order_count, 7 AS order_count",
            "query.sql: SELECT gives 2 columns order_count",
        ),
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


def test_all_mistakes_of_a_mart_are_reported_at_once(domain: Domain) -> None:
    folder = domain.folder / "marts" / "daily_sales_by_region"
    (folder / "mart.yaml").write_text(
        """description: Wrong in many ways.
owner: me
colour: red
grain: [order_date, shop]
partition: {column: region, table: orders, day_of: order_date}
columns:
  order_date: date
  region: {type: string, rules: [{pattern: '('}, {values: [1]}]}
  order_count: {type: bigint, rules: [{min: 1.5}, {references: orders}, {min: 3}, {max: 2}]}
  _file: text
  computed_at: timestamp
"""
    )
    (folder / "query.sql").write_text(
        "SELECT CAST(order_date AS DATE) AS order_date, random() AS region, approx_distinct(status) AS order_count "
        "FROM silver.shops JOIN silver.customer ON true GROUP BY 1"
    )
    (domain.folder / "marts" / "key_metrics" / "query.sql").write_text("SELECT nothing, nobody FROM silver.orders")
    with pytest.raises(ContractError) as refused:
        load_marts(domain)
    message = str(refused.value)
    for expected in (
        "mart.yaml: owner: owner 'me': expected an e-mail address or team:name (line 2)",
        "mart.yaml: colour: unknown key; expected one of description, owner, grain, columns, partition (line 3)",
        "mart.yaml: grain: no column 'shop'; expected some of order_date, region",
        "mart.yaml: grain: 'region' is the partition's day and must be in it (line 4)",
        "mart.yaml: partition.column: 'region' is not a column of type date (line 5)",
        "mart.yaml: columns.region.rules.0: rule pattern: '(': missing )",
        "mart.yaml: columns.region.rules.1: rule values: 1; expected text",
        "mart.yaml: columns.order_count.rules.0: rule min: 1.5; expected an integer",
        "mart.yaml: columns.order_count.rules.1: a mart's rule says one of",
        "mart.yaml: columns.order_count.rules: rule min: 3 is above max 2",
        "mart.yaml: columns._file.type: 'text' is not a type",
        "mart.yaml: columns._file: '_file' is not a name for the lake",
        "mart.yaml: columns.computed_at: every Gold table has this column already",
        "query.sql: FROM silver.shops: no such table",
        "query.sql: FROM silver.customer: no such table",
        "query.sql: RAND(): its value differs in every run",
        "query.sql: APPROX_DISTINCT(status): its value may differ in every run",
        "key_metrics/query.sql: Column 'nothing' could not be resolved",
        "no such columns: nothing, nobody",
    ):
        assert any(expected in line for line in message.splitlines()), (expected, message)


def test_types_and_columns_that_differ_from_the_sql_are_reported_at_once(domain: Domain) -> None:
    edit(domain, "mart.yaml", "'decimal(38,2)'", "'decimal(18,2)'")
    edit(domain, "mart.yaml", "order_count: {type: bigint", "order_count: {type: int")
    edit(
        domain,
        "mart.yaml",
        "partition: {column: order_date, table: orders",
        "partition: {column: order_date, table: customers",
    )
    with pytest.raises(ContractError) as refused:
        load_marts(domain)
    for expected in ("columns.total_revenue.type", "columns.order_count.type", "partition.table: 'customers'"):
        assert expected in str(refused.value)


def test_a_column_is_a_bare_type_and_descriptions_are_optional(domain: Domain) -> None:
    path = domain.folder / "marts" / "daily_sales_by_region" / "mart.yaml"
    path.write_text(
        """owner: team:commerce
grain: [order_date, region]
partition: {column: order_date, table: orders, day_of: order_date}
columns:
  order_date: date
  region: string
  order_count: bigint
  total_revenue: decimal(38,2)
  avg_order_value: {type: 'decimal(12,2)'}
  unique_customers: bigint
  cancelled_count: bigint
"""
    )
    mart = next(mart for mart in load_marts(domain) if mart.name == "daily_sales_by_region")
    assert {name: str(column.type) for name, column in mart.columns.items()}["total_revenue"] == "decimal(38,2)"
    assert mart.spec.description == mart.columns["region"].description == ""


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("sales.yml", "expected a folder sales/ with mart.yaml and query.sql"),
        ("sales.yaml", "expected a folder sales/"),
        ("sales.sql", "expected a folder sales/"),
        ("key_metrics/mart.yml", "not read because of its ending; name it mart.yaml"),
        ("key_metrics/query.SQL", "not read because of its ending; name it query.sql"),
        ("key_metrics/Query.sql", "not read because of its name; name it query.sql"),
        ("key_metrics/old.sql", "expected mart.yaml and query.sql and nothing else"),
        ("lonely/query.sql", "lonely/mart.yaml: no such file"),
        ("lonely/mart.yaml", "lonely/query.sql: no such file"),
        *[(f"key_metrics/{name}", "") for name in (".query.sql.swp", "query.sql~", "mart.yaml.orig", "NOTES.md")],
        *[(name, "") for name in ("README.md", ".DS_Store", "_drafts/query.sql", ".git/mart.yaml")],
    ],
)
def test_a_file_among_marts_is_read_or_refused_or_plainly_not_meant(domain: Domain, file: str, refused: str) -> None:
    path = domain.folder / "marts" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("SELECT 1 AS a")
    if not refused:
        assert len(load_marts(domain)) == 3
        return
    with pytest.raises((ContractError, MartError)) as caught:
        load_marts(domain)
    assert refused in str(caught.value)


def test_a_table_two_joins_away_is_refused_with_the_way_out(domain: Domain) -> None:
    (domain.folder / "tables" / "regions.yaml").write_text(
        "table: Regions\nowner: team:commerce\nkey: {hash: RegionName}\n"
        "columns: {RegionName: string, Country: string, Code: int}\n"
    )
    edit(
        domain,
        "query.sql",
        "COALESCE(customer_region, 'unknown') AS region",
        "COALESCE(r.country, 'unknown') AS region",
    )
    edit(
        domain,
        "query.sql",
        "FROM silver.orders",
        "FROM silver.orders LEFT JOIN silver.customers AS c ON c.customer_id = orders.customer_id "
        "LEFT JOIN silver.regions AS r ON r.region_name = c.region",
    )
    edit(domain, "query.sql", "COALESCE(customer_region, 'unknown')", "COALESCE(r.country, 'unknown')")
    edit(domain, "query.sql", "COUNT(DISTINCT customer_id)", "COUNT(DISTINCT orders.customer_id)")
    edit(domain, "mart.yaml", "day_of: order_date}", "day_of: order_date, joins: {customers: customer_id}}")
    way_out = "let the contract of that table copy the columns with `enrich: [{table: regions, ...}]`"
    with pytest.raises(ContractError) as refused:
        load_marts(load_domain(str(domain.folder)))
    assert "partition.joins: " in str(refused.value) and way_out in str(refused.value)
    edit(
        domain, "mart.yaml", "joins: {customers: customer_id}", "joins: {customers: customer_id, regions: customer_id}"
    )
    with pytest.raises(MartError) as not_joined:
        load_marts(load_domain(str(domain.folder)))
    assert "regions is not joined as the spec says" in str(not_joined.value)
    assert "by `enrich` in the contract of the table between them" in str(not_joined.value)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(domain: Domain) -> None:
    for path in (domain.folder / "marts" / "daily_sales_by_region").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(load_marts(domain)) == 3


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
