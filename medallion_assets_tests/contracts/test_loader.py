"""Loading a domain: what is right is loaded exactly, every mistake names file and field."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import ContractError

CUSTOMERS = """
table: Customers
owner: team:shop
key: {hash: CustomerID}
columns:
  CustomerID: string
  Region: string
"""
ORDERS = """
table: Orders
owner: team:shop
key: {hash: OrderID}
columns:
  OrderID: string
  CustomerID: {type: string, rules: [{references: customers, severity: warn}]}
  Price: {type: 'decimal(12,2)', rules: [{min: 0.10}]}
enrich:
  - {table: customers, on: customer_id, columns: {customer_region: region}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small domain of two tables."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "domain.yaml").write_text("since: 2026-01-01\n")
    (tmp_path / "tables/customers.yaml").write_text(CUSTOMERS)
    (tmp_path / "tables/orders.yaml").write_text(ORDERS)
    return tmp_path


def test_the_shipped_domain_loads_with_the_names_of_the_lake() -> None:
    domain = load_domain("ecommerce")
    assert {name: list(contract.by_name) for name, contract in domain.by_name.items()} == {
        "customers": ["customer_id", "name", "email", "region", "join_date"],
        "products": ["product_id", "name", "category", "price", "stock_level"],
        "orders": ["order_id", "customer_id", "product_ids", "order_date", "total_amount", "status"],
    }
    assert domain.by_name["orders"].enriched_names == ("customer_name", "customer_region")


def test_a_users_own_folder_loads_and_tables_come_before_what_they_enrich(folder: Path) -> None:
    domain = load_domain(str(folder))
    assert [contract.lake_name for contract in domain.tables] == ["customers", "orders"]
    assert domain.since == date(2026, 1, 1)


def test_a_number_in_a_rule_is_exact(folder: Path) -> None:
    (rule,) = load_domain(str(folder)).by_name["orders"].by_name["price"].rules
    assert rule.min == Decimal("0.10")
    assert isinstance(rule.min, Decimal)


def test_only_true_and_false_are_bools(folder: Path) -> None:
    """YAML 1.1 reads Norway's code `NO` as false."""
    customers = folder / "tables/customers.yaml"
    customers.write_text(
        customers.read_text().replace("Region: string", "Region: {type: string, rules: [{values: [NO, on, y]}]}")
    )
    (rule,) = load_domain(str(folder)).by_name["customers"].by_name["region"].rules
    assert rule.values == ("NO", "on", "y")


@pytest.mark.parametrize(
    ("before", "after", "field", "expected"),
    [
        ("owner: team:shop", "owner: team:shop\ncolour: red", "colour", "unknown key; expected one of table"),
        ("owner: team:shop", "", "owner", "missing"),
        ("owner: team:shop", "owner: somebody", "owner", "e-mail address or team:name"),
        ("OrderID: string", "OrderID: text", "columns.OrderID.type", "expected string, bool"),
        ("OrderID: string", "OrderID: {typ: string}", "columns.OrderID.typ", "unknown key"),
        ("OrderID: string", "OrderID: bool", "key", "DynamoDB keys are string, number or binary"),
        ("hash: OrderID", "hash: OrderId", "key", "not in columns"),
        ("{min: 0.10}", "{min: 1, max: 2}", "columns.Price.rules.0", "exactly one of"),
        ("{min: 0.10}", "{pattern: a}", "columns.Price", "expected type string"),
        ("min: 0.10", "min: 0.10, severity: fatal", "columns.Price.rules.0.severity", "'block' or 'warn'"),
        ("references: customers", "references: clients", "references", "no table 'clients'"),
        ("on: customer_id", "on: price", "enrich.customers", "price is decimal(12,2), the key of customers is string"),
        ("{customer_region: region}", "{customer_region: zone}", "enrich.customers.columns", "no column 'zone'"),
        ("{customer_region: region}", "{price: region}", "enrich", "already there"),
        ("OrderID: string", "OrderID: string\n  orderId: string", "columns", "both 'order_id'"),
        ("OrderID: string", "OrderID: string\n  OrderID: string", "OrderID", "stands twice"),
        ("OrderID: string", "OrderID: string\n  2nd: string", "columns.2nd", "is not a name for the lake"),
        ("enrich:", "drop: [Price]\nenrich:", "drop", "['Price'] are also columns"),
        ("enrich:", "partition: [{column: day}]\nenrich:", "partition", "no column 'day'"),
        ("enrich:", "partition: [{column: price, transform: day}]\nenrich:", "partition", "needs a date or timestamp"),
        ("table: Orders", "table: [", "orders.yaml", "not readable as YAML"),
        ("table: Orders", "table: Customers", "table", "also the table of"),
        ("table: Orders", "table: Orders\nname: customers", "name", "also the name of"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_and_field(folder: Path, before: str, after: str, field: str, expected: str) -> None:
    orders = folder / "tables/orders.yaml"
    assert before in ORDERS
    orders.write_text(ORDERS.replace(before, after, 1))
    with pytest.raises(ContractError) as caught:
        load_domain(str(folder))
    for part in ("orders.yaml", field, expected):
        assert part in str(caught.value)


def test_enrichment_in_a_circle_is_refused(folder: Path) -> None:
    customers = folder / "tables/customers.yaml"
    customers.write_text(
        CUSTOMERS + "  LastOrder: string\nenrich: [{table: orders, on: last_order, columns: {last_price: price}}]\n"
    )
    with pytest.raises(ContractError, match=r"in a circle: .*customers.*orders|in a circle: .*orders.*customers"):
        load_domain(str(folder))


def test_a_domain_that_is_not_there_is_named_with_the_ones_that_are() -> None:
    with pytest.raises(ContractError, match=r"No domain 'shop'.*ecommerce.*MEDALLION_DOMAIN"):
        load_domain("shop")


def test_an_empty_file_and_a_file_that_is_no_text_are_refused(folder: Path) -> None:
    (folder / "tables/orders.yaml").write_text("")
    with pytest.raises(ContractError, match=r"orders\.yaml: expected a mapping"):
        load_domain(str(folder))
    (folder / "tables/orders.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContractError, match=r"orders\.yaml: not readable as YAML"):
        load_domain(str(folder))


def test_a_contract_is_frozen(folder: Path) -> None:
    contract = load_domain(str(folder)).tables[0]
    with pytest.raises(ValueError, match="frozen"):
        setattr(contract, "table", "Other")  # noqa: B010 - mypy knows that it is frozen


def test_the_schema_for_editors_takes_the_short_form_and_no_unknown_key() -> None:
    schema = json.dumps(Contract.model_json_schema())
    assert '"additionalProperties": false' in schema
    assert '"attribute"' not in schema
