"""Whether a mart's rows of one day (or key) come only from that day's rows: the condition for refreshing it alone.

A mart that sums across days (or keys), or reads a table in a way its spec does not say, would be wrong after a refresh
of only the affected ones; so its SQL is refused here, when it is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from medallion_assets.engines.names import table_name
from medallion_assets.engines.query import Query
from medallion_assets.engines.rewriting import is_over_window
from medallion_assets.engines.types import UTC, time_zone
from medallion_assets.errors import MartError

if TYPE_CHECKING:
    from medallion_assets.gold.mart_file import Partition


def require_independence(
    query: Query, partition: Partition, keys: Mapping[str, Sequence[str]], *, where: str, required: bool
) -> None:
    """Raise MartError, naming the file `where`, for all reasons why rows of a day or key may depend on others.

    `keys` are the key columns of each table the query reads; `required` says that the partitioned table has a day or
    key in every row.
    """
    if mistakes := list(_mistakes(query.typed, partition, keys, required=required)):
        whole = "(or leave out `partition`, so that the mart is always computed whole)"
        raise MartError("\n".join(f"{where}: {mistake} {whole}" for mistake in mistakes))


def _mistakes(
    tree: exp.Query, partition: Partition, keys: Mapping[str, Sequence[str]], *, required: bool
) -> Iterator[str]:
    unit = partition.unit
    if mixed := tree.find(exp.SetOperation, exp.Limit, exp.Fetch, exp.Offset):
        what = type(mixed).__name__.upper()
        yield f"{what}: which rows are left depends on those of other {unit}s; expected joins and GROUP BY"
        return
    if any(isinstance(nested.this, exp.Table) for nested in tree.find_all(exp.Subquery)):
        yield "a join in parentheses: what an outer join adds is not followed into it; expected joins after one another"
        return
    repeated = False
    for name, times in Counter(table_name(table) for table in tree.find_all(exp.Table)).items():
        if times > 1 and (name == partition.table or name not in keys):
            repeated = True
            yield f"{name} stands {times} times in FROM; expected once, so that {unit}s do not meet"
    if repeated:
        return  # which of them a column comes from, the other checks do not tell apart
    scopes = traverse_scope(tree)
    for scope in scopes:
        for window in scope.find_all(exp.Window):
            if not any(_is_value(part, scope, partition) for part in window.args.get("partition_by") or []):
                yield (f"{window.sql('trino')}: a window may look at other {unit}s; expected PARTITION BY the {unit}")
    wrong_value = list(_wrong_value(tree, scopes[-1], partition))
    yield from wrong_value
    if not wrong_value:
        yield from _wrong_nulls(tree, scopes[-1], partition, required=required)
    for scope in scopes:
        for table in scope.tables:
            name = table_name(table)
            if table.db and name != partition.table and not _is_joined(table, scope, partition, keys[name]):
                yield _join_mistake(table, partition, keys[name])


def _is_value(value: exp.Expr, scope: Scope, partition: Partition) -> bool:
    """Return whether a value is the day or key of the partitioned table's row, or the time that the day is of."""
    return next(reversed(list(_origins(value, scope, partition))))[0] == f"{partition.table}.{partition.source}"


def _wrong_nulls(tree: exp.Query, scope: Scope, partition: Partition, *, required: bool) -> Iterator[str]:
    """Yield why a row may be null where the day or key is, if that is not as good as any other value.

    A row without a day is on no day. The rows without a key are those of one more key; but an outer join adds such rows
    for what no row matches, of any key.
    """
    if partition.unit == "key" and _may_be_null(tree, scope, partition, optional=False):
        yield (
            f"{partition.column} is null in rows that an outer join adds to those of {partition.table}, and they "
            f"depend on every key; expected {partition.table} on the left of LEFT JOIN, or WHERE {partition.column} IS "
            "NOT NULL"
        )
    if partition.unit == "day" and not required and _may_be_null(tree, scope, partition, optional=True):
        yield (
            f"{partition.day_of} of {partition.table} may be null, and a row without a day is on no day; give the "
            f"column `rules: [{{required: true}}]` in its contract, or add WHERE {partition.day_of} IS NOT NULL"
        )


def _may_be_null(tree: exp.Query, scope: Scope, partition: Partition, *, optional: bool) -> bool:
    """Return whether the day or key may be null in the mart; `optional`: it may be in the partitioned table."""
    select = next(one for one in tree.selects if one.alias_or_name == partition.column)
    steps = list(_origins(select, scope, partition))
    for _, value, at in reversed(steps):
        joins = at.expression.args.get("joins") or []
        column = next(value.find_all(exp.Column), None)
        if any(join.side and (join.side != "LEFT" or join.alias_or_name == column.table) for join in joins if column):
            optional = True
        for clause in ("where", "having"):
            condition = at.expression.args.get(clause)
            if condition is not None and _excludes_null(condition.this, at, partition):
                optional = False
    return optional


def _excludes_null(condition: exp.Expr, scope: Scope, partition: Partition) -> bool:
    """Return whether a condition is never true for a row without a day or key: any comparison with null is null."""

    def is_value(value: exp.Expr) -> bool:
        return _is_value(value, scope, partition)

    match condition:
        case exp.Paren():
            excludes = _excludes_null(condition.this, scope, partition)
        case exp.And():
            excludes = any(_excludes_null(part, scope, partition) for part in condition.flatten())
        case exp.Or():
            excludes = all(_excludes_null(part, scope, partition) for part in condition.flatten())
        case exp.Not(this=exp.Is(this=value, expression=exp.Null())):
            excludes = is_value(value)
        case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            excludes = is_value(condition.left) or is_value(condition.right)
        case exp.In(this=value) | exp.Between(this=value):
            excludes = is_value(value)
        case exp.Not(this=exp.In(this=value) | exp.Between(this=value)):
            excludes = is_value(value)
        case _:
            excludes = False
    return excludes


def _wrong_value(tree: exp.Query, scope: Scope, partition: Partition) -> Iterator[str]:
    """Yield why the mart's day or key is not that of the table's row, or is not grouped by where rows are grouped."""
    select = next(one for one in tree.selects if one.alias_or_name == partition.column)
    steps = list(_origins(select, scope, partition))
    origin = steps[-1][0]
    if origin != f"{partition.table}.{partition.source}":
        expected = f"CAST({_time_of(partition)} AS DATE)" if partition.unit == "day" else partition.source
        yield f"{partition.column} is {select.unalias().sql('trino')}; expected {expected} of {partition.table}"
        return
    for _, value, at in steps:
        group = at.expression.args.get("group")
        aggregates = any(
            found.parent_select is at.expression and not is_over_window(found)
            for one in _selects(at)
            for found in one.find_all(exp.AggFunc)
        )
        if (group is not None or aggregates) and value not in (group.expressions if group is not None else ()):
            yield f"{value.sql('trino')} is the {partition.unit}; expected it in GROUP BY"


def _time_of(partition: Partition) -> str:
    zone = partition.time_zone
    return partition.source if zone == UTC else f"{partition.source} AT TIME ZONE '{zone}'"


def _join_keys(table: exp.Table, partition: Partition, key: Sequence[str]) -> set[str]:
    name = table_name(table)
    return {f"{partition.table}.{partition.joins[name]}", f"{name}.{key[0]}"}


def _is_joined(table: exp.Table, scope: Scope, partition: Partition, key: Sequence[str]) -> bool:
    """Return whether another table is joined by its key to the column the spec names, and adds no rows of its own."""
    expected = _join_keys(table, partition, key)
    join = table.parent
    condition = join.args.get("on") if isinstance(join, exp.Join) and join.side in {"", "LEFT"} else None
    if condition is not None:
        for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            if isinstance(part, exp.EQ):
                sides = [list(_origins(side, scope, partition)) for side in (part.left, part.right)]
                origins = {steps[-1][0] for steps in sides}
                if origins == expected:
                    return True
    return False


def _join_mistake(table: exp.Table, partition: Partition, key: Sequence[str]) -> str:
    return (
        f"{table_name(table)} is not joined as the spec says; expected JOIN or LEFT JOIN ON "
        f"{' = '.join(sorted(_join_keys(table, partition, key)))}; columns of a table that is two joins away come by "
        "`enrich` in the contract of the table between them"
    )


def _origins(value: exp.Expr, scope: Scope, partition: Partition) -> Iterator[tuple[str, exp.Expr, Scope]]:
    """The way of a value back to the table's column it is: (table.column or "", expression, scope) at each step.

    A day is the column's only if it is the one on the clock of the partition.
    """
    bare = value.unalias()
    column = _column_of(bare, partition)
    source = scope.sources.get(column.table) if isinstance(column, exp.Column) else None
    if isinstance(column, exp.Column) and isinstance(source, exp.Table):
        yield f"{table_name(source)}.{column.name}", bare, scope
        return
    yield "", bare, scope
    if isinstance(source, Scope) and isinstance(source.expression, exp.Unnest):
        if len(source.expression.expressions) == 1:
            yield from _origins(source.expression.expressions[0], scope, partition)
    elif isinstance(column, exp.Column) and isinstance(source, Scope):
        inner = next((one for one in _selects(source) if one.alias_or_name == column.name), None)
        if inner is not None:
            yield from _origins(inner, source, partition)


def _column_of(value: exp.Expr, partition: Partition) -> exp.Expr | None:
    """Return what a value is the time or the day of; None if it is the day on another clock. A key is itself."""
    column = value
    if partition.unit == "key":
        while isinstance(column, exp.Paren):
            column = column.this
        return column
    while isinstance(column, exp.Paren | exp.AtTimeZone | exp.Date) or (
        isinstance(column, exp.Cast) and column.to.this is exp.DType.DATE
    ):
        takes_day, inner = isinstance(column, exp.Date | exp.Cast), column.this
        instant = inner.type is not None and inner.type.this is exp.DType.TIMESTAMPTZ
        if takes_day and instant and time_zone(inner.type) != partition.time_zone:
            return None
        column = inner
    return column


def _selects(scope: Scope) -> list[exp.Expr]:
    return scope.expression.selects if isinstance(scope.expression, exp.Query) else []
