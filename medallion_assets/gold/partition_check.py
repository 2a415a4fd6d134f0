"""Whether a mart's rows of one day come only from that day's rows: the condition for refreshing single days.

A mart that sums across days, or reads a table in a way its spec does not say, would be wrong after a refresh of only
the touched days; so its SQL is refused here, when it is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from medallion_assets.engines.query import Query
from medallion_assets.errors import MartError

if TYPE_CHECKING:
    from medallion_assets.gold.mart_file import Partition


def require_day_independence(
    query: Query, partition: Partition, keys: Mapping[str, Sequence[str]], *, where: str
) -> None:
    """Raise MartError, naming the file `where`, if a day's rows may depend on more than the spec says.

    `keys` are the key columns of each table the query reads.
    """
    try:
        _check(query.typed, partition, keys)
    except MartError as mistake:
        raise MartError(
            f"{where}: {mistake} (or leave out `partition`, so that the mart is always computed whole)"
        ) from mistake


def _check(tree: exp.Query, partition: Partition, keys: Mapping[str, Sequence[str]]) -> None:
    if window := tree.find(exp.Window):
        raise MartError(f"{window.sql('trino')}: a window may look at other days; expected GROUP BY")
    for name, times in Counter(table.name for table in tree.find_all(exp.Table)).items():
        if times > 1 and (name == partition.table or name not in keys):
            raise MartError(f"{name} stands {times} times in FROM; expected once, so that days do not meet")
    scopes = traverse_scope(tree)
    _check_day(tree, scopes[-1], partition)
    for scope in scopes:
        for table in scope.tables:
            if table.db and table.name != partition.table:
                _check_join(table, scope, partition, keys[table.name])


def _check_day(tree: exp.Query, scope: Scope, partition: Partition) -> None:
    """The mart's day is the day of the table's row, and is grouped by wherever rows are grouped."""
    select = next(one for one in tree.selects if one.alias_or_name == partition.column)
    steps = list(_origins(select, scope))
    origin = steps[-1][0]
    if origin != f"{partition.table}.{partition.day_of}":
        raise MartError(
            f"{partition.column} is {select.unalias().sql('trino')}; expected CAST({partition.day_of} AS DATE) of "
            f"{partition.table}"
        )
    for _, value, at in steps:
        group = at.expression.args.get("group")
        aggregates = any(
            found.parent_select is at.expression for one in _selects(at) for found in one.find_all(exp.AggFunc)
        )
        if (group is not None or aggregates) and value not in (group.expressions if group is not None else ()):
            raise MartError(f"{value.sql('trino')} is the day; expected it in GROUP BY")


def _check_join(table: exp.Table, scope: Scope, partition: Partition, key: Sequence[str]) -> None:
    """Another table is joined by its key to the column the spec names, and adds no rows of its own."""
    expected = {f"{partition.table}.{partition.joins[table.name]}", f"{table.name}.{key[0]}"}
    join = table.parent
    condition = join.args.get("on") if isinstance(join, exp.Join) and join.side in {"", "LEFT"} else None
    if condition is not None:
        for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            if isinstance(part, exp.EQ):
                origins = {next(reversed(list(_origins(side, scope))))[0] for side in (part.left, part.right)}
                if origins == expected:
                    return
    raise MartError(
        f"{table.name} is not joined as the spec says; expected JOIN or LEFT JOIN ON {' = '.join(sorted(expected))}"
    )


def _origins(value: exp.Expr, scope: Scope) -> Iterator[tuple[str, exp.Expr, Scope]]:
    """The way of a value back to the table's column it is: (table.column or "", expression, scope) at each step."""
    bare = value.unalias()
    column = bare
    while isinstance(column, exp.Paren | exp.Date) or (
        isinstance(column, exp.Cast) and column.to.this is exp.DType.DATE
    ):
        column = column.this
    source = scope.sources.get(column.table) if isinstance(column, exp.Column) else None
    if isinstance(source, exp.Table):
        yield f"{source.name}.{column.name}", bare, scope
        return
    yield "", bare, scope
    if isinstance(source, Scope) and isinstance(source.expression, exp.Unnest):
        if len(source.expression.expressions) == 1:
            yield from _origins(source.expression.expressions[0], scope)
    elif isinstance(source, Scope):
        inner = next((one for one in _selects(source) if one.alias_or_name == column.name), None)
        if inner is not None:
            yield from _origins(inner, source)


def _selects(scope: Scope) -> list[exp.Expr]:
    return scope.expression.selects if isinstance(scope.expression, exp.Query) else []
