"""Text: cutting, joining, padding and searching it. Positions count characters (code points), from 1.

DuckDB takes a start of 0 as 1, gives '' for a part that does not exist, trims blanks only, and has a capital ß. Of all
characters up to Unicode 15 nothing else differs in lower and upper (asked for each).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from medallion_assets.engines.rewriting import call, text
from medallion_assets.engines.types import describe, element_type, is_integer, of_kind, require_known
from medallion_assets.errors import MartError

_BLANKS: Final = (
    "".join(map(chr, (*range(0x09, 0x0E), *range(0x1C, 0x21), 0x1680, *range(0x2000, 0x2007), *range(0x2008, 0x200B))))
    + "\u2028\u2029\u205f\u3000"
)
"""What Trino's trim removes: Java's white space, which has no non-breaking spaces in it."""

MACROS = """
CREATE MACRO cut_text(s, start, n) AS CASE WHEN s IS NULL OR start IS NULL OR n IS NULL THEN NULL
  WHEN start = 0 OR abs(CAST(start AS BIGINT)) > length(s) OR n <= 0 THEN ''
  WHEN start < 0 AND length(s) + CAST(start AS BIGINT) + n > 2147483647 THEN error('integer overflow')
  ELSE substring(s, CASE WHEN start < 0 THEN length(s) + start + 1 ELSE start END, least(n, length(s))) END;
CREATE MACRO upper_text(s) AS CASE WHEN contains(s, 'ß')
  THEN array_to_string(list_transform(string_split(s, 'ß'), lambda part: upper(part)), 'ß') ELSE upper(s) END;
CREATE MACRO joined_list(l, separator) AS CASE WHEN l IS NULL OR separator IS NULL THEN NULL
  ELSE coalesce(array_to_string(l, separator), '') END;
CREATE MACRO text_part(s, delimiter, n) AS CASE WHEN s IS NULL THEN NULL
  WHEN n < 1 THEN error('Index must be greater than zero') ELSE string_split(s, delimiter)[n] END;
CREATE MACRO reverse_text(s) AS array_to_string(list_reverse(list_transform(range(1, length(s) + 1),
  lambda i: substring(s, i, 1))), '');
"""


def text_of(kind: exp.DType) -> Callable[[Any], exp.DataType]:
    """Return the rule of a function that takes texts and gives `kind`."""

    def of(node: exp.Expr) -> exp.DataType:
        for part in node.iter_expressions():
            require_text(part)
        return of_kind(kind)

    return of


def require_text(part: exp.Expr) -> None:
    """Raise MartError unless the expression is text."""
    if require_known(part.type).this is not exp.DType.VARCHAR:
        raise MartError(f"{part.sql('trino')} is {describe(part.type)}; expected text")


def require_whole(part: exp.Expr) -> None:
    """Raise MartError unless the expression is a whole number."""
    if not is_integer(require_known(part.type)):
        raise MartError(f"{part.sql('trino')} is {describe(part.type)}; expected a whole number")


def _filled_literal(part: exp.Expr | None, what: str) -> str:
    """Return the text of a literal that is not empty: of an empty one the engines make different things."""
    if not (isinstance(part, exp.Literal) and part.is_string and part.name):
        raise MartError(f"expected a literal that is not empty as {what}")
    return part.name


def _substring(node: exp.Substring) -> exp.DataType:
    require_text(node.this)
    for part in (node.args.get("start"), node.args.get("length")):
        if part is not None:
            require_whole(part)
    return of_kind(exp.DType.VARCHAR)


def _split_part(node: exp.SplitPart) -> exp.DataType:
    require_text(node.this)
    _filled_literal(node.args.get("delimiter"), "the delimiter")
    require_whole(node.args["part_index"])
    return of_kind(exp.DType.VARCHAR)


def _replace(node: exp.Replace) -> exp.DataType:
    require_text(node.this)
    _filled_literal(node.expression, "what is replaced")
    require_text(node.args["replacement"])
    return of_kind(exp.DType.VARCHAR)


def _trim(node: exp.Trim) -> exp.DataType:
    require_text(node.this)
    if node.expression is not None:
        _filled_literal(node.expression, "the characters")
    return of_kind(exp.DType.VARCHAR)


def _pad(node: exp.Pad) -> exp.DataType:
    require_text(node.this)
    size = node.expression
    if not (isinstance(size, exp.Literal) and size.is_int):
        raise MartError("expected a number as the size, not an expression")
    _filled_literal(node.args.get("fill_pattern"), "the padding")
    return of_kind(exp.DType.VARCHAR)


def _position(node: exp.StrPosition) -> exp.DataType:
    require_text(node.this)
    require_text(node.args["substr"])
    if node.args.get("position") is not None or node.args.get("occurrence") is not None:
        raise MartError("expected strpos(text, searched): the others are not the same in both engines")
    return of_kind(exp.DType.BIGINT)


def _array_join(node: exp.ArrayToString) -> exp.DataType:
    if element_type(require_known(node.this.type)).this is not exp.DType.VARCHAR:
        raise MartError("expected a list of text; CAST its elements")
    if node.args.get("null") is not None:
        raise MartError("expected array_join(list, separator), which leaves out nulls")
    require_text(node.expression)
    return of_kind(exp.DType.VARCHAR)


def _bytes(kind: exp.DType, expected: exp.DType) -> Callable[[Any], exp.DataType]:
    def of(node: exp.Expr) -> exp.DataType:
        if require_known(node.this.type).this is not expected:
            raise MartError(
                f"{node.this.sql('trino')} is {describe(node.this.type)}; expected {expected.value.lower()}"
            )
        return of_kind(kind)

    return of


def _rewrite_substring(node: exp.Substring) -> exp.Expr:
    length = node.args.get("length")
    size = length.copy() if length is not None else call("length", node.this.copy())
    return call("cut_text", node.this.copy(), node.args["start"].copy(), size)


def _rewrite_trim(node: exp.Trim) -> exp.Expr:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim")
    return call(name, node.this.copy(), text(node.expression.name if node.expression is not None else _BLANKS))


def _rewrite_concat(node: exp.Concat) -> exp.Expr:
    first, *others = (part.copy() for part in node.expressions)
    for other in others:
        first = exp.DPipe(this=first, expression=other)
    return exp.Paren(this=first)


def _rewrite_pad(node: exp.Pad) -> exp.Expr:
    name = "lpad" if node.args.get("is_left") else "rpad"
    return call(name, node.this.copy(), node.expression.copy(), node.args["fill_pattern"].copy())


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Lower: text_of(exp.DType.VARCHAR),
    exp.Upper: text_of(exp.DType.VARCHAR),
    exp.Length: text_of(exp.DType.BIGINT),
    exp.Reverse: text_of(exp.DType.VARCHAR),
    exp.DPipe: text_of(exp.DType.VARCHAR),
    exp.Concat: text_of(exp.DType.VARCHAR),
    exp.ConcatWs: text_of(exp.DType.VARCHAR),
    exp.StartsWith: text_of(exp.DType.BOOLEAN),
    exp.Substring: _substring,
    exp.SplitPart: _split_part,
    exp.Replace: _replace,
    exp.Trim: _trim,
    exp.Pad: _pad,
    exp.StrPosition: _position,
    exp.ArrayToString: _array_join,
    exp.Encode: _bytes(exp.DType.VARBINARY, exp.DType.VARCHAR),
    exp.MD5Digest: _bytes(exp.DType.VARBINARY, exp.DType.VARBINARY),
    exp.SHA2Digest: _bytes(exp.DType.VARBINARY, exp.DType.VARBINARY),
    exp.Hex: _bytes(exp.DType.VARCHAR, exp.DType.VARBINARY),
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Upper: lambda node: call("upper_text", node.this.copy()),
    exp.Reverse: lambda node: call("reverse_text", node.this.copy()),
    exp.Concat: _rewrite_concat,
    exp.ConcatWs: lambda node: call("concat_ws", *(part.copy() for part in node.expressions)),
    exp.StartsWith: lambda node: call("starts_with", node.this.copy(), node.expression.copy()),
    exp.Substring: _rewrite_substring,
    exp.SplitPart: lambda node: call(
        "text_part", node.this.copy(), node.args["delimiter"].copy(), node.args["part_index"].copy()
    ),
    exp.Replace: lambda node: call(
        "replace", node.this.copy(), node.expression.copy(), node.args["replacement"].copy()
    ),
    exp.Trim: _rewrite_trim,
    exp.Pad: _rewrite_pad,
    exp.StrPosition: lambda node: call("strpos", node.this.copy(), node.args["substr"].copy()),
    exp.ArrayToString: lambda node: call("joined_list", node.this.copy(), node.expression.copy()),
    exp.Encode: lambda node: call("encode", node.this.copy()),
    exp.MD5Digest: lambda node: call("unhex", call("md5", node.this.copy())),
    exp.SHA2Digest: lambda node: call("unhex", call("sha256", node.this.copy())),
    exp.Hex: lambda node: call("hex", node.this.copy()),
}
