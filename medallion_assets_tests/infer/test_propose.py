"""What is proposed of items: the usual kinds one by one, and that whatever was seen fits its own proposal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.model import Contract, Key
from medallion_assets.infer.contract_text import contract_text
from medallion_assets.infer.propose import propose
from medallion_assets.infer.sample import Item, Sample
from medallion_assets.infer.seen import look
from medallion_assets.reconciliation.reference_decoder import row_of


def texts(tables: Mapping[str, Sequence[Item]], *, key: str = "id") -> dict[str, str]:
    """Return the proposed contracts of these tables' items, by table."""
    samples = [Sample(name, Key(hash=key), {}, iter(items), None) for name, items in tables.items()]
    found = propose([(sample, look(sample)) for sample in samples])
    return {one.sample.table: contract_text(one, owner="team:data") for one in found}


def proposed(*items: Item, table: str = "Things") -> Contract:
    return Contract.model_validate(yaml.safe_load(texts({table: items})[table]))


def numbered(count: int, **more: Any) -> list[Item]:
    return [{"id": {"S": f"item-{n:05}"}, **{name: value(n) for name, value in more.items()}} for n in range(count)]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([{"S": "x"}], "string"),
        ([{"S": "2026-01-31"}, {"S": "2026-12-01"}], "date"),
        ([{"S": "2026-01-31"}, {"S": "2026-02-31"}], "string"),
        ([{"S": "2026-01-31T10:00:00Z"}, {"S": "2026-01-31T10:00:00.123+02:00"}], "timestamp"),
        ([{"N": "1"}, {"N": "-20"}, {"N": "1E+3"}], "bigint"),
        ([{"N": "1"}, {"N": "1.50"}], "decimal(12,2)"),
        ([{"N": "12345678.25"}], "decimal(14,2)"),
        ([{"N": "12345678901234567890"}], "decimal(24,0)"),
        ([{"N": "1E-30"}, {"N": "1E+30"}], "string"),
        ([{"N": "0"}], "bigint"),
        ([{"N": "1"}, {"S": "one"}], "string"),
        ([{"BOOL": True}, {"NULL": True}], "bool"),
        ([{"BOOL": True}, {"S": "maybe"}], "json"),
        ([{"B": "AAE="}], "binary"),
        ([{"SS": ["2026-01-31"]}], "set<string>"),
        ([{"NS": ["1", "2.5"]}], "set<decimal(12,2)>"),
        ([{"L": [{"S": "a"}]}, {"L": []}], "list<string>"),
        ([{"L": []}], "json"),
        ([{"L": [{"S": "a"}, {"M": {}}]}], "json"),
        ([{"M": {"Street": {"S": "a"}, "No": {"N": "1"}}}], "struct<Street:string,No:bigint>"),
        ([{"M": {"a b": {"S": "a"}}}], "json"),
        ([{"M": {"aB": {"S": "a"}, "a_b": {"S": "a"}}}], "json"),
        ([{"M": {f"user{n}": {"N": "1"}}} for n in range(120)], "map<bigint>"),
    ],
)
def test_a_type_takes_what_was_seen(values: list[dict[str, Any]], type_: str) -> None:
    items = [{"id": {"S": str(number)}, "Value": value} for number, value in enumerate(values)]
    assert str(proposed(*items).columns["Value"].type) == type_


@pytest.mark.parametrize(
    ("attribute", "values", "spec"),
    [
        ("price", [{"S": "199"}, {"S": "-5"}], {"type": "bigint", "from": "text"}),
        ("price", [{"S": "1.99"}, {"N": "5"}], {"type": "decimal(12,2)", "from": ["number", "text"]}),
        ("price", [{"S": "199"}, {"S": ""}, {"S": "2"}], {"type": "bigint", "from": "text", "empty_as_null": True}),
        ("price", [{"N": "199"}, {"S": ""}], {"type": "bigint", "empty_as_null": True}),
        ("price", [{"S": "199"}, {"S": "007"}], "string"),
        ("zipCode", [{"S": "10115"}, {"S": "20095"}], "string"),
        ("active", [{"S": "true"}, {"S": "False"}], {"type": "bool", "from": "text"}),
        ("active", [{"S": "yes"}], "string"),
        ("active", [{"S": "no"}, {"BOOL": True}], {"type": "bool", "from": ["bool", "text"]}),
        ("active", [{"S": "1"}, {"S": "0"}], {"type": "bigint", "from": "text"}),
        ("createdAt", [{"N": "1767600000"}], {"type": "timestamp", "from": "epoch_seconds"}),
        ("createdAt", [{"S": "1767600000123"}], {"type": "timestamp", "from": "epoch_millis"}),
        ("createdAt", [{"N": "1767600000"}, {"N": "-1"}], "bigint"),
        ("amount", [{"N": "1767600000"}], "bigint"),
        (
            "createdAt",
            [{"N": "1767600000"}, {"N": "1767600000123"}, {"S": "2026-01-31T10:00:00Z"}],
            {"type": "timestamp", "from": ["iso", "epoch_seconds", "epoch_millis"]},
        ),
        ("at", [{"S": "2026-01-31T10:00:00"}, {"S": "2026-01-31T10:00:00Z"}], {"type": "timestamp", "zone": "UTC"}),
        ("at", [{"S": "2026-01-31T10:00:00.123456789Z"}], {"type": "timestamp", "fraction": "cut"}),
        (
            "at",
            [{"S": "2026-01-31 10:00:00"}],
            {"type": "timestamp", "from": "yyyy-MM-dd HH:mm:ss", "zone": "UTC"},
        ),
        ("day", [{"S": "31.01.2026"}, {"S": ""}], {"type": "date", "from": "dd.MM.yyyy", "empty_as_null": True}),
        ("day", [{"S": "1.12.2026"}, {"S": "2026-01-31"}], {"type": "date", "from": ["iso", "d.M.yyyy"]}),
        ("day", [{"S": "01/02/2026"}], "string"),
        ("day", [{"S": "01/02/2026"}, {"S": "01/13/2026"}], {"type": "date", "from": "MM/dd/yyyy"}),
        ("day", [{"S": "31/01/2026"}, {"S": "01/31/2026"}], "string"),
        ("day", [{"S": "2026-01-31"}, {"S": ""}], {"type": "date", "empty_as_null": True}),
    ],
)
def test_a_format_is_proposed_if_every_value_fits_it_and_nothing_is_lost(
    attribute: str, values: list[dict[str, Any]], spec: Any
) -> None:
    items = [{"id": {"S": f"k{number}"}, attribute: value} for number, value in enumerate(values)]
    text = texts({"Things": items})["Things"]
    found = yaml.safe_load(text)["columns"][attribute]
    assert found == spec
    assert ("say in which zone" in text) == (isinstance(spec, dict) and "zone" in spec)
    assert ("say which by `from`" in text) == (values == [{"S": "01/02/2026"}])


def test_a_composite_key_is_cut_if_every_key_is_put_together_alike() -> None:
    items = [
        {"id": {"S": f"USER#{n}"}, "SK": {"S": f"ORDER#{n % 3}#{n}"}, "order_id": {"S": "x"}, "Mixed": {"S": mixed}}
        for n, mixed in enumerate(["A#1", "A#2", "B"])
    ]
    contract = proposed(*items)
    parts = {name: (column.attribute, column.part) for name, column in contract.by_name.items() if column.part}
    assert parts == {
        "user_id": ("id", "USER#{user_id}"),
        "order_id_2": ("SK", "ORDER#{order_id_2}#{sk_3}"),
        "sk_3": ("SK", "ORDER#{order_id_2}#{sk_3}"),
    }
    row = row_of(contract, items[1])
    assert (row["user_id"], row["order_id_2"], row["sk_3"], row["id"]) == ("1", "1", "1", "USER#1")


def test_what_is_only_null_stays_in_extra_and_a_secret_never_reaches_the_lake() -> None:
    items = numbered(3, Later=lambda n: {"NULL": True}, ApiKey=lambda n: {"S": f"k{n}"}, Note=lambda n: {"S": "n"})
    contract = proposed(*items)
    assert set(contract.columns) == {"id", "Note"}
    assert contract.drop == ("ApiKey",)


def test_few_values_that_come_again_are_all_there_are_and_a_mail_address_is_marked() -> None:
    items = numbered(
        200,
        Status=lambda n: {"S": ["open", "paid"][n % 2]},
        Contact=lambda n: {"S": f"person{n % 3}@example.com"},
        Seldom=lambda n: {"S": f"value {n}"},
    )
    items = [{name: value for name, value in item.items() if name != "Seldom" or n < 5} for n, item in enumerate(items)]
    text = texts({"Things": items})["Things"]
    rules = {name: column.rules for name, column in proposed(*items).columns.items()}
    required, values = rules["Status"]
    assert (required.required, required.severity) == (True, "warn")
    assert (values.values, values.severity) == (("open", "paid"), "warn")
    assert [rule.kind for rule in rules["Contact"]] == ["required"]
    assert rules["Seldom"] == ()
    assert "personal data?" in next(line for line in text.splitlines() if line.startswith("  Contact:"))
    assert "in 2 % of the items" in next(line for line in text.splitlines() if line.startswith("  Seldom:"))
    assert "example.com" not in text and "value 1" not in text and "item-0" not in text


def test_values_that_are_keys_of_another_table_refer_to_it_and_a_copied_item_is_dropped() -> None:
    customers = numbered(50, Name=lambda n: {"S": f"Name {n}"}, Region=lambda n: {"S": "north"})
    orders = [
        {
            "id": {"S": f"order-{n}"},
            "CustomerID": customers[n % 40]["id"],
            "Quantity": {"N": str(n % 3)},
            "Customer": {"M": {"id": customers[n % 40]["id"], "Name": {"S": "Name"}}},
        }
        for n in range(100)
    ]
    found = {name: yaml.safe_load(text) for name, text in texts({"Customers": customers, "Orders": orders}).items()}
    assert {"references": "customers", "severity": "warn"} in found["Orders"]["columns"]["CustomerID"]["rules"]
    assert found["Orders"]["drop"] == ["Customer"]
    assert "references" not in json.dumps(found["Customers"])


def test_names_that_the_lake_cannot_have_are_renamed_and_said() -> None:
    items = [{"id": {"S": "1"}, "userName": {"S": "a"}, "user_name": {"S": "b"}, "2nd": {"S": "c"}, "_rev": {"N": "1"}}]
    text = texts({"2024-items": items})["2024-items"]
    contract = Contract.model_validate(yaml.safe_load(text))
    assert {column.attribute: name for name, column in contract.by_name.items()} == {
        "id": "id",
        "userName": "user_name",
        "user_name": "user_name_2",
        "2nd": "attribute_2nd",
        "_rev": "rev",
    }
    assert contract.lake_name == "table_2024_items"
    assert "is no name for the lake, or is taken" in text


_TEXTS = st.one_of(
    st.text(max_size=8),
    st.dates().map(str),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.sampled_from(["true", "no", "1", "1.50", "a@b.de", "null", "~", "a: b # c", "2026-01-31T10:00:00+0200"]),
    st.sampled_from(
        ["", "-0", "007", "1767600000", "1767600000123.5", "9" * 40, "2026-01-31T10:00:00.1234567", "0.10"]
    ),
    st.sampled_from(["31.01.2026", "1.2.2026", "01/02/2026", "31/01/2026", "2026-01-31 10:00", "A#1", "A#2#3", "YES"]),
)
_NUMBERS = st.one_of(
    st.integers(-(10**37), 10**37).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9).map(str),
    st.builds(lambda digits, exponent: f"{digits}E{exponent}", st.integers(-999, 999), st.integers(-40, 40)),
)
_SCALARS = st.one_of(
    _TEXTS.map(lambda one: {"S": one}),
    _NUMBERS.map(lambda one: {"N": one}),
    st.booleans().map(lambda one: {"BOOL": one}),
    st.just({"NULL": True}),
    st.lists(_TEXTS, min_size=1, max_size=3, unique=True).map(lambda one: {"SS": one}),
    st.lists(_NUMBERS, min_size=1, max_size=3, unique=True).map(lambda one: {"NS": one}),
)
_NAMES = st.one_of(
    st.sampled_from(["Status", "userName", "user_name", "2nd", "a b", "total", "createdAt"]),
    st.text(min_size=1, max_size=6),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inside: st.one_of(
        st.lists(inside, max_size=3).map(lambda one: {"L": one}),
        st.dictionaries(_NAMES, inside, max_size=3).map(lambda one: {"M": one}),
    ),
    max_leaves=6,
)
_ITEMS = st.lists(st.dictionaries(_NAMES, _VALUES, max_size=5), min_size=1, max_size=6)


@given(items=_ITEMS, alike=st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_was_seen_fits_its_own_proposal(items: list[dict[str, Any]], alike: bool) -> None:
    """A new user's first run puts no item that was looked at into quarantine."""
    if alike:  # the same attributes in all, so that most have one type
        items = [{**items[0], **item} for item in items]
    keyed = [{**item, "id": {"S": f"USER#{number}" if alike else f"k{number}"}} for number, item in enumerate(items)]
    contract = proposed(*keyed)
    for item in keyed:
        row_of(contract, item)


@pytest.mark.parametrize(
    ("attribute", "values", "condition"),
    [
        ("deletedAt", [{"S": "2026-01-31"}, None], "deletedAt is present"),
        ("isDeleted", [{"BOOL": True}, {"BOOL": False}], "isDeleted = true"),
        ("deleted", [{"S": "true"}, {"S": "false"}], "deleted = true"),
        ("deletedAt", [{"S": "2026-01-31"}, {"S": ""}], None),
        ("deletedBy", [{"S": "me"}, None], None),
    ],
)
def test_a_mark_of_deleted_items_is_a_line_to_uncomment(
    attribute: str, values: list[Any], condition: str | None
) -> None:
    items: list[Item] = [{"id": {"S": f"k{n}"}, **({attribute: one} if one else {})} for n, one in enumerate(values)]
    lines = [line for line in texts({"Things": items})["Things"].splitlines() if "deleted_when" in line]
    assert [yaml.safe_load(line.removeprefix("# "))["deleted_when"] for line in lines] == (
        [condition] if condition else []
    )


def test_personal_data_in_a_struct_is_marked() -> None:
    items: list[Item] = [
        {"id": {"S": "k"}, "to": {"M": {"street": {"S": "a"}, "n": {"N": "1"}, "mail": {"S": "a@b.org"}}}}
    ]
    assert "# personal data in street, mail?" in texts({"Things": items})["Things"]
