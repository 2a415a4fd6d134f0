"""A condition on the rows of one table, as a user writes it after WHERE.

Belongs here: parsing it and refusing every expression that is not on the list, so that a condition can select rows and
do nothing else. Does not belong here: SELECTs (query).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from medallion_assets.engines.nesting import refuse_recursion, require_shallow
from medallion_assets.errors import MartError

_ALLOWED: Final = frozenset(
    {
        *(exp.And, exp.Or, exp.Not, exp.Paren, exp.Boolean, exp.Null, exp.Is, exp.In, exp.Between, exp.Like),
        *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ),
        *(exp.Column, exp.Identifier, exp.Literal, exp.Neg, exp.Cast, exp.DataType, exp.DataTypeParam),
        *(exp.Lower, exp.Upper, exp.JSONExtractScalar, exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey),
        *(exp.JSONPathSubscript, exp.CurrentDate, exp.Sub, exp.Add, exp.Interval, exp.Var),
    }
)


@dataclass(frozen=True)
class Condition:
    """A checked condition: its SQL in DuckDB's dialect, generated from the parsed tree, and the columns it names."""

    sql: str
    columns: frozenset[str]


def read_condition(text: str, columns: Collection[str]) -> Condition:
    """Return `text`, in Trino's dialect, as a condition on `columns`. Raises MartError for anything else."""
    try:
        require_shallow(sqlglot.tokenize(text, read="trino"))
        with refuse_recursion():
            found = sqlglot.parse(text, dialect="trino")
    except SqlglotError as broken:
        raise MartError(f"{text!r} is not readable as a condition in Trino's SQL") from broken
    if len(found) != 1 or found[0] is None:
        raise MartError(f"{text!r} is not one condition; expected what follows WHERE, for example reason = '...'")
    tree = found[0]
    for node in tree.walk():
        if type(node) not in _ALLOWED:
            raise MartError(
                f"{node.sql('trino')!r}: expected a condition on columns: comparisons, LIKE, IN, BETWEEN, IS NULL, "
                "AND, OR, NOT, lower, upper, json_extract_scalar, and values"
            )
    names = {column.name for column in tree.find_all(exp.Column)}
    unknown = {column.sql("trino") for column in tree.find_all(exp.Column) if column.table} | (names - set(columns))
    if unknown:
        raise MartError(f"no column {', '.join(sorted(unknown))}; expected one of {', '.join(columns)}")
    with refuse_recursion():
        return Condition(tree.sql("duckdb", comments=False), frozenset(names))
