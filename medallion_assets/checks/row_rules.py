"""Row rules of a contract as SQL predicates over a Silver table's columns.

Belongs here: what it means that a row breaks a rule. Does not belong here: what happens to the row (quarantine), and
`references`, which is a matter of two tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from medallion_assets.contracts.model import Column, Contract, Rule, Scalar, Severity
from medallion_assets.contracts.types import ColumnType
from medallion_assets.errors import ContractError
from medallion_assets.lake.duck import literal

# Numbers in a contract may have more digits than Python's default context keeps.
_EXACT = Context(prec=400)


@dataclass(frozen=True)
class RowRule:
    """One rule of one column. `breaks` is SQL over the column, true for a row that breaks it and never null."""

    column: str
    name: str
    breaks: str


def row_rules(contract: Contract, severity: Severity) -> tuple[RowRule, ...]:
    """The contract's rules of that severity, `references` left out.

    Raises ContractError if a rule's value is not one of the column's type.
    """
    return tuple(rule for column in contract.columns.values() for rule in column_rules(column, severity))


def column_rules(column: Column, severity: Severity) -> tuple[RowRule, ...]:
    """One column's rules of that severity, like row_rules."""
    return tuple(
        RowRule(column.name, _name(rule), f"coalesce({_breaks(column, rule)}, FALSE)")
        for rule in column.rules
        if rule.severity == severity and rule.kind != "references"
    )


def _name(rule: Rule) -> str:
    return rule.kind if rule.kind == "required" else f"{rule.kind} {_shown(getattr(rule, rule.kind))}"


def _shown(value: object) -> str:
    return "[" + ", ".join(str(one) for one in value) + "]" if isinstance(value, tuple) else str(value)


def _breaks(column: Column, rule: Rule) -> str:
    name = f'"{column.name}"'
    try:
        if rule.values is not None:
            known = [sql for one in rule.values if (sql := _literal(column.type, one)) is not None]
            return f"{name} NOT IN ({', '.join(known)})" if known else f"{name} IS NOT NULL"
        if rule.min is not None:
            return _beyond(name, "<", column.type, rule.min)
        if rule.max is not None:
            return _beyond(name, ">", column.type, rule.max)
    except (TypeError, ValueError) as wrong:
        raise ContractError(f"columns.{column.attribute}.rules: {_name(rule)}: expected a {column.type}") from wrong
    if rule.pattern is not None:
        return f"NOT regexp_full_match({name}, {literal(rule.pattern)})"
    return f"{name} IS NULL"


def _beyond(name: str, sign: str, type_: ColumnType, bound: Scalar) -> str:
    """A bound with more digits than the column has is rounded to the last value inside it, so comparing is exact."""
    if type_.kind not in {"int", "bigint", "decimal"}:
        return f"{name} {sign} {_literal(type_, bound)}"
    rounding = ROUND_CEILING if sign == "<" else ROUND_FLOOR
    number = _number(bound).quantize(Decimal(1).scaleb(-type_.scale), rounding=rounding, context=_EXACT)
    if (sql := _literal(type_, number)) is not None:
        return f"{name} {sign} {sql}"
    nothing_inside = (number > 0) == (sign == "<")
    return f"{name} IS NOT NULL" if nothing_inside else "FALSE"


def _literal(type_: ColumnType, value: Scalar) -> str | None:
    """SQL of the value as the column's type; None for a number that no value of the type equals."""
    match type_.kind, value:
        case "string", str():
            return literal(value)
        case "bool", bool():
            return str(value).upper()
        case "double", _:
            return f"{float(_number(value))!r}::DOUBLE"
        case (("int" | "bigint" | "decimal"), _):
            return _number_literal(type_, _number(value))
        case "date", date() if not isinstance(value, datetime):
            return f"DATE '{value.isoformat()}'"
        case "timestamp", date():
            at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
            return f"TIMESTAMPTZ '{(at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()}'"
        case _:
            raise TypeError(f"{value!r} is not a {type_}")


def _number_literal(type_: ColumnType, number: Decimal) -> str | None:
    digits = {"int": 10, "bigint": 19, "decimal": type_.precision}[type_.kind]
    scaled = number.scaleb(type_.scale, context=_EXACT)
    if scaled != scaled.to_integral_value() or abs(scaled) >= Decimal(10) ** digits:
        return None
    return f"'{number:f}'::DECIMAL({max(digits, type_.scale)}, {type_.scale})"


def _number(value: Scalar) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError(f"{value!r} is not a number")
    return Decimal(value)
