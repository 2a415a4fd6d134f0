"""One SQL expression over the columns of one table, as somebody writes it into a file: read and checked, not run.

Belongs here: what such an expression may contain. Does not belong here: whole queries (query), conditions of deletes
(condition).
"""

from __future__ import annotations

from collections.abc import Collection

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from medallion_assets.engines.nesting import refuse_recursion
from medallion_assets.errors import MartError

_FORBIDDEN = (exp.Query, exp.Table, exp.Window, exp.Placeholder, exp.Parameter, exp.Command, exp.Star)


def read_expression(text: str, columns: Collection[str], *, aggregate: bool) -> str:
    """Return the expression in Trino's dialect, without comments.

    It names only `columns`, has no subquery and no `$`, and contains aggregates if `aggregate` and else none. Raises
    MartError that says what was seen and what was expected.
    """
    with refuse_recursion():
        try:
            trees = sqlglot.parse(text, dialect="trino")
        except SqlglotError as unreadable:
            raise MartError(f"{text!r}: not readable as an SQL expression") from unreadable
        tree = trees[0] if len(trees) == 1 else None
        if tree is None or "$" in text or not isinstance(tree, exp.Condition):
            raise MartError(f"{text!r}: expected one SQL expression, without $ and ;")
        for node in tree.find_all(*_FORBIDDEN):
            if not (isinstance(node, exp.Star) and isinstance(node.parent, exp.Count)):
                raise MartError(f"{text!r}: {node.sql('trino')} is not allowed; expected columns, operators, functions")
        unknown = sorted({column.sql("trino", comments=False) for column in tree.find_all(exp.Column)} - set(columns))
        if unknown:
            raise MartError(f"{text!r}: no column {', '.join(unknown)}; expected some of {', '.join(columns)}")
        if aggregate != bool(tree.find(exp.AggFunc)):
            wanted = "an aggregate such as SUM(x) or COUNT(*)" if aggregate else "no aggregate"
            raise MartError(f"{text!r}: expected {wanted}")
        return tree.sql(dialect="trino", comments=False)
