"""Row rules of a contract as SQL predicates over a Silver table's columns.

Belongs here: what it means that a row breaks a rule. Does not belong here: what happens to the row (quarantine), and
`references`, which needs two tables (silver.audit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType

from medallion_assets.contracts.model import Column, Contract, Rule, Severity
from medallion_assets.contracts.rule_value import TypedValue
from medallion_assets.contracts.types import ColumnType
from medallion_assets.lake.duck import identifier, literal, timestamp_literal


@dataclass(frozen=True)
class RowRule:
    """One rule of one column.

    - breaks: SQL over the column, true for a row that breaks it and never null
    - portable: whether `breaks` means the same in Trino as in DuckDB; a pattern does not, because the engines have
      different regular expressions
    """

    column: str
    name: str
    breaks: str
    portable: bool


def row_rules(
    contract: Contract, severity: Severity, sql_names: Mapping[str, str] = MappingProxyType({})
) -> tuple[RowRule, ...]:
    """Return the contract's rules of that severity, without `references`. Their values are of the column's type.

    `sql_names` has the SQL names of columns that are not called by their quoted names.
    """
    return tuple(
        rule
        for column in contract.columns.values()
        for rule in column_rules(column, severity, sql_names.get(column.name))
    )


def column_rules(column: Column, severity: Severity, sql_name: str | None = None) -> tuple[RowRule, ...]:
    """Return one column's rules of that severity, like `row_rules`. Without `sql_name`, SQL has its quoted name."""
    name = sql_name or identifier(column.name)
    return tuple(
        RowRule(
            column.name,
            _name(rule),
            f"coalesce({_breaks(column, rule, name)}, FALSE)",
            portable=rule.pattern is None,
        )
        for rule in column.rules
        if rule.severity == severity and rule.kind != "references"
    )


def _name(rule: Rule) -> str:
    return rule.kind if rule.kind == "required" else f"{rule.kind} {_shown(getattr(rule, rule.kind))}"


def _shown(value: object) -> str:
    return "[" + ", ".join(str(one) for one in value) + "]" if isinstance(value, tuple) else str(value)


def _breaks(column: Column, rule: Rule, name: str) -> str:
    if rule.pattern is not None:
        return f"NOT regexp_full_match({name}, {literal(rule.pattern)})"
    known = [_literal(column.type, value) for value in rule.typed_values(column.type)]
    match rule.kind:
        case "values":
            return f"{name} NOT IN ({', '.join(known)})"
        case "min":
            return f"{name} < {known[0]}"
        case "max":
            return f"NOT ({name} <= {known[0]})"  # DuckDB's NaN is above every number, Trino's is neither
        case _:
            return f"{name} IS NULL"


def _literal(type_: ColumnType, value: TypedValue) -> str:
    """Return a value of the column's type as SQL of DuckDB and of Trino."""
    match value:
        case str():
            sql = literal(value)
        case bool():
            sql = str(value).upper()
        case float():
            sql = f"CAST('{value!r}' AS DOUBLE)"
        case datetime():
            sql = timestamp_literal(value)
        case date():
            sql = f"DATE '{value.isoformat()}'"
        case int():
            sql = f"CAST('{value}' AS {'INTEGER' if type_.kind == 'int' else 'BIGINT'})"
        case Decimal():
            sql = f"CAST('{value:f}' AS DECIMAL({type_.precision}, {type_.scale}))"
    return sql
