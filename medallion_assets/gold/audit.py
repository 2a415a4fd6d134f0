"""The audit of a mart's snapshot: its grain, its columns and the rules of its columns.

Belongs here: what is checked and when it fails. Does not belong here: computing and publishing (refresh). A refresh of
some days or keys audits those: the others passed the same audit when they were computed. Where a rule has a pattern,
DuckDB counts them here, because the engines have different regular expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.checks.row_rules import RowRule, column_rules
from medallion_assets.contracts.model import Severity
from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.engines.engine import Engine, Input
from medallion_assets.engines.values_condition import values_condition
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, value_texts, wrong_columns

_BIGINT: Final = parse_type("bigint")
_RULE_CHECKS: Final[Mapping[Severity, str]] = {"block": "rules", "warn": "warning_rules"}


def check_names(mart: Mart) -> list[tuple[str, Severity]]:
    """Return the checks of a mart in the order in which they are shown; `block` if a failure stops the publication."""
    checks: list[tuple[str, Severity]] = [("grain", "block"), ("columns", "block")]
    return checks + [(name, severity) for severity, name in _RULE_CHECKS.items() if _rules(mart, severity)]


def audit_mart(
    engine: Engine, lake: Lake, table: Table, mart: Mart, *, snapshot_id: int | None, only: pa.Array | None
) -> list[CheckResult]:
    """Return the results, in the order of `check_names`, for a snapshot of the mart's table (None: the published one).

    `engine` reads the rows; with `only` those of these days or keys, and all rows if the keys are too many for a
    condition. Raises LakeUnavailable, and what the engine raises.
    """
    snapshot_id = snapshot_id or table.metadata.current_snapshot_id
    rows = _Rows(engine, lake, table, mart, snapshot_id, _where(mart, only))
    checks = [_check_grain(rows), _check_columns(lake, table, mart, snapshot_id)]
    for severity in _RULE_CHECKS:
        if rules := _rules(mart, severity):
            checks.append(_check_rules(rows, severity, rules))
    return checks


@dataclass(frozen=True)
class _Rows:
    """The rows that are audited, in a condition of SQL; the queries are in what all engines have in common."""

    engine: Engine
    lake: Lake
    table: Table
    mart: Mart
    snapshot_id: int | None
    condition: str

    def count(self, *conditions: str, engine: Engine | None = None) -> list[int]:
        """Return how many rows there are, and how many fulfil each condition."""
        names = [f"_n{at}" for at in range(len(conditions))]
        counts = [f"count(CASE WHEN {one} THEN 1 END) AS {name}" for one, name in zip(conditions, names, strict=True)]
        columns = dict.fromkeys(["_rows", *names], _BIGINT)
        found = self._select(f"SELECT {', '.join(['count(*) AS _rows', *counts])} FROM {self._from}", columns, engine)
        return list(found.to_pylist()[0].values())

    def repeated(self) -> tuple[int, list[str]]:
        """Return how many values of the grain several rows have, and some of them."""
        found = self._select(
            f"SELECT {self._grain}, count(*) OVER () AS _found FROM (SELECT {self._grain} FROM {self._from} "
            f"GROUP BY {self._grain} HAVING count(*) > 1) AS _repeated ORDER BY {self._grain} LIMIT {MAX_EXAMPLES}",
            {**self._grain_types, "_found": _BIGINT},
        )
        return (int(found["_found"][0].as_py()) if found.num_rows else 0), self._texts(found)

    def examples(self, condition: str, *, named: bool = False, engine: Engine | None = None) -> list[str]:
        """Return the grain of some rows that fulfil the condition; `named` with the names of several columns."""
        found = self._select(
            f"SELECT {self._grain} FROM {self._from} AND ({condition}) ORDER BY {self._grain} LIMIT {MAX_EXAMPLES}",
            self._grain_types,
            engine,
        )
        return self._texts(found, named=named)

    @property
    def _from(self) -> str:
        return f"{GOLD}.{identifier(self.mart.name)} WHERE {self.condition}"

    @property
    def _grain(self) -> str:
        return ", ".join(map(identifier, self.mart.spec.grain))

    @property
    def _grain_types(self) -> dict[str, ColumnType]:
        return {name: self.mart.columns[name].type for name in self.mart.spec.grain}

    def _texts(self, found: pa.Table, *, named: bool = False) -> list[str]:
        grain = self.mart.spec.grain
        names = [f"{name}: " if named and len(grain) > 1 else "" for name in grain]
        return [
            ", ".join(f"{name}{'null' if text is None else text}" for name, text in zip(names, row, strict=True))
            for row in value_texts(found.select(grain))
        ]

    def _select(self, sql: str, columns: Mapping[str, ColumnType], engine: Engine | None = None) -> pa.Table:
        read = {name: column.type for name, column in self.mart.columns.items()}
        inputs = {f"{GOLD}.{self.mart.name}": Input(read, self.table, self.snapshot_id)}
        return (engine or self.engine).select(sql, inputs, columns)


def _rules(mart: Mart, severity: Severity) -> list[RowRule]:
    return [rule for column in mart.columns.values() for rule in column_rules(column, severity)]


def _where(mart: Mart, only: pa.Array | None) -> str:
    if only is None or mart.spec.partition is None:
        return "TRUE"
    return values_condition(identifier(mart.spec.partition.column), only) or "TRUE"


def _check_grain(rows: _Rows) -> CheckResult:
    grain, never_null = rows.mart.spec.grain, rows.mart.never_null
    null = " OR ".join(f"{identifier(name)} IS NULL" for name in never_null) or "FALSE"
    total, nulls = rows.count(null)
    repeated, examples = rows.repeated()
    if nulls:
        examples += rows.examples(null, named=True)
    return CheckResult(
        name="grain",
        passed=not repeated and not nulls,
        severity="block",
        description=f"No two rows have the same {', '.join(grain)}"
        + (f", and every row has its {', '.join(never_null)}." if never_null else "."),
        numbers={"rows": total, "repeated": repeated, "rows with null in the grain": nulls},
        examples=examples[:MAX_EXAMPLES],
    )


def _check_columns(lake: Lake, table: Table, mart: Mart, snapshot_id: int | None) -> CheckResult:
    with lake.duckdb() as connection:
        wrong = wrong_columns(connection, lake.scan_sql(table, snapshot_id), mart.schema)
    return CheckResult(
        name="columns",
        passed=not wrong,
        severity="block",
        description="The table has the declared columns with the declared types. It may have others, of other writers.",
        numbers={"columns": len(mart.schema), "wrong": len(wrong)},
        examples=wrong[:MAX_EXAMPLES],
    )


def _check_rules(rows: _Rows, severity: Severity, rules: Sequence[RowRule]) -> CheckResult:
    any_broken = " OR ".join(rule.breaks for rule in rules)
    # One engine counts them all, so that a row which breaks two rules counts once.
    engine = None if all(rule.portable for rule in rules) else EmbeddedEngine(rows.lake)
    total, broken, *each = rows.count(any_broken, *(rule.breaks for rule in rules), engine=engine)
    by_rule = {f"{rule.column}: {rule.name}": count for rule, count in zip(rules, each, strict=True) if count}
    return CheckResult(
        name=_RULE_CHECKS[severity],
        passed=not broken,
        severity=severity,
        description="Every row keeps the rules of its columns.",
        numbers={"rows": total, "rows that break a rule": broken, **by_rule},
        examples=rows.examples(any_broken, engine=engine) if broken else (),
    )
