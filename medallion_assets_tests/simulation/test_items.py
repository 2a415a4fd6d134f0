"""Items: numbers as DynamoDB writes them, sizes, and dice that give what DynamoDB takes and what we decode."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal, Rounded
from typing import Any

import pytest
from boto3.dynamodb.types import DYNAMODB_CONTEXT, TypeDeserializer
from hypothesis import example, given
from hypothesis import strategies as st

from medallion_assets.simulation.items import TAGS, normal, normal_number, random_number, random_value, same, size_bytes


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("00012", "12"),
        ("1.500", "1.5"),
        ("1e3", "1000"),
        ("-1E-2", "-0.01"),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("1E125", "1E+125"),
        ("9.9E-130", "9.9E-130"),
        ("100000000000000000000000000000000000000000000", "1E+44"),
    ],
)
def test_numbers_as_stored(sent: str, stored: str) -> None:
    assert normal_number(sent) == stored


@given(st.integers(0, 2**64))
def test_random_numbers_are_as_stored_and_exact(seed: int) -> None:
    number = random_number(random.Random(seed))
    assert normal_number(number) == number
    digits = Decimal(number).as_tuple().digits
    assert len(str(int("".join(map(str, digits)))).rstrip("0")) <= 38


@pytest.fixture(scope="module")
def boto3_reads_zeros() -> Iterator[None]:
    """boto3 takes the zeros at the end of a number of more than 38 digits for a loss; a loss would be Inexact."""
    DYNAMODB_CONTEXT.traps[Rounded] = False
    yield
    DYNAMODB_CONTEXT.traps[Rounded] = True


@pytest.mark.usefixtures("boto3_reads_zeros")
@example(29629)
@given(st.integers(0, 2**64))
def test_random_values_are_taken_and_read_by_boto3(seed: int) -> None:
    item: dict[str, Any] = {"id": {"S": "a"}, "value": random_value(random.Random(seed))}
    assert same(normal(item), item)
    TypeDeserializer().deserialize(item["value"])


def test_dice_reach_all_ten_types() -> None:
    dice = random.Random(1)
    seen: set[str] = set()

    def walk(tagged: Any) -> None:
        ((tag, inside),) = tagged.items()
        seen.add(tag)
        for one in inside.values() if tag == "M" else inside if tag == "L" else ():
            walk(one)

    for _ in range(200):
        walk(random_value(dice))
    assert seen == set(TAGS)


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"id": {"S": "abc"}}, 5),
        ({"id": {"S": "é漢"}}, 7),
        ({"a": {"BOOL": True}, "b": {"NULL": True}}, 4),
        ({"b": {"B": b"1234"}}, 5),
        ({"n": {"N": "1234"}}, 4),
        ({"n": {"N": "-1234"}}, 5),
        ({"m": {"M": {"a": {"S": "x"}}}}, 1 + 3 + 1 + 2),
        ({"l": {"L": [{"S": "x"}, {"S": "y"}]}}, 1 + 3 + 2 + 2),
        ({"s": {"SS": ["ab", "c"]}}, 4),
    ],
)
def test_sizes(item: Any, size: int) -> None:
    """Source: DynamoDB item sizes and formats. Numbers are "approximately" so by AWS's own words."""
    assert size_bytes(item) == size
