"""The judge applies the rules of a contract to values of every type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from medallion_assets.contracts.model import Contract
from medallion_assets.simulation.judge.reference_decoder import Change, judge


@pytest.mark.parametrize(
    ("type_", "rule", "fitting", "breaking"),
    [
        ("date", {"min": "2026-01-31"}, {"S": "2026-01-31"}, {"S": "2026-01-30"}),
        ("date", {"max": date(2026, 1, 31)}, {"S": "2026-01-31"}, {"S": "2026-02-01"}),
        ("date", {"values": ["2026-01-31"]}, {"S": "2026-01-31"}, {"S": "2026-02-01"}),
        ("timestamp", {"min": "2026-01-31"}, {"S": "2026-01-31T00:00:00Z"}, {"S": "2026-01-31T00:30:00+01:00"}),
        ("timestamp", {"max": "2026-01-31T13:00+01:00"}, {"S": "2026-01-31T12:00:00Z"}, {"S": "2026-01-31T12:00:01Z"}),
        (
            "timestamp",
            {"values": [datetime(2026, 1, 31, 12, tzinfo=UTC)]},
            {"S": "2026-01-31T13:00:00+01:00"},
            {"S": "2026-01-31T13:00:00Z"},
        ),
        ("double", {"values": [Decimal("0.1")]}, {"N": "0.1"}, {"N": "0.2"}),
        ("decimal(5,2)", {"max": Decimal("7.99")}, {"N": "7.99"}, {"N": "8"}),
        ("bigint", {"min": 0}, {"N": "0"}, {"N": "-1"}),
        ("string", {"min": "b"}, {"S": "b"}, {"S": "a"}),
    ],
)
def test_a_bound_is_compared_as_a_value_of_the_columns_type(
    type_: str, rule: Mapping[str, Any], fitting: Mapping[str, str], breaking: Mapping[str, str]
) -> None:
    contract = Contract.model_validate(
        {
            "table": "Things",
            "owner": "team:things",
            "key": {"hash": "Id"},
            "columns": {"Id": "string", "Value": {"type": type_, "rules": [rule]}},
        }
    )
    assert judge(contract, change(fitting)).broken == frozenset()
    assert judge(contract, change(breaking)).broken == {"value"}


def change(value: Mapping[str, str]) -> Change:
    """Return an insert of an item with this value."""
    keys = {"Id": {"S": "1"}}
    stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/Things/stream/2026-03-01T00:00:00.000"
    inserted = {
        "Keys": keys,
        "NewImage": {**keys, "Value": value},
        "SequenceNumber": "1",
        "ApproximateCreationDateTime": 0,
    }
    record = {"eventID": "1", "eventName": "INSERT", "eventSourceARN": stream, "dynamodb": inserted}
    return Change.of("Things", record)
