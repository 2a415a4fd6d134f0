"""Two names of a table: which is which, and what is no pair of names."""

from __future__ import annotations

import pytest

from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.errors import SettingsError


def test_a_table_has_its_two_names_and_any_other_table_one() -> None:
    names = SourceNames.parse("Orders=prod-Orders,Users=prod.Users")
    assert [names.in_dynamodb(name) for name in ("Orders", "Users", "Bills")] == ["prod-Orders", "prod.Users", "Bills"]
    assert [names.in_contract(name) for name in ("prod-Orders", "prod.Users", "Bills")] == ["Orders", "Users", "Bills"]
    assert SAME_NAMES.in_dynamodb("Orders") == SAME_NAMES.in_contract("Orders") == "Orders"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Orders", "expected <table of a contract>=<its name in DynamoDB>"),
        ("Orders=prod Orders", "is no name of a DynamoDB table"),
        ("=prod-Orders", "is no name of a DynamoDB table"),
        ("Orders=prod-Orders,Orders=stg-Orders", "was given before"),
        ("Orders=prod-Orders,Users=prod-Orders", "was given before"),
    ],
)
def test_what_is_no_pair_of_names_is_refused(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        SourceNames.parse(text)
