"""The snake_case rule and what may stand in SQL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.contracts.names import identifier, snake_case


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("CustomerID", "customer_id"),
        ("OrderDate", "order_date"),
        ("SKU", "sku"),
        ("HTMLBody", "html_body"),
        ("user-id", "user_id"),
        ("userId2Old", "user_id2_old"),
        ("already_snake", "already_snake"),
        ("with.dots and spaces", "with_dots_and_spaces"),
    ],
)
def test_a_name_in_the_lake_is_the_snake_case_of_the_attribute(attribute: str, name: str) -> None:
    assert snake_case(attribute) == name


@given(st.text())
def test_the_rule_applied_twice_changes_nothing_more(attribute: str) -> None:
    once = snake_case(attribute)
    assert snake_case(once) == once


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_what_passes_as_identifier_needs_no_quotes_in_sql(name: str) -> None:
    try:
        assert identifier(name).replace("_", "a").isalnum()
        assert name.isascii()
        assert name[0].isalpha()
    except ValueError as refused:
        assert "expected" in str(refused)


@pytest.mark.parametrize("name", ["", "_hidden", "Orders", "2nd", 'x"; DROP TABLE y', "a\n"])
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name for the lake"):
        identifier(name)
