"""Conditions on an item's attribute: how they are written, and what a contract refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from medallion_assets.contracts.item_condition import ItemCondition, parse_condition
from medallion_assets_tests.silver.changes import contract


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("deleted_at is present", ItemCondition("deleted_at")),
        ("  deletedAt   is   present ", ItemCondition("deletedAt")),
        ("status = deleted", ItemCondition("status", "deleted")),
        ("my state = taken = away", ItemCondition("my state", "taken = away")),
        ("is present = true", ItemCondition("is present", "true")),
        ("gone = is present", ItemCondition("gone", "is present")),
    ],
)
def test_a_condition_is_read_from_text_and_written_as_it_is_read(text: str, condition: ItemCondition) -> None:
    assert parse_condition(text) == condition
    assert parse_condition(str(condition)) == condition


@pytest.mark.parametrize(
    "written", ["deleted_at", "deleted_at is absent", "= x", "status =", "status=deleted", 7, None]
)
def test_anything_else_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"expected '<attribute> is present' or '<attribute> = <value>'"):
        parse_condition(written)


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ({"deleted_when": "Deleted is present"}, "'Deleted' is neither in columns nor in drop"),
        ({"deleted_when": "Id = x"}, "'Id' is of the key"),
        ({"deleted_when": "Gone = x", "drop": ["Gone"]}, None),
        ({"deleted_when": "Note is present"}, None),
        ({"on_expiry": "archive"}, "'delete' or 'keep'"),
    ],
)
def test_a_contract_names_an_attribute_that_it_knows(more: dict[str, Any], mistake: str | None) -> None:
    def load() -> Any:
        return contract("Orders", {"Id": "string", "Note": "string"}, key="Id", **more)

    if mistake is None:
        assert load().model_dump(mode="json")["deleted_when"] == more["deleted_when"]
    else:
        with pytest.raises(ValidationError, match=mistake):
            load()
