"""Dates and timestamps: parts, truncation, arithmetic, formats, time zones.

A timestamp with time zone is an instant; its day and hour are what the clock of its zone shows, and the zone is part of
its type (types). In DuckDB it is the instant alone, and the clock is asked for where the zone matters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import available_timezones

from sqlglot import exp

from medallion_assets.engines.families.numbers import plus
from medallion_assets.engines.families.text import require_text, require_whole
from medallion_assets.engines.rewriting import call, cast, coerce, local_time, number, text
from medallion_assets.engines.types import (
    LAKE_DIGITS,
    MILLISECOND_DIGITS,
    UTC,
    compared_type,
    describe,
    is_integer,
    is_timestamp,
    local_type,
    of_kind,
    require_known,
    second_digits,
    time_zone,
    timestamp_type,
)
from medallion_assets.errors import MartError

MACROS = r"""
CREATE MACRO instant_near(l, zone, near) AS
  CASE WHEN timezone(zone, timezone('UTC', l - (timezone(zone, near) - timezone('UTC', near)))) = l
  THEN timezone('UTC', l - (timezone(zone, near) - timezone('UTC', near))) ELSE timezone(zone, l) END;
CREATE MACRO seconds_to_instant(n) AS CASE WHEN n NOT BETWEEN -2251799813685 AND 2251799813685
  THEN error('Millis overflow: ' || n)
  ELSE make_timestamptz(CAST(n AS BIGINT) * 1000000) END;
CREATE MACRO part_of_second(t) AS (epoch_us(t) % 1000 + 1000) % 1000;
CREATE MACRO instant_to_seconds(t) AS CAST((epoch_us(t) - part_of_second(t)) // 1000 AS DOUBLE) / CAST(1000 AS DOUBLE)
  + CAST(part_of_second(t) * 1000000 AS DOUBLE) / CAST(1000000000000 AS DOUBLE);
CREATE MACRO iso_parts(s) AS regexp_extract(s,
  '^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,3})\d{0,6})?)?)?(Z|z|[+-]\d{2}:?\d{2})?)?$',
  ['d', 'h', 'm', 's', 'f', 'z']);
CREATE MACRO iso_text(p) AS p.d || ' ' || coalesce(nullif(p.h, ''), '00') || ':' || coalesce(nullif(p.m, ''), '00')
  || ':' || coalesce(nullif(p.s, ''), '00') || CASE WHEN p.f = '' THEN '' ELSE '.' || p.f END
  || CASE WHEN p.z IN ('', 'Z', 'z') THEN '+00:00' ELSE substring(p.z, 1, 3) || ':' || right(p.z, 2) END;
CREATE MACRO iso_to_instant(s) AS CASE WHEN s IS NULL THEN NULL WHEN iso_parts(s).d = ''
  THEN error('expected a timestamp like 2026-01-31T10:00:00Z, found ' || s)
  ELSE CAST(iso_text(iso_parts(s)) AS TIMESTAMPTZ) END;
CREATE MACRO iso_to_date(s) AS CASE WHEN s IS NULL THEN NULL WHEN regexp_full_match(s, '\d{4}-\d{2}-\d{2}')
  THEN CAST(s AS DATE) ELSE error('expected a date like 2026-01-31, found ' || s) END;
CREATE MACRO parsed_time(s, form, format) AS CASE WHEN s IS NULL THEN NULL WHEN regexp_full_match(s, form)
  THEN strptime(s, format) ELSE error('expected a time like ' || format || ', found ' || s) END;
CREATE MACRO whole_numbers(a, b, step) AS CASE WHEN step = 0 OR (b - a) * sign(step) < 0
  THEN error('sequence stop value should be greater than or equal to start value if step is greater than zero '
    || 'otherwise stop should be less than or equal to start')
  WHEN abs(b - a) // abs(step) >= 10000 THEN error('result of sequence function must not have more than 10000 entries')
  ELSE range(CAST(a AS BIGINT), CAST(b + sign(step) AS BIGINT), CAST(step AS BIGINT)) END;
CREATE MACRO calendar_days(a, b, step) AS list_transform(whole_numbers(0, date_diff('day', a, b), step),
  lambda i: CAST(a + to_days(CAST(i AS INTEGER)) AS DATE));
CREATE MACRO calendar_months(a, b, step) AS CASE WHEN step = 0 OR (b < a) <> (step < 0) AND a <> b
  THEN error('sequence stop value should be greater than or equal to start value if step is greater than zero')
  ELSE list_transform(whole_numbers(0, date_sub('month', a, b), step),
  lambda i: CAST(a + to_months(CAST(i AS INTEGER)) AS DATE)) END;
"""

_DATE_UNITS: Final = {"DAY": 1, "WEEK": 7}
_MONTH_UNITS: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_TIME_UNITS: Final = {"MILLISECOND": 1_000, "SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000}
_INTERVAL_UNITS: Final = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")

_PARTS: Final = {
    "YEAR": "year",
    "QUARTER": "quarter",
    "MONTH": "month",
    "WEEK": "weekofyear",
    "DAY": "day",
    "DAY_OF_MONTH": "day",
    "DAY_OF_WEEK": "isodow",
    "DOW": "isodow",
    "DAY_OF_YEAR": "dayofyear",
    "DOY": "dayofyear",
    "YEAR_OF_WEEK": "isoyear",
    "YOW": "isoyear",
    "HOUR": "hour",
    "MINUTE": "minute",
    "SECOND": "second",
}
_PART_FUNCTIONS: Final[dict[type[exp.Expr], str]] = {
    exp.Year: "YEAR",
    exp.Quarter: "QUARTER",
    exp.Month: "MONTH",
    exp.WeekOfYear: "WEEK",
    exp.Day: "DAY",
    exp.DayOfMonth: "DAY",
    exp.DayOfWeekIso: "DAY_OF_WEEK",
    exp.DayOfYear: "DAY_OF_YEAR",
    exp.YearOfWeek: "YEAR_OF_WEEK",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
    exp.Second: "SECOND",
}
_CLOCK_PARTS: Final = {"HOUR", "MINUTE", "SECOND"}

# Format specifiers, as sqlglot has translated them from MySQL's, to DuckDB's.
_FORMATS: Final = {
    **{one: one for one in ("%Y", "%y", "%m", "%-m", "%d", "%-d", "%H", "%-H", "%I", "%-I", "%M", "%S", "%f", "%B")},
    **{one: one for one in ("%b", "%A", "%a", "%j", "%p", "%%", "%G")},
    "%v": "%V",
}
_PARSED: Final = {"%Y": r"\d{4}", **dict.fromkeys(("%m", "%d", "%H", "%M", "%S"), r"\d{2}"), "%%": "%"}
_MYSQL_FORMATS: Final = set("YymcdeHkhIlisSfMbWajprTvx%")


def misread_format(literal: str) -> str | None:
    """Return the first specifier in a format as written that Trino does not know, and so takes literally."""
    return next(
        (found for found in re.findall(r"%.?", literal) if found[1:] not in _MYSQL_FORMATS or found == "%"), None
    )


# Types


def require_clock(type_: exp.DataType, what: str = "its clock") -> exp.DataType:
    """Return the type. Raises MartError if the values of the timestamp are each in a zone of their own."""
    if is_timestamp(type_) and time_zone(type_) is None:
        raise MartError(f"{what} depends on the zone in each text; write AT TIME ZONE '<zone>' first")
    return type_


def _time(part: exp.Expr) -> exp.DataType:
    type_ = require_known(part.type)
    if type_.this is not exp.DType.DATE and not is_timestamp(type_):
        raise MartError(f"{part.sql('trino')} is {describe(type_)}; expected a date or a timestamp")
    return require_clock(type_)


def _part_name(node: exp.Expr) -> str:
    return node.name.upper() if isinstance(node, exp.Extract) else _PART_FUNCTIONS[type(node)]


def _part_value(node: exp.Expr) -> exp.Expr:
    value: exp.Expr = node.expression if isinstance(node, exp.Extract) else node.this
    return value


def _part(node: exp.Expr) -> exp.DataType:
    name = _part_name(node)
    if name not in _PARTS:
        raise MartError(f"expected one of {', '.join(_PARTS)}")
    type_ = _time(_part_value(node))
    if name in _CLOCK_PARTS and not is_timestamp(type_):
        raise MartError(f"the {name.lower()} of a date; expected a timestamp")
    return of_kind(exp.DType.BIGINT)


def _day(node: exp.Date) -> exp.DataType:
    _time(node.this)
    return of_kind(exp.DType.DATE)


def _unit(node: exp.Expr, type_: exp.DataType) -> str:
    unit = node.text("unit").upper()
    allowed = [*_DATE_UNITS, *_MONTH_UNITS, *(_TIME_UNITS if is_timestamp(type_) else ())]
    if unit not in allowed:
        raise MartError(f"the unit {unit.lower()!r} of {describe(type_)}; expected one of {', '.join(allowed).lower()}")
    return unit


def _truncated(node: exp.Expr) -> exp.DataType:
    type_ = _time(node.this)
    _unit(node, type_)
    return type_


def _added(node: exp.DateAdd) -> exp.DataType:
    type_ = _time(node.this)
    require_whole(node.expression)
    if _unit(node, type_) == "MILLISECOND" and second_digits(type_) < MILLISECOND_DIGITS:
        raise MartError(f"milliseconds added to {describe(type_)}, which has none")
    return type_


def _difference(node: exp.DateDiff) -> exp.DataType:
    types = [_time(part) for part in (node.expression, node.this)]
    unit = _unit(node, compared_type(types))
    if unit not in _TIME_UNITS and {time_zone(one) for one in types if is_timestamp(one)} - {UTC}:
        raise MartError(
            f"{unit.lower()}s between times of a zone are counted in UTC by Trino, if they have microseconds; write "
            "date_diff of CAST(... AS date)"
        )
    return of_kind(exp.DType.BIGINT)


def _interval(node: exp.Interval) -> exp.DataType:
    unit = str(node.args.get("unit") or "").upper()
    if unit not in _INTERVAL_UNITS:
        raise MartError(
            f"an interval of {unit.lower() or 'several units'} is no SQL of Trino; expected one of "
            f"{', '.join(_INTERVAL_UNITS)}; a week is INTERVAL '7' DAY"
        )
    if not (isinstance(node.this, exp.Literal) and re.fullmatch(r"-?\d+", node.this.name)):
        raise MartError("expected a whole number in the interval")
    return of_kind(exp.DType.INTERVAL)


def _multiplied(node: exp.Mul) -> exp.DataType:
    """Type a whole number times an interval. Other products are numbers'."""
    interval, factor = _factors(node)
    require_whole(factor)
    if factor.find(exp.Interval) or not isinstance(interval.unnest(), exp.Interval):
        raise MartError("expected a whole number times an interval")
    return of_kind(exp.DType.INTERVAL)


def _factors(node: exp.Mul) -> tuple[exp.Expr, exp.Expr]:
    left_is_interval = node.left.type is not None and node.left.type.this is exp.DType.INTERVAL
    return (node.left, node.right) if left_is_interval else (node.right, node.left)


def has_interval(node: exp.Binary) -> bool:
    """Return whether one side of an expression is an interval."""
    return any(part.type is not None and part.type.this is exp.DType.INTERVAL for part in (node.left, node.right))


def _sum(node: exp.Binary) -> exp.DataType:
    """Type `+` and `-` of numbers, and of a date or timestamp with an interval."""
    if not has_interval(node):
        for part in (node.left, node.right):
            if part.type is not None and (part.type.this is exp.DType.DATE or is_timestamp(part.type)):
                raise MartError(
                    "expected date_diff('<unit>', from, to) for a difference, date_add or an interval to move"
                )
        return plus(node)
    moved, interval = _moved(node)
    type_ = _time(moved)
    unit = _interval_unit(interval)
    if not is_timestamp(type_):
        if unit in _TIME_UNITS:
            raise MartError(f"{unit.lower()}s added to a date; CAST it to a timestamp")
        return type_
    if unit in _MONTH_UNITS:
        return type_
    most = max(second_digits(type_), MILLISECOND_DIGITS)
    return timestamp_type(most, time_zone(type_)) if type_.this is exp.DType.TIMESTAMPTZ else local_type(most)


def _moved(node: exp.Binary) -> tuple[exp.Expr, exp.Expr]:
    """Return (what is moved, by which interval)."""
    if node.right.type is not None and node.right.type.this is exp.DType.INTERVAL:
        return node.left, node.right
    if isinstance(node, exp.Sub):
        raise MartError("a time is subtracted from an interval; expected it the other way round")
    return node.right, node.left


def _interval_unit(interval: exp.Expr) -> str:
    found = interval.find(exp.Interval)
    return str(found.args["unit"]).upper() if found is not None else ""


def zone_literal(zone: exp.Expr | None) -> str:
    """Return the name of a time zone. Raises MartError unless it is the literal name of a known one."""
    if not (isinstance(zone, exp.Literal) and zone.is_string):
        raise MartError("expected the name of a time zone as a literal, for example 'Europe/Berlin'")
    if zone.name != UTC and (zone.name not in available_timezones() or "/" not in zone.name):
        raise MartError(f"{zone.name!r} is not the name of a time zone; expected UTC or one like 'Europe/Berlin'")
    return zone.name


def _at_zone(node: exp.AtTimeZone) -> exp.DataType:
    type_ = require_known(node.this.type)
    if type_.this is not exp.DType.TIMESTAMPTZ:
        raise MartError(f"{node.this.sql('trino')} is {describe(type_)}; expected a timestamp with time zone")
    return timestamp_type(second_digits(type_), zone_literal(node.args.get("zone")))


def _from_seconds(node: exp.UnixToTime) -> exp.DataType:
    if not is_integer(require_known(node.this.type)):
        raise MartError(
            "expected a whole number of seconds; of milliseconds: "
            "date_add('millisecond', n % 1000, from_unixtime(n / 1000))"
        )
    if node.args.get("hours") is not None:
        raise MartError("expected a time zone by name")
    zone = node.args.get("zone")
    return timestamp_type(MILLISECOND_DIGITS, zone_literal(zone) if zone is not None else UTC)


def _to_seconds(node: exp.TimeToUnix) -> exp.DataType:
    if require_known(node.this.type).this is not exp.DType.TIMESTAMPTZ:
        raise MartError(f"{node.this.sql('trino')} is {describe(node.this.type)}; expected a timestamp with time zone")
    return of_kind(exp.DType.DOUBLE)


def _from_iso(node: exp.FromISO8601Timestamp) -> exp.DataType:
    require_text(node.this)
    return timestamp_type(MILLISECOND_DIGITS, None)


def _iso_date(node: exp.Expr) -> exp.DataType:
    require_text(node.this)
    return of_kind(exp.DType.DATE)


def _formatted(node: exp.TimeToStr) -> exp.DataType:
    _time(node.this)
    _format_of(node, _FORMATS)
    return of_kind(exp.DType.VARCHAR)


def _parsed(node: exp.StrToTime) -> exp.DataType:
    require_text(node.this)
    _format_of(node, _PARSED)
    return local_type(MILLISECOND_DIGITS)


def _format_of(node: exp.Expr, allowed: dict[str, str]) -> str:
    """Return the format, with each specifier replaced by what `allowed` has for it."""
    found = node.args.get("format")
    if not (isinstance(found, exp.Literal) and found.is_string):
        raise MartError("expected a literal format")

    def translated(match: re.Match[str]) -> str:
        if match.group() not in allowed:
            raise MartError(
                f"the format has {match.group()!r}; expected of MySQL's {', '.join(sorted(_MYSQL_FORMATS))}"
            )
        return allowed[match.group()]

    return re.sub(r"%-?.?", translated, found.name)


def _last_day(node: exp.LastDay) -> exp.DataType:
    _time(node.this)
    return of_kind(exp.DType.DATE)


def _sequence(node: exp.GenerateSeries) -> exp.DataType:
    start, end, step = (node.args.get(name) for name in ("start", "end", "step"))
    if start is None or end is None:
        raise MartError("expected sequence(start, stop[, step])")
    kinds = {require_known(part.type).this for part in (start, end)}
    if kinds <= {exp.DType.INT, exp.DType.BIGINT}:
        if step is not None:
            require_whole(step)
        return exp.DataType.build("array(bigint)", dialect="trino")
    if kinds != {exp.DType.DATE}:
        raise MartError("expected two whole numbers or two dates")
    if step is not None and not (isinstance(step, exp.Interval) and _interval_unit(step) not in _TIME_UNITS):
        raise MartError("expected an interval of days, months or years as the step")
    return exp.DataType.build("array(date)", dialect="trino")


# Rewrites


def _step(unit: str, times: exp.Expr) -> exp.Expr:
    """Return `times` units as an interval of DuckDB."""
    if unit in _TIME_UNITS:
        factor, name, kind = _TIME_UNITS[unit], "to_microseconds", "BIGINT"
    elif unit in _MONTH_UNITS:
        factor, name, kind = _MONTH_UNITS[unit], "to_months", "INTEGER"
    else:
        factor, name, kind = _DATE_UNITS[unit], "to_days", "INTEGER"
    units = cast(times, of_kind(exp.DType.BIGINT))
    if factor != 1:
        units = exp.Mul(this=units, expression=number(factor))
    return call(name, cast(units, exp.DataType.build(kind, dialect="duckdb")))


def _moved_by(value: exp.Expr, type_: exp.DataType, unit: str, step: exp.Expr, *, on_clock: bool) -> exp.Expr:
    """Return `value` plus a step: on the clock of its zone, or as an instant."""
    if type_.this is exp.DType.DATE:
        return cast(exp.Add(this=value, expression=step), type_)
    zone = time_zone(type_)
    if type_.this is exp.DType.TIMESTAMP or zone == UTC or not on_clock or unit in _TIME_UNITS:
        return exp.Add(this=value, expression=step)
    moved = exp.Add(this=local_time(value.copy(), type_), expression=step)
    return call("instant_near", moved, text(str(zone)), value.copy())


def _rewrite_sum(node: exp.Binary) -> exp.Expr | None:
    if not has_interval(node):
        return None
    moved, interval = _moved(node)
    literal = interval.find(exp.Interval)
    if literal is None or moved.type is None:
        return None
    inner = interval.unnest()
    times: exp.Expr = number(abs(int(literal.name)))
    if int(literal.name) < 0:
        times = exp.Neg(this=times)
    if isinstance(inner, exp.Mul):
        times = exp.Mul(this=exp.Paren(this=_factors(inner)[1].copy()), expression=times)
    if isinstance(node, exp.Sub) != isinstance(inner, exp.Neg):
        times = exp.Neg(this=exp.Paren(this=times))
    unit = _interval_unit(interval)
    step = _step(unit, times)
    # An interval of days and less is a span of time in Trino, also over a change of the clock.
    return _moved_by(moved.copy(), moved.type, unit, step, on_clock=unit in _MONTH_UNITS)


def _rewrite_added(node: exp.DateAdd) -> exp.Expr | None:
    if node.this.type is None:
        return None
    unit = node.text("unit").upper()
    times = cast(node.expression.copy(), of_kind(exp.DType.INT))  # Trino takes no more than 32 bits either
    moved = _moved_by(node.this.copy(), node.this.type, unit, _step(unit, times), on_clock=True)
    missing = exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null())
    return exp.If(this=missing, true=exp.Null(), false=moved)  # a step too long is no error where nothing is moved


def _rewrite_truncated(node: exp.Expr) -> exp.Expr | None:
    type_, unit = node.this.type, text(node.text("unit").lower())
    if type_ is None or not (is_timestamp(type_) or type_.this is exp.DType.DATE):
        return None
    value = node.this.copy()
    if type_.this is not exp.DType.TIMESTAMPTZ:
        return cast(call("date_trunc", unit, value), type_)
    local = local_time(value, type_)
    if node.text("unit").upper() in _TIME_UNITS:  # the same offset from UTC, so also in the hour that comes twice
        return exp.Sub(
            this=value.copy(),
            expression=exp.Paren(this=exp.Sub(this=local, expression=call("date_trunc", unit, local.copy()))),
        )
    return call("instant_near", call("date_trunc", unit, local), text(str(time_zone(type_))), value.copy())


def _rewrite_part(node: exp.Expr) -> exp.Expr | None:
    value = _part_value(node)
    if value.type is None or not (is_timestamp(value.type) or value.type.this is exp.DType.DATE):
        return None
    if _part_name(node) not in _PARTS:
        return None
    return cast(call(_PARTS[_part_name(node)], local_time(value.copy(), value.type)), of_kind(exp.DType.BIGINT))


def _rewrite_day(node: exp.Date) -> exp.Expr | None:
    return to_day(node.this)


def to_day(value: exp.Expr) -> exp.Expr | None:
    """Return the day that the clock of the value's zone shows."""
    type_ = value.type
    if type_ is None or (not is_timestamp(type_) and type_.this is not exp.DType.DATE):
        return None
    in_utc = type_.this is exp.DType.TIMESTAMPTZ and time_zone(type_) != UTC
    return cast(local_time(value.copy(), type_) if in_utc else value.copy(), of_kind(exp.DType.DATE))


def _rewrite_difference(node: exp.DateDiff) -> exp.Expr | None:
    start, end = node.expression, node.this
    if start.type is None or end.type is None:
        return None
    unit, type_ = node.text("unit").upper(), compared_type((start.type, end.type))
    values = [coerce(part, type_) for part in (start, end)]
    if type_.this is exp.DType.TIMESTAMPTZ:
        values = [local_time(value, timestamp_type(LAKE_DIGITS)) for value in values]
    if is_timestamp(type_):
        values = [call("date_trunc", text("milliseconds"), value) for value in values]
    base = "month" if unit in _MONTH_UNITS else "day" if unit in _DATE_UNITS else unit.lower()
    counted = call("date_sub", text(base), *values)
    factor = {**_MONTH_UNITS, **_DATE_UNITS}.get(unit, 1)
    return counted if factor == 1 else call("divide_down", counted, number(factor))


def _rewrite_formatted(node: exp.TimeToStr) -> exp.Expr | None:
    if node.this.type is None or not (is_timestamp(node.this.type) or node.this.type.this is exp.DType.DATE):
        return None
    clock = local_time(node.this.copy(), node.this.type)
    if is_timestamp(node.this.type) and second_digits(node.this.type) > MILLISECOND_DIGITS:
        clock = exp.Add(this=clock, expression=call("to_microseconds", number(500)))  # rounded half up by Trino
    return call(
        "strftime",
        call("date_trunc", text("milliseconds"), call("calendar_time", clock)),
        text(_format_of(node, _FORMATS)),
    )


def _rewrite_parsed(node: exp.StrToTime) -> exp.Expr:
    raw = node.args["format"].name
    form = "".join(_PARSED[part] if part in _PARSED else re.escape(part) for part in re.findall(r"%-?.|[^%]", raw))
    return call("parsed_time", node.this.copy(), text(form), text(raw))


def _rewrite_sequence(node: exp.GenerateSeries) -> exp.Expr | None:
    start, end, step = (node.args.get(name) for name in ("start", "end", "step"))
    if start is None or end is None or start.type is None:
        return None
    bounds = [start.copy(), end.copy()]
    if isinstance(step, exp.Interval):
        unit, times = _interval_unit(step), int(step.name)
        months = unit in _MONTH_UNITS
        factor = _MONTH_UNITS[unit] if months else _DATE_UNITS[unit]
        return call("calendar_months" if months else "calendar_days", *bounds, number(times * factor))
    if step is None:
        ascending = exp.LTE(this=start.copy(), expression=end.copy())
        step = exp.If(this=ascending, true=number(1), false=exp.Neg(this=number(1)))
    name = "calendar_days" if start.type.this is exp.DType.DATE else "whole_numbers"
    return call(name, *bounds, step.copy())


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.Add: _sum,
    exp.Sub: _sum,
    exp.Interval: _interval,
    exp.Date: _day,
    exp.TimestampTrunc: _truncated,
    exp.DateTrunc: _truncated,
    exp.DateAdd: _added,
    exp.DateDiff: _difference,
    exp.Extract: _part,
    **dict.fromkeys(_PART_FUNCTIONS, _part),
    exp.AtTimeZone: _at_zone,
    exp.UnixToTime: _from_seconds,
    exp.TimeToUnix: _to_seconds,
    exp.FromISO8601Timestamp: _from_iso,
    exp.FromISO8601Date: _iso_date,
    exp.TimeToStr: _formatted,
    exp.StrToTime: _parsed,
    exp.LastDay: _last_day,
    exp.GenerateSeries: _sequence,
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.Date: _rewrite_day,
    exp.TimestampTrunc: _rewrite_truncated,
    exp.DateTrunc: _rewrite_truncated,
    exp.DateAdd: _rewrite_added,
    exp.DateDiff: _rewrite_difference,
    exp.Extract: _rewrite_part,
    **dict.fromkeys(_PART_FUNCTIONS, _rewrite_part),
    exp.AtTimeZone: lambda node: node.this.copy(),
    exp.UnixToTime: lambda node: call("seconds_to_instant", node.this.copy()),
    exp.TimeToUnix: lambda node: call("instant_to_seconds", node.this.copy()),
    exp.FromISO8601Timestamp: lambda node: call("iso_to_instant", node.this.copy()),
    exp.FromISO8601Date: lambda node: call("iso_to_date", node.this.copy()),
    exp.TimeToStr: _rewrite_formatted,
    exp.StrToTime: _rewrite_parsed,
    exp.LastDay: lambda node: call("last_day", to_day(node.this) or node.this.copy()),
    exp.GenerateSeries: _rewrite_sequence,
}


def _named_part(node: exp.Anonymous) -> exp.DataType:
    _time(node.expressions[0])
    return of_kind(exp.DType.BIGINT)


def _rewrite_named_part(node: exp.Anonymous) -> exp.Expr | None:
    return _rewrite_part(exp.YearOfWeek(this=node.expressions[0].copy()))


def _iso(node: exp.Anonymous) -> exp.DataType:
    if require_known(node.expressions[0].type).this is not exp.DType.DATE:
        raise MartError("expected a date; of a timestamp use date_format")
    return of_kind(exp.DType.VARCHAR)


def _rewrite_iso(node: exp.Anonymous) -> exp.Expr:
    return cast(call("calendar_time", node.expressions[0].copy()), of_kind(exp.DType.VARCHAR))


FUNCTIONS: dict[str, tuple[Callable[[Any], exp.DataType], Callable[[Any], exp.Expr | None] | None]] = {
    "yow": (_named_part, _rewrite_named_part),
    "to_iso8601": (_iso, _rewrite_iso),
}


def type_of_product(node: exp.Mul, numbers: Callable[[exp.Mul], exp.DataType]) -> exp.DataType:
    """Type `*`: of a number with an interval, or of two numbers."""
    return _multiplied(node) if has_interval(node) else numbers(node)


def rewrite_sum(node: exp.Binary, numbers: Callable[[exp.Binary], exp.Expr | None]) -> exp.Expr | None:
    """Rewrite `+` and `-`: of a time with an interval, or of two numbers."""
    return _rewrite_sum(node) if has_interval(node) else numbers(node)
