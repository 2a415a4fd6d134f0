"""What an item adds to a counter is what Silver's row of it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.contracts.types import parse_type
from medallion_assets.live.contribution import contribution
from medallion_assets.live.counter import Counter, Value
from medallion_assets.reconciliation.reference_decoder import value
from medallion_assets.reconciliation.reference_format import Misfit

NUMBERS = st.one_of(
    st.sampled_from(["0", "-0", "1E2", "1E-2", "100.0", "0.001", "2147483647", "2147483648", "-9223372036854775808"]),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.integers(-(10**13), 10**13).map(str),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            *("2026-12-01", "2026-02-30", "0001-01-01", "2026-12-01T23:30:00-01:00", "2026-12-01T23:30:00.123456000Z"),
            *("2026-12-01T24:00:00Z", "0001-01-01T00:30:00+01:00", "9999-12-31T23:30:00-0100", "2026-12-01T23:30:00"),
        ]
    ),
    st.text(max_size=4),
)
TAGGED: st.SearchStrategy[dict[str, Any]] = st.one_of(
    NUMBERS.map(lambda text: {"N": text}),
    TEXTS.map(lambda text: {"S": text}),
    st.booleans().map(lambda truth: {"BOOL": truth}),
    st.just({"NULL": True}),
    st.just({"L": []}),
)


def counter(kind: str, *, part: bool) -> Counter:
    type_ = parse_type(kind)
    read = Value("a", "A", type_.kind, type_.precision, type_.scale)
    return Counter("c", "Orders", by=(read,)) if part else Counter("c", "Orders", sums=(read,))


def expected(kind: str, tagged: dict[str, Any]) -> Any:
    try:
        return value(parse_type(kind), tagged)
    except Misfit:
        return Misfit


@given(kind=st.sampled_from(["string", "bool", "int", "bigint", "date"]), tagged=TAGGED)
def test_a_part_of_a_group_is_the_value_in_silver(kind: str, tagged: dict[str, Any]) -> None:
    import json

    read, right = contribution(counter(kind, part=True), {"A": tagged}), expected(kind, tagged)
    if right is Misfit:
        assert read is None
    else:
        assert read is not None
        assert json.loads(read.group) == [right if right is None or isinstance(right, bool | int) else str(right)]


@given(kind=st.sampled_from(["int", "bigint", "decimal(12,2)"]), tagged=TAGGED)
def test_an_amount_is_the_value_in_silver(kind: str, tagged: dict[str, Any]) -> None:
    read, right = contribution(counter(kind, part=False), {"A": tagged}), expected(kind, tagged)
    assert (read.amounts if read else Misfit) == ((right,) if right is not Misfit else Misfit)


@given(kind=st.sampled_from(["date", "timestamp"]), tagged=TAGGED)
def test_a_day_is_the_utc_day_of_the_value_in_silver(kind: str, tagged: dict[str, Any]) -> None:
    read = contribution(Counter("c", "Orders", day=Value("at", "A", kind)), {"A": tagged})
    right = expected(kind, tagged)
    if right is Misfit:
        assert read is None
    else:
        assert read is not None
        assert read.group == ("[null]" if right is None else f'["{str(right)[:10]}"]')


def test_a_group_that_is_longer_than_a_key_may_be_is_not_counted() -> None:
    assert contribution(counter("string", part=True), {"A": {"S": "x" * 1_100}}) is None


@pytest.mark.parametrize("image", [None, {}])
def test_a_missing_attribute_is_null_and_a_missing_item_adds_nothing(image: Any) -> None:
    read = contribution(counter("string", part=True), image)
    assert (read and read.group) == (None if image is None else "[null]")
