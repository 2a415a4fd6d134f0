"""Single-table designs: entities are proposed if they can be told apart for sure, and else it is said why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.entity import can_both_match, parse_pattern
from medallion_assets.contracts.model import Contract, Key
from medallion_assets.infer.contract_text import contract_text
from medallion_assets.infer.entities import name_apart, split
from medallion_assets.infer.propose import propose
from medallion_assets.infer.sample import Item, Sample
from medallion_assets.infer.seen import look


def item(pk: str, sk: str, **more: str) -> Item:
    return {name: {"S": text} for name, text in {"PK": pk, "SK": sk, **more}.items()}


def sampled(items: Sequence[Item], table: str = "App") -> Sample:
    return Sample(table, Key(hash="PK", range="SK"), {}, iter(items), size=None)


def found(items: Sequence[Item]) -> tuple[dict[str, dict[str, str]], str]:
    """Return the conditions of the proposed contracts by name, and the warnings."""
    parts = name_apart(split(sampled(items)))
    return {one.lake_name: dict(one.where) for one in parts}, " ".join(text for one in parts for text in one.warnings)


USERS = [item(f"USER#{n}", "PROFILE", email="e", name="n") for n in range(60)]
ORDERS = [item(f"USER#{n}", f"ORDER#2026-01-0{n % 9}#{n}", total="1", status="open") for n in range(150)]
PRODUCTS = [item(f"PRODUCT#{n}", f"PRODUCT#{n}", price="1") for n in range(20)]
CONFIG = [item("CONFIG", "GLOBAL", flag="on")]


def test_each_kind_of_keys_is_an_entity_with_its_parts() -> None:
    parts = split(sampled([*CONFIG, *USERS, *ORDERS, *PRODUCTS]))
    texts = [contract_text(one, owner="team:app") for one in propose([(part, look(part)) for part in parts])]
    contracts = {one.lake_name: one for one in (Contract.model_validate(yaml.safe_load(text)) for text in texts)}
    assert {name: {key: str(one) for key, one in (found.where or {}).items()} for name, found in contracts.items()} == {
        "user_order": {"PK": "USER#*", "SK": "ORDER#*"},
        "user_profile": {"PK": "USER#*", "SK": "PROFILE"},
        "product": {"PK": "PRODUCT#*", "SK": "PRODUCT#*"},
        "config_global": {"PK": "CONFIG", "SK": "GLOBAL"},
    }
    assert {column.part for column in contracts["user_order"].columns.values()} >= {"USER#{user_id}"}
    assert "email" not in contracts["user_order"].columns
    assert "# One of the entities of App: 231 of its items were looked at." in texts[0].splitlines()
    assert not any(part.warnings for part in parts)


TYPED = [
    *(item(f"USER#{n}", f"2026-01-0{n % 9}", kind="Visit", page="p") for n in range(9)),
    *(item(f"USER#{n}", f"2026-02-0{n % 9}", kind="Payment", amount="1") for n in range(9)),
]


@pytest.mark.parametrize(
    ("items", "proposed", "said"),
    [
        pytest.param([item(f"k{n}", "PROFILE", a="1") for n in range(9)], {"app": {}}, "", id="keys without words"),
        pytest.param(ORDERS, {"app": {}}, "", id="one kind of keys"),
        pytest.param(
            [item(f"{one}#{n}", "INVOICE#1", total="1") for n, one in enumerate(["US", "DE", "FR"] * 5)],
            {"app": {}},
            "begin with INVOICE#…, US#…, DE#…, FR#…, but no entities are proposed: the items have the same attributes",
            id="words that are data",
        ),
        pytest.param(
            [*USERS, *(item(f"USER#{n}", f"2026-01-0{n % 9}", page="p") for n in range(9))],
            {"app": {}},
            "no entities are proposed: 9 of 69 items have keys that others have, too, and no attribute says the type",
            id="keys that overlap",
        ),
        pytest.param(
            [*USERS, *ORDERS, item("USER#1", "2026-01-01", page="p")],
            {"user_order": {"PK": "USER#*", "SK": "ORDER#*"}, "user_profile": {"PK": "USER#*", "SK": "PROFILE"}},
            "1 of 211 items are of none of the proposed entities",
            id="an item of no entity",
        ),
        pytest.param(TYPED, {"visit": {"kind": "Visit"}, "payment": {"kind": "Payment"}}, "", id="by a type attribute"),
        pytest.param(
            [item(f"USER#{n}", "x1", type="admin" if n % 2 else "guest", name="n") for n in range(9)],
            {"app": {}},
            "",
            id="a type that is data",
        ),
        pytest.param(
            [*PRODUCTS, *(item(f"USER#{n}", name, a="1") for n, name in enumerate("abcdefghijklmnopqrstuvwxyz"))],
            {"user": {"PK": "USER#*"}, "product": {"PK": "PRODUCT#*", "SK": "PRODUCT#*"}},
            "",
            id="words that are data in the second attribute",
        ),
        pytest.param(
            [item(f"{chr(97 + n // 26)}{chr(97 + n % 26)}#1", "x1", **{f"a{n}": "1"}) for n in range(30)],
            {"app": {}},
            "there are more than 20 kinds of keys",
            id="too many kinds",
        ),
        pytest.param(
            [
                *(item(f"USER#{n}", f"FOLLOWS#{n}", at="1", kind="Follows") for n in range(9)),
                *(item(f"USER#{n}", f"LIKES#{n}", at="1", kind="Likes") for n in range(9)),
            ],
            {"user_follows": {"PK": "USER#*", "SK": "FOLLOWS#*"}, "user_likes": {"PK": "USER#*", "SK": "LIKES#*"}},
            "",
            id="alike, but of different types",
        ),
    ],
)
def test_entities_are_proposed_only_if_they_are_sure(
    items: list[Item], proposed: dict[str, dict[str, str]], said: str
) -> None:
    conditions, warnings = found(items)
    assert conditions == proposed
    assert said in warnings and bool(said) == bool(warnings), warnings


def test_an_entity_whose_name_is_taken_gets_its_tables_name_in_front() -> None:
    samples = [*split(sampled([*USERS, *PRODUCTS])), sampled(CONFIG, "Product")]
    assert [one.lake_name for one in name_apart(samples)] == ["user_profile", "app_product", "product"]


WORDS = st.sampled_from(["USER#1", "USER#2", "ORDER#1", "PROFILE", "USER", "1", "#META#1", "USER#", "x y", "ORDER#1#2"])


@settings(max_examples=200)
@given(st.lists(st.tuples(WORDS, WORDS, st.sampled_from(["a", "b"])), min_size=1, max_size=30))
def test_no_item_is_of_two_entities_and_none_is_lost_without_a_word(drawn: list[tuple[str, str, str]]) -> None:
    items = [item(pk, sk, **{name: "1"}) for pk, sk, name in drawn]
    parts = [(one, list(one.items)) for one in split(sampled(items))]
    wheres = [{name: parse_pattern(text) for name, text in one.where.items()} for one, _ in parts]
    assert not any(can_both_match(one, other) for at, one in enumerate(wheres) for other in wheres[:at])
    for where, (_, of_it) in zip(wheres, parts, strict=True):
        assert all(_matches(pattern, one[name]["S"]) for name, pattern in where.items() for one in of_it)
    lost = len(items) - sum(len(of_it) for _, of_it in parts)
    assert (f" {lost} of {len(items)} items are of none" in " ".join(parts[0][0].warnings)) == (lost > 0)


def _matches(pattern: Any, text: str) -> bool:
    return text.startswith(pattern.text) if pattern.is_prefix else text == pattern.text
