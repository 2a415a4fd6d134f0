"""What a contract may say about how values are written, and the one sentence for what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from medallion_assets.contracts.key_part import parse_template
from medallion_assets_tests.silver.changes import contract


def mistake(**spec: Any) -> str:
    """Return the mistakes in a table with the column V as said here."""
    with pytest.raises(ValidationError) as caught:
        contract("Things", {"Id": "string", "V": spec}, key="Id")
    return str(caught.value)


@pytest.mark.parametrize(
    ("type_", "said", "expected"),
    [
        ("string", {"from": "text"}, "a string is written in one way only; leave `from` out"),
        ("bigint", {"from": "txt"}, "'txt'; expected one of number, text"),
        ("bigint", {"from": []}, "from"),
        ("bigint", {"from": ["text", "text"]}, "'text' stands twice"),
        ("bool", {"from": "yes"}, "'yes'; expected one of bool, number, text, or two words such as yes/no"),
        ("bool", {"from": "Ja/ja"}, "two words such as yes/no"),
        ("bool", {"from": ["text", "0/1"]}, "'text' and '0/1' both read '0', with opposite meanings"),
        ("date", {"from": "DD.MM.YYYY"}, "because of 'D'; expected yyyy, MM or M"),
        ("date", {"from": "dd.MM.yy"}, "because of 'yy'"),
        ("date", {"from": "dd.MM"}, "has no year"),
        ("date", {"from": "dd.MM.yyyy dd"}, "expected each part once"),
        ("date", {"from": "d/MMyyyy"}, None),
        ("date", {"from": "dMM/yyyy"}, "nothing stands between d and MM"),
        ("date", {"from": "dd.MM.yyyy HH:mm"}, "has a time of day, this column is date"),
        ("timestamp", {"from": "dd.MM.yyyy", "zone": "UTC"}, "has no time of day, this column is timestamp"),
        ("date", {"from": ["dd.MM.yyyy", "MM.dd.yyyy"]}, "99.99.9999 (9 is a digit); leave one out"),
        ("date", {"from": ["d.M.yyyy", "MM.dd.yyyy"]}, "both read texts like 99.99.9999"),
        ("date", {"from": ["d.M.yyyy", "yyyy-MM-dd", "d/M/yyyy"]}, None),
        ("date", {"from": ["iso", "yyyy-dd-MM"]}, "both read texts like 9999-99-99"),
        ("date", {"from": ["epoch_days", "yyyyMMdd"]}, "both read texts like 99999999"),
        ("timestamp", {"from": "dd.MM.yyyy HH:mm"}, "missing; a time written as 'dd.MM.yyyy HH:mm' has"),
        ("timestamp", {"from": ["iso", "yyyy-MM-ddTHH:mm:ss"], "zone": "UTC"}, "both read texts like 9999-"),
        ("timestamp", {"from": ["epoch_seconds", "epoch_millis", "iso"]}, None),
        ("timestamp", {"zone": "Berlin"}, "'Berlin' is not the name of a time zone; expected UTC or one like"),
        ("timestamp", {"from": "epoch_seconds", "zone": "UTC"}, "expected with type timestamp, from iso or a pattern"),
        ("date", {"zone": "UTC"}, "expected with type timestamp, from iso or a pattern"),
        ("double", {"fraction": "round"}, "a double has none; expected with int, bigint, decimal or timestamp"),
        ("int", {"fraction": "up"}, "'refuse', 'round' or 'cut'"),
        ("list<int>", {"empty_as_null": True}, "this column is list<int>"),
        ("json", {"default": 1}, "this column is json"),
        ("int", {"default": "1"}, "'1'; expected an integer"),
        ("date", {"default": "2026-02-30"}, "expected a day like 2026-01-31"),
        ("string", {"part": "ORDER#"}, "expected a template with placeholders"),
        ("string", {"part": "ORDER#{v}{n}"}, "nothing stands between {v} and {n}, so nobody can know where one ends"),
        ("string", {"part": "ORDER#{v}#{v}"}, "a placeholder stands twice"),
        ("string", {"part": "ORDER#{order id}"}, "'order id' is no name of a placeholder"),
        ("string", {"part": "ORDER#{order_id}"}, "has no {v}; the column is the part with its own name"),
        ("binary", {"part": "{v}"}, "a part is text; binary cannot be read from it"),
        ("int", {"part": "{v}", "from": "number"}, "'number' is no format of a part, which is text"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(type_: str, said: dict[str, Any], expected: str | None) -> None:
    if expected is None:
        contract("Things", {"Id": "string", "V": {"type": type_, **said}}, key="Id")
    else:
        assert expected in mistake(type=type_, **said)


def test_a_key_stays_as_it_is_and_has_typed_columns_beside_it() -> None:
    with pytest.raises(ValidationError, match="'Id' is of the key, so it stays as it is at the source"):
        contract("Things", {"Id": {"type": "bigint", "from": "text"}}, key="Id")
    with pytest.raises(ValidationError, match="'Id' is of the key"):
        contract("Things", {"Id": {"type": "string", "source": "Other"}}, key="Id")
    with pytest.raises(ValidationError, match="'Id' has several columns, and this one is json; expected a scalar type"):
        contract("Things", {"Id": "string", "All": {"type": "json", "source": "Id"}}, key="Id")
    with pytest.raises(ValidationError, match=r"\['Id'\] are also columns"):
        contract("Things", {"Id": "string", "Nr": {"type": "string", "source": "Id"}}, key="Id", drop=["Id"])
    number = {"type": "bigint", "source": "Id", "from": "text"}
    wanted = contract("Things", {"Id": "string", "orderNumber": number}, key="Id")
    assert [(column.attribute, name) for name, column in wanted.by_name.items()] == [
        ("Id", "id"),
        ("Id", "order_number"),
    ]


def test_a_template_says_with_which_characters_a_placeholder_ends() -> None:
    assert parse_template("ORDER#{order_id}--{line}!").ends == "!-"
    assert parse_template("USER-{id}").ends == ""
