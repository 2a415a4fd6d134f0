"""What each change of a contract is called, what it costs, and what must be decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from medallion_assets.evolution.changes import compare
from medallion_assets.evolution.shape import declared_shape
from medallion_assets_tests.silver.changes import contract, domain

COLUMNS: Mapping[str, Any] = {"Id": "string", "N": "int", "D": "decimal(10,2)", "Day": "date", "S": "struct<A:int>"}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return kind, column, cost and what must be decided, for contracts that differ in these parts from COLUMNS."""
    old, new = (
        contract("Things", columns=part.get("columns", COLUMNS), key=part.get("key", "Id"), **part.get("more", {}))
        for part in (before, after)
    )
    was, declared = (declared_shape(one, domain(one)) for one in (old, new))
    return [(one.kind, one.column, one.cost, one.needs) for one in compare("things", was, declared, new)]


def without(name: str) -> dict[str, Any]:
    return {one: type_ for one, type_ in COLUMNS.items() if one != name}


def moved(**columns: Any) -> dict[str, Any]:
    return {"columns": {**COLUMNS, **columns}}


REBUILD = "Run `medallion rebuild silver.things`."


def other_name(type_: str) -> str:
    return f"{REBUILD} Agree by `retyped_from: {type_}`, or declare it under another name: `rename`."


ROWS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], list[tuple[str, str, str, str]]]] = {
    "nothing": ({}, {}, []),
    "new attribute": ({}, moved(New="date"), [("add", "new", "fill", "")]),
    "int to bigint": ({}, moved(N="bigint"), [("widen", "n", "metadata", "")]),
    "more digits": ({}, moved(D="decimal(12,2)"), [("widen", "d", "metadata", "")]),
    "struct field": ({}, moved(S="struct<A:int,B:string>"), [("widen", "s", "metadata", "")]),
    "fewer digits": ({}, moved(D="decimal(8,2)"), [("narrow", "d", "rebuild", other_name("decimal(10,2)"))]),
    "struct field less": (
        moved(S="struct<A:int,B:string>"),
        {},
        [("narrow", "s", "rebuild", other_name("struct<A:int,B:string>"))],
    ),
    "bigint to int": (moved(N="bigint"), {}, [("narrow", "n", "rebuild", other_name("bigint"))]),
    "scale": ({}, moved(D="decimal(12,3)"), [("retype", "d", "rebuild", other_name("decimal(10,2)"))]),
    "text to json": (moved(T="string"), moved(T="json"), [("retype", "t", "rebuild", other_name("string"))]),
    "narrower, as agreed": (
        moved(N="bigint"),
        moved(N={"type": "int", "retyped_from": "bigint"}),
        [("narrow", "n", "rebuild", "")],
    ),
    "retyped, as agreed for another type": (
        moved(T="string"),
        moved(T={"type": "json", "retyped_from": "date"}),
        [("retype", "t", "rebuild", other_name("string"))],
    ),
    "renamed": (
        {},
        moved(N={"type": "int", "rename": "number", "renamed_from": "n"}),
        [("rename", "number", "metadata", "")],
    ),
    "renamed and widened": (
        {},
        moved(N={"type": "bigint", "rename": "number", "renamed_from": "n"}),
        [("rename", "number", "metadata", ""), ("widen", "number", "metadata", "")],
    ),
    "renamed without a word": (
        {},
        moved(N={"type": "int", "rename": "number"}),
        [("rename", "number", "metadata", "Say `renamed_from: n` in the column.")],
    ),
    "another attribute under the name": (
        {},
        {"columns": without("N") | {"Number": {"type": "int", "rename": "n"}}},
        [("source", "n", "rebuild", REBUILD)],
    ),
    "written otherwise": ({}, moved(N={"type": "int", "from": "text"}), [("source", "n", "rebuild", REBUILD)]),
    "a part of what is a column": (
        {},
        moved(n1={"type": "string", "source": "Id", "part": "{n1}#{n2}"}),
        [("add", "n1", "rebuild", f"Old rows get the values only from Bronze. {REBUILD}")],
    ),
    "retired": (
        {},
        {"columns": without("N"), "more": {"retired": {"N": "int"}}},
        [("retire", "n", "metadata", "")],
    ),
    "removed": (
        {},
        {"columns": without("N")},
        [("remove", "n", "nothing", "Move the column from `columns` to `retired`.")],
    ),
    "new column beside the old": (
        {},
        {
            "columns": without("N") | {"N": {"type": "string", "rename": "n_text"}},
            "more": {"retired": {"N": "int"}},
        },
        [
            ("add", "n_text", "rebuild", f"Old rows get the values only from Bronze. {REBUILD}"),
            ("retire", "n", "metadata", ""),
        ],
    ),
    "new attribute with a default": (
        {},
        moved(New={"type": "int", "default": 0}),
        [("add", "new", "rebuild", f"Old rows get the default only when they are made again. {REBUILD}")],
    ),
    "default": ({}, moved(N={"type": "int", "default": 0}), [("default", "n", "rebuild", REBUILD)]),
    "required": (
        {},
        moved(N={"type": "int", "rules": [{"required": True}]}),
        [("required", "n", "nothing", "")],
    ),
    "optional": (
        moved(N={"type": "int", "rules": [{"required": True}]}),
        {},
        [("optional", "n", "metadata", "")],
    ),
    "dropped": ({}, {"more": {"drop": ["Phone"]}}, [("drop", "Phone", "fill", "")]),
    "kept": (
        {"more": {"drop": ["Phone"]}},
        {},
        [("keep", "Phone", "rebuild", f"Old rows get it only from Bronze. {REBUILD}")],
    ),
    "declared after it was dropped": (
        {"more": {"drop": ["Phone"]}},
        moved(Phone="string"),
        [("add", "phone", "rebuild", f"Old rows get the values only from Bronze. {REBUILD}")],
    ),
    "partition": (
        {},
        {"more": {"partition": [{"column": "day", "transform": "month"}]}},
        [("partition", "", "rebuild", REBUILD)],
    ),
    "key": ({}, {"key": ("Id", "N")}, [("key", "", "rebuild", REBUILD), ("required", "n", "nothing", "")][::-1]),
    "frozen": ({}, {"more": {"shape": "freeze"}}, [("freeze", "", "nothing", "")]),
    "soft deletes": (
        {"more": {"drop": ["Gone"]}},
        {"more": {"drop": ["Gone"], "deleted_when": "Gone is present"}},
        [("items", "", "rebuild", REBUILD)],
    ),
    "expired rows": ({}, {"more": {"on_expiry": "keep"}}, [("items", "", "rebuild", REBUILD)]),
    "evolving": ({"more": {"shape": "freeze"}}, {}, [("evolve", "", "nothing", "")]),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_change_is_named_and_costed(name: str) -> None:
    before, after, expected = ROWS[name]
    assert changes(before, after) == expected
