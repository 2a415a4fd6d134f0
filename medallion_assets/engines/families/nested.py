"""Lists, maps and rows: access to their parts. DuckDB gives null where Trino's subscript is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.rewriting import call, cast, coerce, number
from medallion_assets.engines.types import (
    common_type,
    compared_type,
    describe,
    element_type,
    is_integer,
    list_type,
    of_kind,
    require_known,
)
from medallion_assets.errors import MartError

MACROS = """
CREATE MACRO list_item(l, n) AS CASE WHEN n < 1 OR n > len(l) THEN error('Array subscript ' || n || ' out of bounds')
  ELSE l[n] END;
CREATE MACRO list_item_or_null(l, n) AS CASE WHEN n = 0 THEN error('SQL array indices start at 1') ELSE l[n] END;
CREATE MACRO map_item(m, k) AS CASE WHEN m IS NULL OR k IS NULL THEN NULL
  WHEN NOT map_contains(m, k) THEN error('Key not present in map: ' || k) ELSE m[k] END;
CREATE MACRO list_holds(l, x) AS CASE WHEN l IS NULL OR x IS NULL THEN NULL WHEN list_contains(l, x) THEN TRUE
  WHEN list_count(l) < len(l) THEN NULL ELSE FALSE END;
"""


def _item(node: exp.Bracket) -> exp.DataType:
    type_ = require_known(node.this.type)
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise MartError("expected one subscript")
    if type_.this is exp.DType.MAP:
        compared_type((type_.expressions[0], node.expressions[0].type))
    elif type_.this is exp.DType.ARRAY:
        index, _ = _index(node)
        if not is_integer(require_known(index.type)):
            raise MartError(f"the subscript is {describe(index.type)}; expected a whole number")
    return element_type(type_)


def _index(node: exp.Bracket) -> tuple[exp.Expr, int]:
    """Return (subscript of a list, what to add to it): sqlglot counts a literal from 0, but not a column."""
    (index,) = node.expressions
    if node.args.get("safe"):
        return index, 0
    literal = index.this if isinstance(index, exp.Neg) else index
    if isinstance(literal, exp.Literal):
        return index, 1
    if isinstance(index, exp.Column):
        return index, 0
    raise MartError("expected a number or a column as the subscript; for others: element_at(list, expression)")


def _holds(node: exp.ArrayContains) -> exp.DataType:
    type_ = require_known(node.this.type)
    if type_.this is not exp.DType.ARRAY:
        raise MartError(f"{node.this.sql('trino')} is {describe(type_)}; expected a list")
    compared = compared_type((element_type(type_), node.expression.type))
    if compared.this in {exp.DType.ARRAY, exp.DType.MAP, exp.DType.STRUCT}:
        raise MartError(f"a comparison of {describe(compared)} as a whole; UNNEST the list and compare its parts")
    return of_kind(exp.DType.BOOLEAN)


def _size(node: exp.ArraySize) -> exp.DataType:
    type_ = require_known(node.this.type)
    if type_.this not in {exp.DType.ARRAY, exp.DType.MAP}:
        raise MartError(f"{node.this.sql('trino')} is {describe(type_)}; expected a list or a map")
    return of_kind(exp.DType.BIGINT)


def _list(node: exp.Array) -> exp.DataType:
    if not node.expressions:
        raise MartError("an empty list has no type; CAST is none in both engines")
    return list_type(common_type(part.type for part in node.expressions))


def _rewrite_item(node: exp.Bracket) -> exp.Expr | None:
    type_ = node.this.type
    if type_ is None or type_.this not in {exp.DType.ARRAY, exp.DType.MAP}:
        return None
    safe = node.args.get("safe")
    if type_.this is exp.DType.MAP:
        key = coerce(node.expressions[0], type_.expressions[0])
        if not safe:
            return call("map_item", node.this.copy(), key)
        return call("map_extract_value", node.this.copy(), key)
    index, offset = _index(node)
    shifted = index.copy() if not offset else exp.Add(this=exp.Paren(this=index.copy()), expression=number(offset))
    return call("list_item_or_null" if safe else "list_item", node.this.copy(), shifted)


def _rewrite_holds(node: exp.ArrayContains) -> exp.Expr | None:
    if node.this.type is None:
        return None
    element = common_type((element_type(node.this.type), node.expression.type))
    return call("list_holds", coerce(node.this, list_type(element)), coerce(node.expression, element))


def _rewrite_size(node: exp.ArraySize) -> exp.Expr:
    is_map = node.this.type is not None and node.this.type.this is exp.DType.MAP
    size = call("cardinality" if is_map else "len", node.this.copy())
    return cast(size, of_kind(exp.DType.BIGINT))


def _rewrite_list(node: exp.Array) -> exp.Expr | None:
    if node.type is None or node.type.this is not exp.DType.ARRAY:
        return None
    element = element_type(node.type)
    return exp.Array(expressions=[coerce(part, element) for part in node.expressions])


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Bracket: _item,
    exp.ArrayContains: _holds,
    exp.ArraySize: _size,
    exp.Array: _list,
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Bracket: _rewrite_item,
    exp.ArrayContains: _rewrite_holds,
    exp.ArraySize: _rewrite_size,
    exp.Array: _rewrite_list,
}
