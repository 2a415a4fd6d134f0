"""CAST and TRY_CAST, where both engines read and write the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from medallion_assets.engines.families.times import require_clock, to_day, zone_literal
from medallion_assets.engines.rewriting import call, cast, instant, local_time, number, text
from medallion_assets.engines.types import (
    UTC,
    describe,
    digits,
    is_timestamp,
    local_type,
    require_known,
    second_digits,
    time_zone,
    timestamp_type,
)
from medallion_assets.errors import MartError

# What Java reads: whole numbers with blanks around them, decimals without.
MACROS = r"""
CREATE MACRO cannot_cast(s, type) AS error('Cannot cast ''' || s || ''' to ' || type);
CREATE MACRO foreign_digits(s) AS regexp_matches(regexp_replace(s, '[0-9]', '', 'g'), '\p{Nd}');
CREATE MACRO calendar_time(t) AS CASE WHEN year(t) NOT BETWEEN 1 AND 9999
  THEN error('a day outside of the years 1 to 9999 as text: ' || t) ELSE t END;
CREATE MACRO whole_text(s) AS regexp_replace(regexp_extract(s,
  '^[\x00-\x20]*(\+[0-9]+|-?[0-9]+)[\x00-\x20]*$', 1), '^\+', '');
CREATE MACRO decimal_text(s) AS regexp_extract(s, '^\+?(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?)$', 1);
CREATE MACRO double_text(s) AS regexp_extract(s,
  '^[\x00-\x20]*\+?(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[\x00-\x20]*$', 1);
CREATE MACRO date_text(s) AS trim(regexp_extract(s, '^[ ]*([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})[ ]*$', 1));
CREATE MACRO time_text(s) AS regexp_extract(s,
  '^[ ]*([0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?: [0-9]{1,2}:[0-9]{1,2}(?::[0-9]{1,2}(?:\.[0-9]{1,6})?)?)?)[ ]*$', 1);
CREATE MACRO point_text(t) AS CASE WHEN starts_with(t, '.') THEN '0' || t
  WHEN starts_with(t, '-.') THEN '-0' || substring(t, 2) ELSE t END;
"""

_WHOLE = {exp.DType.INT, exp.DType.BIGINT}
_NUMBERS = {*_WHOLE, exp.DType.DECIMAL, exp.DType.DOUBLE}
_TIMES = {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ}
_VARCHAR = exp.DType.VARCHAR
_BOOLEAN = exp.DType.BOOLEAN

_ALLOWED: Final[dict[exp.DType, set[exp.DType]]] = {
    exp.DType.NULL: {_VARCHAR, _BOOLEAN, *_NUMBERS, *_TIMES},
    _VARCHAR: {_VARCHAR, _BOOLEAN, *_NUMBERS, exp.DType.DATE, exp.DType.TIMESTAMP},
    _BOOLEAN: {_VARCHAR, _BOOLEAN, *_WHOLE},
    exp.DType.INT: {_VARCHAR, *_NUMBERS},
    exp.DType.BIGINT: {_VARCHAR, *_NUMBERS},
    exp.DType.DECIMAL: {_VARCHAR, *_NUMBERS},
    exp.DType.DOUBLE: _NUMBERS,
    exp.DType.DATE: {_VARCHAR, *_TIMES},
    exp.DType.TIMESTAMP: {_VARCHAR, *_TIMES},
    exp.DType.TIMESTAMPTZ: {_VARCHAR, *_TIMES},
}
"""Source -> targets."""

_WAYS_OUT: Final = {
    (exp.DType.DOUBLE, _VARCHAR): "CAST it to a decimal first; Trino writes 3.3E-1",
    (_VARCHAR, exp.DType.TIMESTAMPTZ): "use from_iso8601_timestamp or CAST to a timestamp",
}
_ZONED_LITERAL: Final = re.compile(r".*\d ?(?P<zone>UTC|Z|[A-Za-z]+/[A-Za-z_/+-]+|[+-]\d{2}:\d{2})$")
_PLAIN_LITERAL: Final = re.compile(
    r"-?\d*\.?\d+|\d{4}-\d{2}-\d{2}"
    r"|\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?( ?(UTC|Z|[+-]\d{2}:\d{2}|[A-Za-z]+/.+))?"
)
_MAX_SECOND_DIGITS = 6

# Doubles hold 15 digits of a decimal; of more, the engines' last bits may differ.
_DOUBLE_DIGITS = 15


def _cast(node: exp.Cast) -> exp.DataType:
    source, target = require_known(node.this.type), node.to
    if node.meta.get("implicit"):
        return target
    kind = target.this
    if kind is exp.DType.DECIMAL and digits(target) is None:
        return _decimal_literal(node)
    if is_timestamp(target):
        return _to_timestamp(node, source, target)
    sized = kind is _VARCHAR and target.expressions
    way_out = _WAYS_OUT.get((source.this, kind)) or ("use substr for the first characters" if sized else "")
    if kind not in _ALLOWED.get(source.this, set()) or sized:
        raise MartError(
            f"a cast of {describe(source)} to {target.sql('trino').lower()} is not known to give the same result in "
            f"both engines{'; ' if way_out else ''}{way_out}"
        )
    if kind in {exp.DType.DATE, _VARCHAR}:
        require_clock(source)
    precision, _ = digits(source) or (0, 0)
    if kind is exp.DType.DOUBLE and source.this is exp.DType.DECIMAL and precision > _DOUBLE_DIGITS:
        raise MartError(f"a double of {describe(source)}, which has more digits than a double; stay with decimals")
    return target


def _decimal_literal(node: exp.Cast) -> exp.DataType:
    """Type DECIMAL '1.50', which has the digits that it is written with."""
    found = node.this
    if not (isinstance(found, exp.Literal) and found.is_string and re.fullmatch(r"-?\d*\.?\d+", found.name)):
        raise MartError("DECIMAL without digits; write CAST(... AS decimal(p,s))")
    whole, _, fraction = found.name.lstrip("-").partition(".")
    node.set("to", exp.DataType.build(f"decimal({max(len(whole.lstrip('0')) + len(fraction), 1)},{len(fraction)})"))
    return node.to


def _to_timestamp(node: exp.Cast, source: exp.DataType, target: exp.DataType) -> exp.DataType:
    places = int(target.expressions[0].name) if target.expressions else 3
    if places > _MAX_SECOND_DIGITS:
        raise MartError(f"{places} digits of a second; 6 is the most")
    zoned = target.this is exp.DType.TIMESTAMPTZ
    if source.this is _VARCHAR and zoned:
        found = _ZONED_LITERAL.match(node.this.name) if isinstance(node.this, exp.Literal) else None
        if found is None:
            raise MartError(f"expected a literal with a time zone; {_WAYS_OUT[(_VARCHAR, exp.DType.TIMESTAMPTZ)]}")
        zone = found["zone"]
        named = None if zone[0] in "+-" else UTC if zone == "Z" else zone_literal(exp.Literal.string(zone))
        return timestamp_type(places, named)
    if target.this not in _ALLOWED.get(source.this, set()):
        raise MartError(f"a cast of {describe(source)} to a timestamp; expected text, a date or a timestamp")
    if not zoned:
        require_clock(source)
        return local_type(places)
    return timestamp_type(places, time_zone(source) if source.this is exp.DType.TIMESTAMPTZ else UTC)


# Rewrites


def _rewrite(node: exp.Cast) -> exp.Expr | None:  # noqa: PLR0911 - one for each pair of kinds
    source, target = node.this.type, node.type
    if source is None or target is None or source.this in {exp.DType.NULL, exp.DType.UNKNOWN}:
        return None
    attempt = isinstance(node, exp.TryCast)
    value = node.this.copy()
    if node.meta.get("implicit"):
        return cast(value, target)
    if source.this is _VARCHAR:
        if isinstance(node.this, exp.Literal) and _PLAIN_LITERAL.fullmatch(node.this.name):
            return None
        return _from_text(value, target, attempt)
    if target.this is _VARCHAR:
        return _to_text(value, source)
    if target.this is exp.DType.DATE:
        return to_day(node.this)
    if is_timestamp(target):
        return _between_times(value, source, target)
    if source.this in _NUMBERS and target.this in _NUMBERS:
        return _between_numbers(value, source, target, attempt)
    return None


def _between_numbers(value: exp.Expr, source: exp.DataType, target: exp.DataType, attempt: bool) -> exp.Expr:
    """Return a cast of a number, in a CASE: DuckDB leaves out a bare one that is compared, and its null or error."""
    read = value.copy()
    if source.this is exp.DType.DOUBLE and target.this is exp.DType.DECIMAL:
        read = cast(read, exp.DataType.build("TEXT"))
    elif source.this is exp.DType.DOUBLE and target.this in _WHOLE:
        read = call("round", read)
    missing = exp.Is(this=exp.Paren(this=value), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=missing, true=exp.Null())], default=_as(read, target, attempt))


def _as(value: exp.Expr, target: exp.DataType, attempt: bool) -> exp.Expr:
    new = cast(value, target)
    return exp.TryCast(this=new.this, to=new.args["to"], safe=True) if attempt else new


def _from_text(value: exp.Expr, target: exp.DataType, attempt: bool) -> exp.Expr | None:
    """Return text cast to the target if Java reads it, else an error, or null for TRY_CAST."""
    reader = {
        exp.DType.INT: "whole_text",
        exp.DType.BIGINT: "whole_text",
        exp.DType.DECIMAL: "decimal_text",
        exp.DType.DOUBLE: "double_text",
        exp.DType.DATE: "date_text",
        exp.DType.TIMESTAMP: "time_text",
    }.get(target.this)
    if target.this is _BOOLEAN:
        return _boolean(value, attempt)
    if reader is None:
        return None
    readable = call(reader, value)
    converted = _as(readable.copy(), target, attempt)
    if target.this is exp.DType.TIMESTAMP:
        converted = _rounded(converted, target, 6)
    name = text(describe(target))
    failed = call("cannot_cast", value.copy(), name)
    otherwise: exp.Expr = (
        exp.If(this=call("foreign_digits", value.copy()), true=failed, false=exp.Null()) if attempt else failed
    )
    return exp.Case(
        ifs=[
            exp.If(this=exp.Is(this=value.copy(), expression=exp.Null()), true=exp.Null()),
            exp.If(this=exp.NEQ(this=readable, expression=text("")), true=converted),
        ],
        default=otherwise,
    )


def _boolean(value: exp.Expr, attempt: bool) -> exp.Expr:
    lowered = call("lower", value.copy())
    among = {True: ("t", "true", "1"), False: ("f", "false", "0")}
    ifs = [exp.If(this=exp.Is(this=value.copy(), expression=exp.Null()), true=exp.Null())]
    for truth, words in among.items():
        is_one = exp.In(this=lowered.copy(), expressions=[text(word) for word in words])
        ifs.append(exp.If(this=is_one, true=exp.Boolean(this=truth)))
    return exp.Case(ifs=ifs, default=exp.Null() if attempt else call("cannot_cast", value.copy(), text("boolean")))


def _to_text(value: exp.Expr, source: exp.DataType) -> exp.Expr | None:
    if source.this is exp.DType.DECIMAL:
        return call("point_text", cast(value, exp.DataType.build("TEXT")))
    if source.this is exp.DType.DATE:
        return cast(call("calendar_time", value), exp.DataType.build("TEXT"))
    if not is_timestamp(source):
        return None
    places = second_digits(source)
    clock = call("calendar_time", local_time(value, source))
    written: exp.Expr = call("strftime", clock, text("%Y-%m-%d %H:%M:%S.%f" if places else "%Y-%m-%d %H:%M:%S"))
    if 0 < places < _MAX_SECOND_DIGITS:
        written = call("left", written, number(len("2026-01-01 00:00:00.") + places))
    if source.this is exp.DType.TIMESTAMPTZ:
        written = exp.DPipe(this=written, expression=text(f" {time_zone(source)}"))
    return exp.Paren(this=written)


def _between_times(value: exp.Expr, source: exp.DataType, target: exp.DataType) -> exp.Expr:
    if target.this is exp.DType.TIMESTAMPTZ:
        converted = instant(local_time(value, source), timestamp_type(6)) if source.this is not target.this else value
    else:
        converted = local_time(value, source)
    return _rounded(converted, target, second_digits(source) if is_timestamp(source) else 0)


def _rounded(value: exp.Expr, target: exp.DataType, places: int) -> exp.Expr:
    """Return a time with `places` digits of a second rounded half up to those of the target."""
    wanted = second_digits(target)
    if wanted >= places:
        return value
    if wanted not in {0, 3}:
        raise MartError(f"a timestamp with {wanted} digits of a second; expected 0, 3 or 6")
    half, unit = (500, "milliseconds") if wanted else (500_000, "second")
    moved = exp.Add(this=value, expression=call("to_microseconds", number(half)))
    return call("date_trunc", text(unit), moved)


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {exp.Cast: _cast, exp.TryCast: _cast}
REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {exp.Cast: _rewrite, exp.TryCast: _rewrite}


def implicit_cast(value: exp.Expr, target: exp.DataType) -> exp.Expr:
    """Return the coercion that Trino makes by itself, written out."""
    new = exp.Cast(this=value.copy(), to=target.copy())
    new.meta["implicit"] = True
    return new
