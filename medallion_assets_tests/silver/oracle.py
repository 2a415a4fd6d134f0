"""What Silver must hold, in plain Python and one row at a time: boto3's deserializer, Decimal and datetime.

Shares no code with the decoder; only the types' names are the contract's.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any

from medallion_assets.contracts.types import ColumnType

EXACT = Context(prec=400, Emax=999999, Emin=-999999)


class Misfit(Exception):
    """The value is not exactly one of the type."""


def read(type_: ColumnType, tagged: Mapping[str, Any]) -> Any:
    """The value of the type that a tagged DynamoDB value is. Raises Misfit."""
    ((tag, raw),) = tagged.items()
    if tag == "NULL":
        return None
    if type_.kind == "json":
        return normal(plain(tagged))
    if type_.kind in ("list", "set", "map", "struct"):
        return _nested(type_, tag, raw)
    allowed = {"string": "SN", "bool": ["BOOL"], "binary": "B", "date": "S", "timestamp": "S"}.get(type_.kind, "N")
    if tag not in allowed:
        raise Misfit
    return scalar(type_, raw)


def _nested(type_: ColumnType, tag: str, raw: Any) -> Any:
    if type_.kind == "struct":
        if tag != "M":
            raise Misfit
        return {name: read(field, raw[attr]) if attr in raw else None for attr, name, field in type_.fields}
    element = type_.element
    assert element is not None
    if type_.kind == "list" and tag == "L":
        return [read(element, item) for item in raw]
    if type_.kind == "map" and tag == "M":
        return [(key, read(element, raw[key])) for key in sorted(raw, key=str.encode)]
    if type_.kind == "set" and tag in (
        {"SS", "NS"} if element.kind == "string" else {"BS"} if element.kind == "binary" else {"NS"}
    ):
        members = [scalar(element, item) for item in raw]
        return sorted(members, key=str.encode) if element.kind == "string" else sorted(members)
    raise Misfit


def scalar(type_: ColumnType, raw: Any) -> Any:
    match type_.kind:
        case "string" | "bool":
            return raw
        case "binary":
            return base64.b64decode(raw)
        case "double":
            return float(raw)
        case "int" | "bigint":
            number, bits = Decimal(raw), 31 if type_.kind == "int" else 63
            if number != EXACT.to_integral_value(number) or not -(2**bits) <= number < 2**bits:
                raise Misfit
            return int(number)
        case "decimal":
            with localcontext(EXACT) as exact:
                exact.traps[Inexact] = True
                try:
                    number = Decimal(raw).quantize(Decimal(1).scaleb(-type_.scale))
                except Inexact as lost:
                    raise Misfit from lost
            if len(number.as_tuple().digits) > type_.precision and number != 0:
                raise Misfit
            return number or abs(number)  # Arrow's decimals have one zero
        case "date":
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", raw, re.ASCII):
                raise Misfit
            try:
                return date.fromisoformat(raw)
            except ValueError as wrong:
                raise Misfit from wrong
        case _:
            return moment(raw)


def moment(raw: str) -> datetime:
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)", raw, re.ASCII)
    if match is None or (match[2] and (len(match[2]) < 2 or match[2][7:].strip("0"))):
        raise Misfit
    micros = (match[2] or "")[:7]
    try:
        return datetime.fromisoformat(match[1] + micros + match[3]).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise Misfit from wrong


def plain(tagged: Mapping[str, Any]) -> Any:
    """Plain data, numbers as Decimal."""
    ((tag, raw),) = tagged.items()
    match tag:
        case "M":
            return {key: plain(item) for key, item in raw.items()}
        case "L":
            return [plain(item) for item in raw]
        case "N":
            return Decimal(raw)
        case "NS":
            return sorted(map(Decimal, raw))
        case "SS" | "BS":
            return sorted(raw)
        case "NULL":
            return None
        case _:
            return raw


def normal(value: Any) -> Any:
    """Something that is equal exactly when two plain values are; floats and Decimals never mix."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def parsed(text: str) -> Any:
    """JSON text as plain data, numbers as Decimal."""
    return normal(json.loads(text, parse_float=Decimal, parse_int=Decimal))
