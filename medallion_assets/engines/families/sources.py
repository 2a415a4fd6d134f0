"""What stands in FROM besides tables, and the columns of UNION: UNNEST, VALUES, set operations.

Trino coerces the branches of a UNION and the rows of VALUES to common types; here these coercions are written out, so
that every branch has its types. UNNEST becomes a lateral SELECT, because DuckDB's makes one column of a row or a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlglot import exp

from medallion_assets.engines.families.casts import implicit_cast
from medallion_assets.engines.rewriting import call, text
from medallion_assets.engines.types import (
    UnknownType,
    common_type,
    describe,
    element_type,
    require_known,
    row_fields,
)
from medallion_assets.errors import MartError

_SETS = (exp.Union, exp.Except, exp.Intersect)


def _unnested(node: exp.Unnest) -> exp.DataType:
    """Type UNNEST as a row of its columns, which sqlglot then resolves."""
    kinds = [kind for part in node.expressions for kind in _column_types(part)]
    names = node.alias_column_names
    if len(names) != len(kinds):
        raise MartError(f"UNNEST gives {len(kinds)} columns; write AS t (column, ...) with {len(kinds)} names")
    if node.args.get("offset") and any(_is_map(part) for part in node.expressions):
        raise MartError("a map has no order, so WITH ORDINALITY of it is not the same in both engines")
    fields = [
        exp.ColumnDef(this=exp.to_identifier(name), kind=kind.copy()) for name, kind in zip(names, kinds, strict=True)
    ]
    return exp.DataType(this=exp.DType.STRUCT, expressions=fields, nested=True)


def _is_map(part: exp.Expr) -> bool:
    return part.type is not None and part.type.this is exp.DType.MAP


def _column_types(part: exp.Expr) -> list[exp.DataType]:
    type_ = require_known(part.type)
    if type_.this is exp.DType.MAP:
        key, value = type_.expressions
        return [key, value]
    if type_.this is not exp.DType.ARRAY:
        raise MartError(f"UNNEST of {describe(type_)}; expected a list or a map")
    element = element_type(type_)
    return list(row_fields(element).values()) or [element]


def _rewrite_unnest(node: exp.Unnest) -> exp.Expr | None:
    """Rewrite UNNEST(list, map, ...) to (SELECT unnest(list), unnest(map_keys(map)), ...)."""
    if any(part.type is None or part.type.this not in {exp.DType.ARRAY, exp.DType.MAP} for part in node.expressions):
        return None
    columns: list[exp.Expr] = []
    sizes = []
    for part in node.expressions:
        fields = row_fields(element_type(part.type)) if part.type.this is exp.DType.ARRAY else {}
        if _is_map(part):
            columns += [call("unnest", call(name, part.copy())) for name in ("map_keys", "map_values")]
        elif fields:
            columns += [call("struct_extract", call("unnest", part.copy()), text(name)) for name in fields]
        else:
            columns.append(call("unnest", part.copy()))
        sizes.append(call("coalesce", call("len", part.copy()), exp.Literal.number(0)))
    alias = node.args.get("alias")
    names = [name.copy() for name in alias.columns] if alias is not None else []
    if offset := node.args.get("offset"):
        numbers = call(
            "range", exp.Literal.number(1), exp.Add(this=call("greatest", *sizes), expression=exp.Literal.number(1))
        )
        columns.append(call("unnest", numbers))
        names.append(offset.copy())
    table = exp.TableAlias(this=alias.this.copy(), columns=names) if alias is not None else None
    select = exp.Select(expressions=columns)
    if isinstance(node.parent, exp.Join):
        return exp.Lateral(this=exp.Subquery(this=select), alias=table)
    return exp.Subquery(this=select, alias=table)


def coerce_branches(tree: exp.Query, *, strict: bool) -> bool:
    """Write out the coercions of set operations and VALUES in a typed tree; return whether there were any.

    Raises MartError for columns without a common type, if it is `strict`.
    """
    try:
        return _coerce_branches(tree)
    except MartError:
        if strict:
            raise
        return False


def _coerce_branches(tree: exp.Query) -> bool:
    changed = False
    for operation in reversed(list(tree.find_all(*_SETS))):
        changed |= _coerce_columns(list(_branches(operation)))
    for values in tree.find_all(exp.Values):
        changed |= _coerce_rows(values)
    return changed


def _branches(query: exp.Expr) -> Iterator[exp.Select]:
    inner = query.unnest() if isinstance(query, exp.Subquery) else query
    if isinstance(inner, _SETS):
        yield from _branches(inner.this)
        yield from _branches(inner.expression)
    elif isinstance(inner, exp.Select):
        yield inner
    else:
        raise MartError(f"{inner.sql('trino')}: expected SELECTs in a set operation")


def _coerce_columns(branches: list[exp.Select]) -> bool:
    widths = {len(branch.selects) for branch in branches}
    if len(widths) > 1:
        raise MartError(f"the SELECTs of a set operation have {' and '.join(map(str, sorted(widths)))} columns")
    changed = False
    for column in zip(*(branch.selects for branch in branches), strict=True):
        type_ = _common(column)
        for one in column:
            changed |= type_ is not None and _coerce(one.unalias(), type_)
    return changed


def _coerce_rows(values: exp.Values) -> bool:
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
    if len({len(row) for row in rows}) > 1:
        raise MartError(f"{values.sql('trino')}: expected as many values in every row")
    changed = False
    for column in zip(*rows, strict=True):
        type_ = _common(column)
        for one in column:
            changed |= type_ is not None and _coerce(one, type_)
    return changed


def _common(column: tuple[exp.Expr, ...]) -> exp.DataType | None:
    """Return the common type of a column; None if a part is refused already."""
    try:
        return common_type(one.type for one in column)
    except UnknownType:
        return None
    except MartError as mistake:
        raise MartError(f"{', '.join(one.sql('trino') for one in column)}: {mistake}") from mistake


def _coerce(value: exp.Expr, type_: exp.DataType) -> bool:
    if value.type == type_:
        return False
    value.replace(implicit_cast(value, type_))
    return True


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {exp.Unnest: _unnested}
REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {exp.Unnest: _rewrite_unnest}
