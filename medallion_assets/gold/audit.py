"""The audit of a mart's snapshot: its grain, its columns and the rules of its columns.

Belongs here: what is checked and when it fails. Does not belong here: computing and publishing (refresh). A refresh of
some days audits those days: the other days passed the same audit when they were computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

import duckdb
from pyiceberg.table import Table

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.checks.row_rules import RowRule, column_rules
from medallion_assets.contracts.model import Severity
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, literal, wrong_columns

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart

_RULE_CHECKS: Final[Mapping[Severity, str]] = {"block": "rules", "warn": "warning_rules"}


def check_names(mart: Mart) -> list[tuple[str, Severity]]:
    """Return the checks of a mart in the order in which they are shown; `block` if a failure stops the publication."""
    checks: list[tuple[str, Severity]] = [("grain", "block"), ("columns", "block")]
    return checks + [(name, severity) for severity, name in _RULE_CHECKS.items() if _rules(mart, severity)]


def audit_mart(
    lake: Lake, table: Table, mart: Mart, *, snapshot_id: int | None, days: Sequence[date] | None
) -> list[CheckResult]:
    """Return the results, in the order of `check_names`, for a snapshot of the mart's table (None: the published one).

    With `days` only the rows of these days are checked. Raises LakeUnavailable.
    """
    rows = f"(FROM {lake.scan_sql(table, snapshot_id)}{_where(mart, days)})"
    with lake.duckdb() as connection:
        checks = [_check_grain(connection, rows, mart), _check_columns(connection, rows, mart)]
        for severity in _RULE_CHECKS:
            if rules := _rules(mart, severity):
                checks.append(_check_rules(connection, rows, mart, severity, rules))
    return checks


def _rules(mart: Mart, severity: Severity) -> list[RowRule]:
    return [rule for column in mart.columns.values() for rule in column_rules(column, severity)]


def _where(mart: Mart, days: Sequence[date] | None) -> str:
    if days is None or mart.spec.partition is None:
        return ""
    listed = ", ".join(f"DATE {literal(day.isoformat())}" for day in days) or "NULL"
    return f" WHERE {identifier(mart.spec.partition.column)} IN ({listed})"


def _check_grain(connection: duckdb.DuckDBPyConnection, rows: str, mart: Mart) -> CheckResult:
    grain = ", ".join(map(identifier, mart.spec.grain))
    null = " OR ".join(f"{identifier(name)} IS NULL" for name in mart.spec.grain)
    total, nulls = connection.execute(f"SELECT count(*), count(*) FILTER ({null}) FROM {rows}").fetchall()[0]
    repeated = connection.execute(
        f"SELECT {_grain_text(mart)}, count(*) FROM {rows} GROUP BY {grain} HAVING count(*) > 1 ORDER BY 1"
    ).fetchall()
    with_null = connection.execute(
        f"SELECT {_named_grain_text(mart)} FROM {rows} WHERE {null} ORDER BY 1 LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    return CheckResult(
        name="grain",
        passed=not repeated and not nulls,
        severity="block",
        description=f"Every row has its {', '.join(mart.spec.grain)}, and no two rows have the same.",
        numbers={"rows": total, "repeated": len(repeated), "rows with null in the grain": nulls},
        examples=[str(row[0]) for row in (*repeated, *with_null)][:MAX_EXAMPLES],
    )


def _check_columns(connection: duckdb.DuckDBPyConnection, rows: str, mart: Mart) -> CheckResult:
    wrong = wrong_columns(connection, rows, mart.schema)
    return CheckResult(
        name="columns",
        passed=not wrong,
        severity="block",
        description="The table has the declared columns with the declared types. It may have others, of other writers.",
        numbers={"columns": len(mart.schema), "wrong": len(wrong)},
        examples=wrong[:MAX_EXAMPLES],
    )


def _check_rules(
    connection: duckdb.DuckDBPyConnection, rows: str, mart: Mart, severity: Severity, rules: Sequence[RowRule]
) -> CheckResult:
    any_broken = " OR ".join(rule.breaks for rule in rules)
    counts = ", ".join(f"count(*) FILTER ({rule.breaks})" for rule in rules)
    total, broken, *each = connection.execute(
        f"SELECT count(*), count(*) FILTER ({any_broken}), {counts} FROM {rows}"
    ).fetchall()[0]
    examples = connection.execute(
        f"SELECT {_grain_text(mart)} FROM {rows} WHERE {any_broken} ORDER BY 1 LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    by_rule = {f"{rule.column}: {rule.name}": count for rule, count in zip(rules, each, strict=True) if count}
    return CheckResult(
        name=_RULE_CHECKS[severity],
        passed=not broken,
        severity=severity,
        description="Every row keeps the rules of its columns.",
        numbers={"rows": total, "rows that break a rule": broken, **by_rule},
        examples=[str(key) for (key,) in examples],
    )


def _named_grain_text(mart: Mart) -> str:
    """Return SQL of a row's grain in which several columns have names, so that the text says which of them is null."""
    if len(mart.spec.grain) == 1:
        return _grain_text(mart)
    parts = (f"{literal(name + ': ')} || coalesce({identifier(name)}::VARCHAR, 'null')" for name in mart.spec.grain)
    return "concat_ws(', ', " + ", ".join(parts) + ")"


def _grain_text(mart: Mart) -> str:
    """Return SQL of a row's grain as one text, for examples."""
    return "concat_ws(', ', " + ", ".join(f"coalesce({identifier(n)}::VARCHAR, 'null')" for n in mart.spec.grain) + ")"
