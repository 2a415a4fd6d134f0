"""Whether the rows' order can change a result: LIMIT, windows and ordered aggregates need a total order.

An order is total if it holds a key of the rows that it orders: the key of a table as the contracts declare it, what
GROUP BY groups by, all columns of a DISTINCT. Rows that are equal in all of an order's terms come in any order, in each
engine another. Belongs here: the keys of rows, and the check. Does not belong here: types (families).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from medallion_assets.engines.names import table_name
from medallion_assets.engines.rewriting import is_over_window

Keys = Mapping[str, Sequence[str]]
"""Table, by its name (names) -> the columns of its key."""

_Key = frozenset[str]
_MAX_KEYS: Final = 8
_SETS = (exp.Union, exp.Except, exp.Intersect)
_BY_PEERS = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)
_BY_FRAME = (exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.LogicalAnd, exp.LogicalOr)
_AGGREGATES = (*_BY_FRAME, exp.ArrayAgg, exp.ArgMax, exp.ArgMin, exp.GroupConcat)


def untotal_orders(tree: exp.Query, keys: Keys) -> list[str]:
    """Return a sentence for each expression of a typed query whose result depends on an order that is not total."""
    return [mistake for scope in traverse_scope(tree) for mistake in _check(scope, keys)]


def _check(scope: Scope, keys: Keys) -> Iterator[str]:
    query = scope.expression
    if isinstance(query, exp.Select):
        rows, groups = _source_keys(scope, keys), _groups(query)
        numbered = _grouped_keys(query, rows)
        for node in _own(query):
            if isinstance(node, exp.Window):
                if not _total(node, _window_terms(node), numbered):
                    yield _sentence(node, "its order", numbered, _window_terms(node))
            elif isinstance(node, exp.ArgMax | exp.ArgMin):
                by = _parts(node.expression)
                if not (_sql(node.this) in by or _holds(by | groups, rows)):
                    yield _sentence(node, "what it compares", rows, by | groups, fix="compare ROW(<value>, {})")
            elif isinstance(node, exp.ArrayAgg | exp.GroupConcat) and isinstance(node.this, exp.Order):
                value = node.this.this
                terms = {_sql(term.this) for term in node.this.expressions}
                inner = value.expressions[0] if isinstance(value, exp.Distinct) else value
                if not (_sql(inner) in terms or _holds(terms | groups, rows)):
                    yield _sentence(node, "its ORDER BY", rows, terms | groups)
        yield from _check_limit(query, numbered, query.selects)
    elif isinstance(query, _SETS):
        yield from _check_limit(query, _set_keys(query), query.selects)


def _check_limit(query: exp.Query, rows: list[_Key], selects: list[exp.Expr]) -> Iterator[str]:
    if not (query.args.get("limit") or query.args.get("offset")):
        return
    order = query.args.get("order")
    terms = _order_terms(order, selects, by_name=isinstance(query, _SETS)) if order is not None else set()
    if isinstance(query, exp.Select) and query.args.get("distinct"):
        rows = [frozenset(_sql(select.unalias()) for select in selects)]
    if not _holds(terms, rows):
        what = "LIMIT" if query.args.get("limit") else "OFFSET"
        yield _sentence(query.args.get("limit") or query.args["offset"], "ORDER BY", rows, terms, what=what)


def _sentence(
    node: exp.Expr, order: str, rows: list[_Key], terms: set[str], *, what: str = "", fix: str = "add {} to ORDER BY"
) -> str:
    missing = min((sorted(key - terms) for key in rows), key=len, default=None)
    way_out = (
        fix.format(", ".join(missing))
        if missing
        else "the rows have no key that is known; GROUP BY one, or number them"
    )
    return (
        f"{what or node.sql('trino').strip()}: {order} is not total, so the engines may take different rows; {way_out}"
    )


def _own(select: exp.Select) -> Iterator[exp.Expr]:
    """Return the nodes of a SELECT without those of its subqueries."""
    for node in select.walk(prune=lambda one: one is not select and isinstance(one, exp.Query)):
        if node is not select and not isinstance(node, exp.Query):
            yield node


def _sql(node: exp.Expr) -> str:
    return node.unnest().sql("trino") if isinstance(node, exp.Paren) else node.sql("trino")


def _parts(node: exp.Expr) -> set[str]:
    """Return the values that an ordering compares: those of a ROW one by one."""
    return {_sql(part) for part in (node.expressions if isinstance(node, exp.Struct) else [node])}


def _holds(terms: Iterable[str], rows: list[_Key]) -> bool:
    given = set(terms)
    return any(key <= given for key in rows)


def _window_terms(window: exp.Window) -> set[str]:
    terms = {_sql(part) for part in window.args.get("partition_by") or []}
    order = window.args.get("order")
    return terms | ({_sql(term.this) for term in order.expressions} if order is not None else set())


def _total(window: exp.Window, terms: set[str], rows: list[_Key]) -> bool:
    """Return whether the result of a window function does not depend on the order of peers."""
    function = window.this
    while isinstance(function, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        function = function.this
    if isinstance(function, _BY_PEERS):
        return True
    if isinstance(function, _BY_FRAME):
        spec = window.args.get("spec")
        if spec is None or str(spec.args.get("kind")).upper() != "ROWS":
            return True
        if all(str(spec.args.get(side)).upper() == "UNBOUNDED" for side in ("start", "end")):
            return True
    return _holds(terms, rows)


def _order_terms(order: exp.Order, selects: list[exp.Expr], *, by_name: bool) -> set[str]:
    """Return what ORDER BY orders by; a number or the name of an output column stands for its expression."""
    named = {select.alias_or_name: select for select in selects}
    terms = set()
    for ordered in order.expressions:
        term = ordered.this
        if isinstance(term, exp.Literal) and term.is_int and 0 < int(term.name) <= len(selects):
            found: exp.Expr | None = selects[int(term.name) - 1]
        else:
            found = named.get(term.name) if isinstance(term, exp.Column) and not term.table else None
        if found is None:
            terms.add(_sql(term))
        else:
            terms.add(found.alias_or_name if by_name else _sql(found.unalias()))
    return terms


def _groups(select: exp.Select) -> set[str]:
    group = select.args.get("group")
    return {_sql(_resolved(part, select)) for part in group.expressions} if group is not None else set()


def _resolved(part: exp.Expr, select: exp.Select) -> exp.Expr:
    if isinstance(part, exp.Literal) and part.is_int and 0 < int(part.name) <= len(select.selects):
        return select.selects[int(part.name) - 1].unalias()
    return part


def _grouped_keys(select: exp.Select, rows: list[_Key]) -> list[_Key]:
    """Return the keys of the rows after GROUP BY."""
    group = select.args.get("group")
    if group is not None:
        several = any(isinstance(part, exp.Rollup | exp.Cube | exp.GroupingSets) for part in group.expressions)
        return [] if several else [frozenset(_groups(select))]
    aggregates = any(
        node.parent_select is select and not is_over_window(node)
        for one in select.selects
        for node in one.find_all(*_AGGREGATES)
    )
    return [frozenset()] if aggregates else rows


def _source_keys(scope: Scope, keys: Keys) -> list[_Key]:
    """Return the keys of the rows that FROM and JOIN give."""
    select = scope.expression
    first = select.args.get("from_")
    if first is None:
        return [frozenset()]
    found = _keys_of(first.this.alias_or_name, scope, keys)
    for join in select.args.get("joins") or []:
        name = join.this.alias_or_name
        others = _keys_of(name, scope, keys)
        if not _adds_no_rows(join, name, others):
            found = [one | other for one in found for other in others][:_MAX_KEYS]
    return found


def _adds_no_rows(join: exp.Join, name: str, keys: list[_Key]) -> bool:
    """Return whether every row finds at most one of the joined rows, because the whole key of these is compared."""
    condition = join.args.get("on")
    if condition is None or join.side not in {"", "LEFT"}:
        return False
    compared = set()
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        if isinstance(part, exp.EQ):
            for side, other in ((part.left, part.right), (part.right, part.left)):
                if isinstance(side, exp.Column) and name not in {one.table for one in other.find_all(exp.Column)}:
                    compared.add(_sql(side))
    return _holds(compared, keys)


def _keys_of(name: str, scope: Scope, keys: Keys) -> list[_Key]:
    source = scope.sources.get(name)
    if isinstance(source, exp.Table):
        columns = keys.get(table_name(source))
        return [frozenset(_column(name, column) for column in columns)] if columns else []
    if not isinstance(source, Scope):
        return []
    inner = source.expression
    if isinstance(inner, exp.Unnest):
        return [frozenset({_column(name, one)}) for one in _unnest_keys(inner)]
    return [frozenset(_column(name, one) for one in key) for key in _output_keys(source, keys)]


def _unnest_keys(unnest: exp.Unnest) -> list[str]:
    """Return the columns of UNNEST that are unique: the ordinality, the keys of a map, the days of a calendar."""
    found = []
    if isinstance(offset := unnest.args.get("offset"), exp.Identifier):
        found.append(offset.name)
    names = unnest.alias_column_names
    if len(unnest.expressions) == 1 and names:
        (part,) = unnest.expressions
        if isinstance(part, exp.GenerateSeries) or (part.type is not None and part.type.this is exp.DType.MAP):
            found.append(names[0])
    return found


def _output_keys(scope: Scope, keys: Keys) -> list[_Key]:
    """Return the keys of a query's result, as names of its columns."""
    query = scope.expression
    if isinstance(query, _SETS):
        return _set_keys(query)
    if not isinstance(query, exp.Select):
        return []
    if query.args.get("distinct"):
        return [frozenset(select.alias_or_name for select in query.selects)]
    names = {_sql(select.unalias()): select.alias_or_name for select in query.selects}
    rows = _grouped_keys(query, _source_keys(scope, keys))
    for select in query.selects:
        value = select.unalias()
        if isinstance(value, exp.Window) and isinstance(value.this, exp.RowNumber):
            rows = [*rows, frozenset({_sql(value), *(_sql(part) for part in value.args.get("partition_by") or [])})]
    return [frozenset(names[part] for part in key) for key in rows if key <= names.keys()]


def _set_keys(query: exp.Query) -> list[_Key]:
    if isinstance(query, exp.SetOperation) and query.args.get("distinct"):
        return [frozenset(select.alias_or_name for select in query.selects)]
    return []


def _column(table: str, name: str) -> str:
    return exp.column(name, table=table, quoted=True).sql("trino")
