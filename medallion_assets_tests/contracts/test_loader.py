"""Loading a domain: what is right is loaded exactly, every mistake names file and field."""

from __future__ import annotations

import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import load_domain, with_configured_since
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import ContractError, SettingsError
from medallion_assets_tests.fixtures import FLEET

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


def test_all_mistakes_of_all_files_are_reported_at_once_with_their_lines(folder: Path) -> None:
    (folder / "domain.yaml").write_text("since: 20260101\ncolour: red\n")
    (folder / "tables/customers.yaml").write_text(CUSTOMERS.replace("owner: team:shop", "owner: me") + "  _x: text\n")
    (folder / "tables/orders.yaml").write_text(
        """table: ../x
owner: team:shop
key: {hash: OrderID, range: Nr}
columns:
  OrderID: bool
  Zip:
    type: string
    rules:
      - {values: [02142]}
      - {pattern: '('}
      - {required: yes}
  Day: {type: date, rules: [{min: 2026-02-30}]}
  N: {type: int, attribute: X}
drop: [Zip]
partition: [{column: zip, transform: day}]
"""
    )
    with pytest.raises(ContractError) as caught:
        load_domain(str(folder))
    message = str(caught.value)
    for file, field, expected, line in [
        ("domain", "since", "expected a day like 2026-01-31, found 20260101", 1),
        ("domain", "colour", "unknown key", 2),
        ("tables/customers", "owner", "e-mail address or team:name", 3),
        ("tables/customers", "columns._x.type", "'text' is not a type", 8),
        ("tables/orders", "table", "no name of a DynamoDB table", 1),
        ("tables/orders", "key", "'Nr' is not in columns", 3),
        ("tables/orders", "key", "'OrderID' has type bool", 3),
        ("tables/orders", "columns.Zip.rules.0", "rule values: 2142; expected text; put it in quotes", 9),
        ("tables/orders", "columns.Zip.rules.1", "rule pattern: '(': missing )", 10),
        ("tables/orders", "columns.Zip.rules.2.required", "expected true, found 'yes'", 11),
        ("tables/orders", "columns.Day.rules.0", "rule min: '2026-02-30'; expected a day", 12),
        ("tables/orders", "columns.N.attribute", "unknown key", 13),
        ("tables/orders", "drop", "['Zip'] are also columns", 14),
    ]:
        found = [row for row in message.splitlines() if row.startswith(f"{folder / file}.yaml: {field}: ")]
        assert any(expected in row and row.endswith(f"(line {line})") for row in found), (field, message)


@pytest.mark.parametrize(
    ("type_", "rule", "expected"),
    [
        ("string", "pattern: '('", "missing )"),
        ("string", "pattern: '^(?!x)'", "invalid perl operator: (?!"),
        ("string", r"pattern: '(a)\1'", r"invalid escape sequence: \1"),
        ("string", "pattern: '(?<=a)b'", "invalid"),
        ("string", "pattern: 'a{2,1}'", "invalid repetition size"),
        ("string", "pattern: '[z-a]'", "invalid character class range"),
        ("string", "pattern: 12", "expected text, found 12; put it in quotes"),
        ("string", "values: [1, 2]", "rule values: 1; expected text"),
        ("string", "values: [true]", "rule values: true; expected text"),
        ("string", "values: []", "values is empty"),
        ("string", "values: abc", "expected a list"),
        ("string", "values: [~]", "expected one value"),
        ("string", "min: 1", "rule min: 1; expected text"),
        ("bool", "values: [yes]", "rule values: 'yes'; expected true or false"),
        ("bool", "values: [1]", "rule values: 1; expected true or false"),
        ("bool", "min: false", "a bool has no order"),
        ("int", "min: abc", "rule min: 'abc'; expected an integer"),
        ("int", "min: 1e-3", "rule min: 0.001; expected an integer"),
        ("int", "max: 2147483648", "expected an integer from -2147483648 to 2147483647"),
        ("int", "max: 1_000", "rule max: '1_000'; expected an integer"),
        ("int", "max: .inf", "rule max: infinity; expected an integer"),
        ("int", "values: [10:30]", "rule values: '10:30'; expected an integer"),
        ("bigint", "min: -9223372036854775809", "expected an integer from -9223372036854775808"),
        ("bigint", "max: 1e300", "expected an integer"),
        ("decimal(4,2)", "min: 0.001", "at most 2 digits before the point and 2 after it"),
        ("decimal(4,2)", "max: 100", "at most 2 digits before the point and 2 after it"),
        ("decimal(4,2)", "values: ['1.00']", "rule values: '1.00'; expected a number"),
        ("double", "max: 1e399", "expected a number below"),
        ("double", "max: .nan", "expected a number"),
        ("date", "min: 2026-02-30", "expected a day like 2026-01-31"),
        ("date", "min: 2026-1-1", "expected a day like 2026-01-31"),
        ("date", "min: 20260101", "expected a day like 2026-01-31"),
        ("date", "min: 2026-01-01T00:00:00Z", "expected a day like 2026-01-31"),
        ("timestamp", "min: yesterday", "expected a time"),
        ("timestamp", "min: 2026-01-01T25:00:00Z", "expected a time"),
        ("timestamp", "min: 2026-01-01T00:00:00.1234567Z", "expected a time"),
        ("timestamp", "max: 9999-12-31T23:59:59-01:00", "expected a time from the years 1 to 9999"),
        ("timestamp", "min: 0001-01-01T00:00:00+01:00", "expected a time from the years 1 to 9999"),
        ("binary", "values: [a]", "cannot be compared with a list of values"),
        ("json", "min: 1", "a json has no order"),
        ("list<string>", "pattern: a", "expected type string"),
        ("string", "min: b}, {max: a", "min: b is above max a"),
        ("date", "min: 2026-01-02}, {max: 2026-01-01, severity: warn", "is above max"),
        ("timestamp", "min: 2026-01-01T00:00:00Z}, {max: 2026-01-01T00:30:00+01:00", "is above max"),
        ("decimal(4,2)", "min: 2}, {max: 1.99", "is above max"),
    ],
)  # fmt: skip
def test_a_rule_that_no_row_could_be_checked_by_is_refused(folder: Path, type_: str, rule: str, expected: str) -> None:
    customers = folder / "tables/customers.yaml"
    customers.write_text(CUSTOMERS + f"  V: {{type: '{type_}', rules: [{{{rule}}}]}}\n")
    with pytest.raises(ContractError) as caught:
        load_domain(str(folder))
    assert f"{customers}: columns.V.rules" in str(caught.value)
    assert expected in str(caught.value)
    assert "(line 8)" in str(caught.value)


@pytest.mark.parametrize(
    ("type_", "rule"),
    [
        ("string", "values: ['02142', yes, 2026-01-31, 10:30, 1_000]"),
        ("string", r"pattern: '\p{Lu}[^@\s]+'"),
        ("int", "max: 0100"),
        ("int", "values: [0x1F, 0o17, 3.0, 1e3]"),
        ("decimal(4,2)", "min: -99.99}, {max: 99.990"),
        ("double", "min: 1e-3}, {max: 1e300"),
        ("date", "min: 0001-01-01}, {max: 9999-12-31"),
        ("timestamp", "min: 2026-01-01}, {max: 2026-01-01 10:00:00.123456+05:30"),
        ("timestamp", "min: 2026-01-01T00:00:00Z}, {max: 9999-12-31T23:59:59.999999Z"),
        ("bool", "values: [True]"),
    ],
)
def test_a_rule_of_the_columns_type_is_taken(folder: Path, type_: str, rule: str) -> None:
    (folder / "tables/customers.yaml").write_text(CUSTOMERS + f"  V: {{type: '{type_}', rules: [{{{rule}}}]}}\n")
    assert load_domain(str(folder)).by_name["customers"].by_name["v"].rules


@pytest.mark.parametrize(
    ("attribute", "spec", "name"),
    [
        ("F", "{type: string, rename: _file}", "_file"),
        ("F", "{type: string, rename: _pos}", "_pos"),
        ("F", "{type: string, rename: _deleted}", "_deleted"),
        ("F", "{type: string, rename: _spec_id}", "_spec_id"),
        ("F", "{type: string, rename: _partition}", "_partition"),
        ("F", "{type: string, rename: _row_id}", "_row_id"),
        ("F", "{type: string, rename: _last_updated_sequence_number}", "_last_updated_sequence_number"),
        ("F", "{type: string, rename: Region}", "Region"),
        ("F", "{type: string, rename: größe}", "größe"),
        ("F", "{type: string, rename: $path}", "$path"),
        ("F", f"{{type: string, rename: {'a' * 128}}}", "aaa"),
        ("Größe", "string", "gr_e"),
        ("REGION", "string", "are both 'region'"),
        ("F", "'struct<2nd:int>'", "2nd"),
    ],
)
def test_a_name_that_an_engine_does_not_accept_is_refused(folder: Path, attribute: str, spec: str, name: str) -> None:
    (folder / "tables/customers.yaml").write_text(CUSTOMERS + f"  {attribute}: {spec}\n")
    if name == "gr_e":  # a letter that is not ASCII is a word's end
        assert name in load_domain(str(folder)).by_name["customers"].by_name
        return
    with pytest.raises(ContractError) as caught:
        load_domain(str(folder))
    assert name in str(caught.value)


@pytest.mark.parametrize("table", ["../x", "a/b", "a b", "ab", "x" * 256, "Größe", "orders\n"])
def test_a_table_that_dynamodb_could_not_have_is_refused(folder: Path, table: str) -> None:
    (folder / "tables/orders.yaml").write_text(ORDERS.replace("Orders", json.dumps(table), 1))
    with pytest.raises(ContractError, match=r"orders\.yaml: table: "):
        load_domain(str(folder))


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("tables/users.yml", "name it users.yaml"),
        ("tables/users.YAML", "name it users.yaml"),
        ("tables/users.json", "expected contracts <table>.yaml"),
        ("tables/users", "expected contracts <table>.yaml"),
        ("tables/more/users.yaml", "a folder, which is not read"),
        ("tables/users.yaml/x", "a folder, which is not read"),
        ("Tables/users.yaml", "name it tables"),
        ("domain.yml", "name it domain.yaml"),
        ("workload.YML", "name it workload.yaml"),
        *[(f"tables/{name}", "") for name in (".users.yaml", "._users.yaml", "users.yaml~", "users.yaml.bak")],
        *[(f"tables/{name}", "") for name in ("#u.yaml#", "README.md", "notes.txt", "__pycache__/x.yaml")],
    ],
)  # fmt: skip
def test_a_file_is_read_or_refused_or_plainly_not_meant(folder: Path, file: str, refused: str) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(CUSTOMERS.replace("Customers", "Users"))
    if not refused:
        assert len(load_domain(str(folder)).tables) == 2
        return
    with pytest.raises(ContractError) as caught:
        load_domain(str(folder))
    assert refused in str(caught.value)
    assert str(folder / file) in str(caught.value) or str((folder / file).parent) in str(caught.value)


def test_a_domain_file_with_another_ending_is_named(folder: Path) -> None:
    (folder / "domain.yaml").rename(folder / "domain.yml")
    with pytest.raises(ContractError, match=r"domain\.yml: .*name it domain\.yaml"):
        load_domain(str(folder))


@pytest.mark.parametrize(
    ("partition", "expected"),
    [
        ("[{column: customer_region, transform: identity}]", "no column 'customer_region'"),
        ("[{column: tags}]", "tags is list<string>; expected a column of one exact value"),
        ("[{column: at, transform: day}, {column: at, transform: day}]", "day of at stands twice"),
        ("[{column: at, transform: month}]", "Iceberg would call it at_month, which is a column already"),
    ],
)
def test_a_partition_that_iceberg_would_refuse_is_refused(folder: Path, partition: str, expected: str) -> None:
    columns = "\n  At: timestamp\n  AtMonth: string\n  Tags: list<string>\nenrich:"
    (folder / "tables/orders.yaml").write_text(ORDERS.replace("\nenrich:", columns) + f"partition: {partition}\n")
    with pytest.raises(ContractError) as caught:
        load_domain(str(folder))
    assert "partition.0" in str(caught.value) or "partition.1" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "since",
    ["0001-01-01", "1899-12-31", "9999-12-31", "20260101", "2026-1-1", "2026-02-30", "2026-01-01T00:00:00", "~"],
)
def test_a_first_day_that_partitions_cannot_begin_with_is_refused(folder: Path, since: str) -> None:
    (folder / "domain.yaml").write_text(f"since: {since}\n")
    with pytest.raises(ContractError, match=r"domain\.yaml: since: expected a day .*\(line 1\)"):
        load_domain(str(folder))


@pytest.mark.parametrize("limit", [10**12, 10**30])
def test_a_freshness_beyond_any_clock_is_refused(folder: Path, limit: int) -> None:
    (folder / "tables/customers.yaml").write_text(CUSTOMERS + f"rules: {{freshness: {{max_minutes: {limit}}}}}\n")
    with pytest.raises(ContractError, match=r"rules\.freshness\.max_minutes"):
        load_domain(str(folder))


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


@pytest.mark.parametrize(("text", "since"), [(None, "2026-01-01"), ("", "2026-01-01"), ("2026-03-05", "2026-03-05")])
def test_the_first_day_of_the_partitions_can_be_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, since: str
) -> None:
    monkeypatch.delenv("MEDALLION_SINCE", raising=False)
    if text is not None:
        monkeypatch.setenv("MEDALLION_SINCE", text)
    assert with_configured_since(load_domain(str(folder))).since == date.fromisoformat(since)


def test_a_first_day_that_is_no_day_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_SINCE", "yesterday")
    with pytest.raises(SettingsError, match="MEDALLION_SINCE is 'yesterday': expected a day"):
        with_configured_since(load_domain(str(folder)))


def test_a_folder_with_the_name_of_a_shipped_domain_is_found_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FLEET, tmp_path / "laundry")
    monkeypatch.chdir(tmp_path)
    assert load_domain("./laundry").folder == tmp_path / "laundry"
    assert load_domain("laundry").folder != tmp_path / "laundry"
