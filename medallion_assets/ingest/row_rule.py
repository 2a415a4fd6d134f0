"""The blocking rules of a column on one value, as Silver applies them to a row.

Belongs here: whether one value keeps a rule. Does not belong here: the rules of tables, and `references`, which no
writer can keep: an order may arrive before its customer.

A pattern is applied by DuckDB, because Silver does so and no other library has exactly its regular expressions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from medallion_assets.contracts.model import Column, Rule

if TYPE_CHECKING:
    import duckdb

Breaks: TypeAlias = Callable[[Any], bool]

_patterns: Final = Lock()


def blocking_rules(column: Column) -> tuple[tuple[str, Breaks], ...]:
    """Return the column's blocking rules: what each expects, and whether a value of the column's type breaks it."""
    return tuple(
        (_expected(rule), _breaks(column, rule))
        for rule in column.rules
        if rule.severity == "block" and rule.kind != "references"
    )


def _expected(rule: Rule) -> str:
    match rule.kind:
        case "required":
            return "a value: the contract says required"
        case "values":
            return f"one of {', '.join(map(str, rule.written_values))}"
        case "pattern":
            return f"a text that matches {rule.pattern}"
        case kind:
            return f"{kind} {rule.written_values[0]}"


def _breaks(column: Column, rule: Rule) -> Breaks:
    if rule.pattern is not None:
        pattern = rule.pattern
        return lambda value: value is not None and not _matches(pattern, value)
    known = rule.typed_values(column.type)
    match rule.kind:
        case "values":
            return lambda value: value is not None and value not in known
        case "min":
            return lambda value: value is not None and value < known[0]
        case "max":
            return lambda value: value is not None and not value <= known[0]
        case _:
            return lambda value: value is None


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect()


def _matches(pattern: str, text: str) -> bool:
    with _patterns:  # a connection runs one query at a time
        ((matches,),) = _engine().execute("SELECT regexp_full_match($1, $2)", [text, pattern]).fetchall()
    return bool(matches)
