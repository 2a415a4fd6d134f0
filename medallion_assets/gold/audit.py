"""The audit of a staged mart: its grain, its columns and the rules of its spec, before anybody reads it.

Belongs here: what is checked and when it fails. Does not belong here: computing and publishing (gold).
A refresh of some days is audited on those days: the others passed the same audit before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.checks.row_rules import RowRule, column_rules
from medallion_assets.contracts.model import Severity
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, literal, sql_types

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart

_RULES: tuple[tuple[str, Severity], ...] = (("rules", "block"), ("warning_rules", "warn"))


def check_names(mart: Mart) -> list[tuple[str, Severity]]:
    """The checks of a mart, in the order they are shown; `block` if a failure holds the refresh."""
    checks: list[tuple[str, Severity]] = [("grain", "block"), ("columns", "block")]
    return checks + [(name, severity) for name, severity in _RULES if _rules(mart, severity)]


def audit_mart(
    lake: Lake,
    table: Table,
    mart: Mart,
    *,
    snapshot_id: int | None,
    days: Sequence[date] | None,
    schema: pa.Schema,
) -> list[CheckResult]:
    """The results, as `check_names` lists them, of a staged snapshot; of these days only if `days` is given.

    `schema` is what the table is declared to be.
    """
    rows = f"(FROM {lake.scan_sql(table, snapshot_id)}{_only(mart, days)})"
    checks = [_check_grain(lake, rows, mart), _check_columns(lake, rows, schema)]
    return checks + [
        _check_rules(lake, rows, mart, name, severity) for name, severity in _RULES if _rules(mart, severity)
    ]


def _rules(mart: Mart, severity: Severity) -> list[RowRule]:
    return [rule for column in mart.contract_columns() for rule in column_rules(column, severity)]


def _only(mart: Mart, days: Sequence[date] | None) -> str:
    if days is None or mart.spec.partition is None:
        return ""
    among = ", ".join(f"DATE {literal(day.isoformat())}" for day in days) or "NULL"
    return f" WHERE {identifier(mart.spec.partition.column)} IN ({among})"


def _check_grain(lake: Lake, rows: str, mart: Mart) -> CheckResult:
    grain = ", ".join(map(identifier, mart.spec.grain))
    null = " OR ".join(f"{identifier(name)} IS NULL" for name in mart.spec.grain)
    with lake.duckdb() as connection:
        total, nulls = connection.execute(f"SELECT count(*), count(*) FILTER ({null}) FROM {rows}").fetchall()[0]
        repeated = connection.execute(
            f"SELECT {_shown(mart)}, count(*) FROM {rows} GROUP BY {grain} HAVING count(*) > 1 ORDER BY 1"
        ).fetchall()
        without = connection.execute(
            f"SELECT {_shown(mart)} FROM {rows} WHERE {null} ORDER BY 1 LIMIT {MAX_EXAMPLES}"
        ).fetchall()
    return CheckResult(
        name="grain",
        passed=not repeated and not nulls,
        severity="block",
        description=f"Every row has its {', '.join(mart.spec.grain)}, and no two have the same.",
        numbers={"rows": total, "repeated": len(repeated), "rows with null in the grain": nulls},
        examples=[str(row[0]) for row in (*repeated, *without)][:MAX_EXAMPLES],
    )


def _check_columns(lake: Lake, rows: str, schema: pa.Schema) -> CheckResult:
    with lake.duckdb() as connection:
        there = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM {rows}").fetchall()}
        declared = sql_types(connection, schema)
    wrong = sorted(name for name in there.keys() | declared.keys() if there.get(name) != declared.get(name))
    return CheckResult(
        name="columns",
        passed=not wrong,
        severity="block",
        description="The table has the declared columns with the declared types.",
        numbers={"columns": len(there), "wrong": len(wrong)},
        examples=wrong[:MAX_EXAMPLES],
    )


def _check_rules(lake: Lake, rows: str, mart: Mart, name: str, severity: Severity) -> CheckResult:
    rules = _rules(mart, severity)
    any_broken = " OR ".join(rule.breaks for rule in rules)
    counts = ", ".join(f"count(*) FILTER ({rule.breaks})" for rule in rules)
    with lake.duckdb() as connection:
        total, broken, *each = connection.execute(
            f"SELECT count(*), count(*) FILTER ({any_broken}), {counts} FROM {rows}"
        ).fetchall()[0]
        examples = connection.execute(
            f"SELECT {_shown(mart)} FROM {rows} WHERE {any_broken} ORDER BY 1 LIMIT {MAX_EXAMPLES}"
        ).fetchall()
    by_rule = {f"{rule.column}: {rule.name}": count for rule, count in zip(rules, each, strict=True) if count}
    return CheckResult(
        name=name,
        passed=not broken,
        severity=severity,
        description="Every row keeps the rules of its columns.",
        numbers={"rows": total, "rows that break a rule": broken, **by_rule},
        examples=[str(key) for (key,) in examples],
    )


def _shown(mart: Mart) -> str:
    """A row's grain as text."""
    return "concat_ws(', ', " + ", ".join(f"coalesce({identifier(n)}::VARCHAR, 'null')" for n in mart.spec.grain) + ")"
