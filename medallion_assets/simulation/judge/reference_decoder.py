"""What a change must become, in plain Python, one value at a time: the oracle's own decoder.

Shares no code with the decoder, the rules or the comparison of the pipeline; a contract is data to both. Values are as
Arrow gives them: Decimal, datetime (UTC), bytes, a map as pairs sorted by key. Numbers never become floats on the way,
but in a column of type double.

Belongs here: one change and one contract. Does not belong here: which changes are where (oracle).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from typing import Any, Final

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.simulation.judge.source_format import default, missing, read_written, written_otherwise

Row = dict[str, Any]

_EXACT: Final = Context(prec=400, Emax=999_999, Emin=-999_999)
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d)(\.\d{1,6}0*)?(Z|[+-]\d\d:?\d\d)", re.ASCII)


class Misfit(Exception):
    """A value that does not fit its column's type exactly."""


Number = tuple[str, int, int]
"""What orders the changes of a key: the label of the stream, the sequence number, the microsecond of an amendment."""

NONE_YET: Final[Number] = ("", -1, 0)


@dataclass(frozen=True)
class Change:
    """One change at the source, as in its stream, or an amendment. `image` is None for a delete.

    `before` is the item as it was before the change; None for an insert and an amendment. `created_s` is when the
    stream says it was made, in whole seconds; None for an amendment. `by` is who deleted the item, as the table of
    deleted keys says it; None for any other change.
    """

    table: str
    key: str
    number: Number
    event_id: str
    event_name: str
    keys: Mapping[str, Any]
    image: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    created_s: float | None
    by: str | None

    @classmethod
    def of(cls, table: str, record: Mapping[str, Any]) -> Change:
        """Return the change in a stream record that has the shape of a Lambda event."""
        change = record["dynamodb"]
        return cls(
            table=table,
            key=key_text(change["Keys"]),
            number=number(change["SequenceNumber"], record["eventSourceARN"]),
            event_id=record["eventID"],
            event_name=record["eventName"],
            keys=change["Keys"],
            image=None if record["eventName"] == "REMOVE" else change["NewImage"],
            before=change.get("OldImage"),
            created_s=change["ApproximateCreationDateTime"],
            by=None if record["eventName"] != "REMOVE" else "ttl" if "userIdentity" in record else "user",
        )


def key_text(keys: Mapping[str, Any]) -> str:
    """Return a key as text: equal for equal keys."""
    return json.dumps(keys, sort_keys=True)


def number(text: str, stream_arn: str) -> Number:
    """Read a sequence number of a stream from text, padded or not, with or without an amendment's suffix."""
    sent, _, amended = text.partition("+")
    return stream_arn.rpartition("/stream/")[2], int(sent), int(amended or 0)


@dataclass(frozen=True)
class Verdict:
    """What a contract makes of a change: the `row` to merge, or the columns that break the contract.

    `by` is who deleted the item, as the table of deleted keys says it; None if Silver should have a row. `row` then has
    the key only.
    """

    row: Row | None
    broken: frozenset[str]
    by: str | None


def judge(contract: Contract, change: Change) -> Verdict:
    """Return the Silver row of a change without its enriched columns, or what is wrong with it."""
    image, by = change.image, change.by
    kept = by == "ttl" and contract.on_expiry == "keep"
    if kept:
        image, by = change.before, None
    if image is not None and not is_member(contract, image):
        by = "moved"
    elif image is not None and soft_deleted(contract, image):
        by = "soft_delete"
    removed = by is not None
    image = change.keys if removed or image is None else image
    row: Row = {}
    broken = set()
    for column in contract.columns.values():
        if removed and column.name not in contract.key_names:
            row[column.name] = None
            continue
        try:
            row[column.name] = of_column(column, image.get(column.attribute))
        except Misfit:
            broken.add(column.name)
            continue
        if column.name in contract.key_names and row[column.name] is None:
            broken.add(column.name)
        if not removed and any(
            _breaks(column.type, rule.model_dump(exclude_none=True), row[column.name])
            for rule in column.rules
            if rule.severity == "block"
        ):
            broken.add(column.name)
    if broken:
        return Verdict(None, frozenset(broken), by)
    types = {column.attribute: column.type for column in contract.columns.values()}
    extra = {
        name: value
        for name, value in image.items()
        if name not in {*types, *contract.dropped} or (name in types and _more(types[name], value))
    }
    if extra and contract.shape == "freeze":
        return Verdict(None, frozenset(), by)
    row["_extra"] = normal(extra) if extra else None
    row |= meta(change)
    if contract.on_expiry == "keep":
        row["_expired_at"] = row["_changed_at"] if kept else None
    return Verdict(row, frozenset(), by)


def concerns(contract: Contract, change: Change) -> bool:
    """Return whether a change is of the contract's entity: its item is, or may have been until the change."""
    after = change.before if change.by == "ttl" and contract.on_expiry == "keep" else change.image
    if after is not None and is_member(contract, after):
        return True
    if change.before is not None:
        return is_member(contract, change.before)
    possible = {**{name: {"S": pattern.text} for name, pattern in (contract.where or {}).items()}, **change.keys}
    return change.event_name != "INSERT" and is_member(contract, possible)


def is_member(contract: Contract, image: Mapping[str, Any]) -> bool:
    """Return whether an item with this image is of the contract's entity."""
    for attribute, pattern in (contract.where or {}).items():
        ((tag, raw),) = image.get(attribute, {"NULL": True}).items()
        if tag not in {"S", "N", "BOOL"}:
            return False
        text = {True: "true", False: "false"}.get(raw, raw)
        if text != pattern.text and not (pattern.is_prefix and text.startswith(pattern.text)):
            return False
    return True


def soft_deleted(contract: Contract, image: Mapping[str, Any]) -> bool:
    """Return whether the contract calls an item with this image deleted."""
    condition = contract.deleted_when
    if condition is None or condition.attribute not in image:
        return False
    ((tag, raw),) = image[condition.attribute].items()
    if condition.value is None:
        return bool(tag != "NULL")
    return tag in {"S", "N", "BOOL"} and condition.value == {True: "true", False: "false"}.get(raw, raw)


def meta(change: Change) -> Row:
    """Return the columns that say which change a row is of."""
    label, sent, amended = change.number
    return {
        "_stream_created_at": datetime.fromisoformat(label).replace(tzinfo=UTC),
        "_sequence_number": f"{sent:040d}" + (f"+{amended:016d}" if amended else ""),
        "_event_id": change.event_id,
        "_changed_at": None if change.created_s is None else datetime.fromtimestamp(change.created_s, UTC),
    }


def comparable(contract: Contract, row: Row) -> Row:
    """Return a row of the lake in the form of `judge`, JSON text as data, for comparing."""
    as_data = dict(row)
    for column in contract.columns.values():
        if column.type.kind == "json" and as_data[column.name] is not None:
            as_data[column.name] = parsed(as_data[column.name])
    if as_data["_extra"] is not None:
        as_data["_extra"] = parsed(as_data["_extra"])
    return as_data


def of_column(column: Column, tagged: Mapping[str, Any] | None) -> Any:
    """Return the value of a column whose attribute is `tagged`, None if the item has none. Raises Misfit."""
    if tagged is None or missing(column, tagged):
        return default(column)
    if not written_otherwise(column):
        return read(column.type, tagged)
    return read_written(column, tagged, lambda usual: read(column.type, usual), Misfit)


def read(type_: ColumnType, tagged: Mapping[str, Any]) -> Any:
    """Return an AttributeValue as a value of the type. Raises Misfit."""
    ((tag, raw),) = tagged.items()
    if tag == "NULL":
        return None
    if type_.kind == "json":
        return normal(plain(tagged))
    if type_.kind in {"list", "set", "map", "struct"}:
        return _nested(type_, tag, raw)
    if tag not in {"string": "SN", "bool": ["BOOL"], "binary": "B", "date": "S", "timestamp": "S"}.get(type_.kind, "N"):
        raise Misfit
    return _scalar(type_, raw)


def plain(tagged: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind
    """Return an AttributeValue as plain data, numbers as Decimal."""
    ((tag, raw),) = tagged.items()
    match tag:
        case "M":
            return {name: plain(item) for name, item in raw.items()}
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
    """Return data that is equal exactly when two values are; ints become Decimals, bools stay bools."""
    if isinstance(value, Mapping):
        return {name: normal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def parsed(text: str) -> Any:
    """Return JSON text as such data."""
    return normal(json.loads(text, parse_float=Decimal, parse_int=Decimal))


def _nested(type_: ColumnType, tag: str, raw: Any) -> Any:
    if type_.kind == "struct" and tag == "M":
        return {name: read(field, raw[name_]) if name_ in raw else None for name_, name, field in type_.fields}
    element = type_.element
    if element is not None and type_.kind == "list" and tag == "L":
        return [read(element, item) for item in raw]
    if element is not None and type_.kind == "map" and tag == "M":
        return [(name, read(element, raw[name])) for name in sorted(raw, key=str.encode)]
    tags = {"string": {"SS", "NS"}, "binary": {"BS"}}
    if element is not None and type_.kind == "set" and tag in tags.get(element.kind, {"NS"}):
        members = [_scalar(element, item) for item in raw]
        return sorted(members, key=str.encode) if element.kind == "string" else sorted(members)
    raise Misfit


def _scalar(type_: ColumnType, raw: Any) -> Any:  # noqa: PLR0911 - one for each kind
    try:
        match type_.kind:
            case "string" | "bool":
                return raw
            case "binary":
                return base64.b64decode(raw)
            case "double":
                return float(raw)
            case "int" | "bigint":
                return _whole(raw, 31 if type_.kind == "int" else 63)
            case "decimal":
                return _decimal(raw, type_.precision, type_.scale)
            case "date":
                if not re.fullmatch(r"\d{4}-\d\d-\d\d", raw, re.ASCII):
                    raise Misfit
                return date.fromisoformat(raw)
            case _:
                if (match := _MOMENT.fullmatch(raw)) is None:
                    raise Misfit
                micros = (match[2] or "")[:7]
                return datetime.fromisoformat(match[1] + micros + match[3]).astimezone(UTC)
    except (ValueError, OverflowError, InvalidOperation) as wrong:
        raise Misfit from wrong


def _whole(raw: str, bits: int) -> int:
    number = Decimal(raw)
    if number != _EXACT.to_integral_value(number) or not -(2**bits) <= number < 2**bits:
        raise Misfit
    return int(number)


def _decimal(raw: str, precision: int, scale: int) -> Decimal:
    with localcontext(_EXACT) as exact:
        exact.traps[Inexact] = True
        try:
            number = Decimal(raw).quantize(Decimal(1).scaleb(-scale))
        except Inexact as lost:
            raise Misfit from lost
    if number and len(number.as_tuple().digits) > precision:
        raise Misfit
    return number or abs(number)  # Arrow's decimals have one zero


def _breaks(type_: ColumnType, rule: Mapping[str, Any], value: Any) -> bool:
    if "required" in rule:
        return value is None
    if value is None:
        return False
    if "min" in rule:
        return bool(value < _bound(type_, rule["min"]))
    if "max" in rule:
        return bool(value > _bound(type_, rule["max"]))
    if "values" in rule:
        return value not in [_bound(type_, written) for written in rule["values"]]
    return "pattern" in rule and not re.fullmatch(rule["pattern"], value, re.DOTALL)


def _bound(type_: ColumnType, written: Any) -> Any:
    """Return a value of a rule as a value of the column: in a contract, dates and timestamps are text."""
    match type_.kind:
        case "date":
            return date.fromisoformat(str(written))
        case "timestamp":
            moment = datetime.fromisoformat(str(written))
            return moment.replace(tzinfo=moment.tzinfo or UTC)
        case "double":
            return float(written)
        case _:
            return written


def _more(type_: ColumnType, tagged: Mapping[str, Any]) -> bool:
    """Return whether a struct in the value has attributes that its type does not declare."""
    ((tag, raw),) = tagged.items()
    if type_.kind == "struct" and tag == "M":
        fields = {name: field for name, _, field in type_.fields}
        return any(name not in fields or _more(fields[name], item) for name, item in raw.items())
    if type_.element is not None and tag in {"L", "M"}:
        return any(_more(type_.element, item) for item in (raw if tag == "L" else raw.values()))
    return False
