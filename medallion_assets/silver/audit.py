"""The audit of a staged Silver snapshot: a few checks per table, from the contract, before anybody reads it.

Belongs here: what is checked and when it fails. Does not belong here: staging and publishing (silver), rows that cannot
be merged at all (quarantine).

A micro-batch is audited by its own rows and keys: the table passed the same audit before it. A whole day audits the
whole table. Both read the staged snapshot itself, through DuckDB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.checks.row_rules import row_rules
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Rule, Severity
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier

# A share of a handful of rows says little: one bad row must not hold its neighbours. A smaller batch counts as
# this many rows.
SMALLEST_BATCH_ROWS = 100


@dataclass(frozen=True)
class Batch:
    """What a batch did, in rows, and the rows it staged. `rows_in` is counted from the Bronze files themselves."""

    rows_in: int
    merged: int
    superseded: int
    unchanged: int
    quarantined: int
    dropped: int
    rows: pa.Table
    rejected_keys: Sequence[str]
    rejected_by_rule: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RowCounts:
    """How many live rows a table has, and had at the end of the last day before `day` on which it was published."""

    day: date
    rows: int
    day_before: int | None

    @classmethod
    def read(cls, text: str | None) -> RowCounts | None:
        """The counts that `text` wrote; None when there are none yet."""
        if text is None:
            return None
        fields = json.loads(text)
        return cls(date.fromisoformat(fields["day"]), fields["rows"], fields["day_before"])

    @property
    def text(self) -> str:
        """The counts as JSON, for a table property."""
        return json.dumps({"day": self.day.isoformat(), "rows": self.rows, "day_before": self.day_before})

    @classmethod
    def after(cls, before: RowCounts | None, *, today: date, rows: int) -> RowCounts:
        """The counts once a snapshot of `rows` live rows is published `today`."""
        if before is None or before.day > today:
            return cls(today, rows, None)
        return cls(today, rows, before.day_before if before.day == today else before.rows)


def check_names(contract: Contract) -> list[tuple[str, Severity]]:
    """The checks of a contract's table, in the order they are shown; `block` if a failure may hold a batch."""
    checks: list[tuple[str, Severity]] = [("keys", "block"), ("columns", "block"), ("bronze_counts", "block")]
    checks.append(("quarantine_rate", contract.rules.quarantine_share.severity))
    if row_rules(contract, "warn"):
        checks.append(("row_rules", "warn"))
    if rules := [rule for _, rule in _references(contract)]:
        checks.append(("references", "block" if any(rule.severity == "block" for rule in rules) else "warn"))
    if contract.rules.row_count:
        checks.append(("row_count", contract.rules.row_count.severity))
    if contract.rules.freshness:
        checks.append(("freshness", contract.rules.freshness.severity))
    return checks


class Audit:
    """The audit of one staged snapshot of one table; `run` makes the checks."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        table: Table,
        *,
        snapshot_id: int | None,
        contract: Contract,
        domain: Domain,
        types: dict[str, str],
        whole: bool,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._lake = lake
        self._staged = lake.scan_sql(table, snapshot_id)
        self._contract = contract
        self._domain = domain
        self._types = types
        self._whole = whole
        self._now = now
        self._keys = [identifier(name) for name in contract.key_names]

    def run(self, batch: Batch, before: RowCounts | None) -> tuple[list[CheckResult], RowCounts]:
        """The results, as `check_names` lists them, and the row counts to publish with the snapshot."""
        self._connection.register("batch", batch.rows)
        try:
            nulls = " OR ".join(f"{key} IS NULL" for key in self._keys)
            ((rows, live, keyless, newest),) = self._query(f"""
                SELECT count(*), count(*) FILTER (NOT _deleted), count(*) FILTER ({nulls}), max(_changed_at)
                FROM {self._staged}""")
            counts = RowCounts.after(before, today=self._now.astimezone(UTC).date(), rows=live)
            missing, repeated, examples = self._found(batch)
            checks = [
                self._check_keys(rows, keyless, repeated, examples),
                self._check_columns(),
                self._check_bronze_counts(batch, missing),
                self._check_quarantine(batch),
                *self._check_row_rules(),
                *self._check_references(),
                *self._check_row_count(counts),
                *self._check_freshness(newest),
            ]
        finally:
            self._connection.unregister("batch")
        return checks, counts

    def _found(self, batch: Batch) -> tuple[int, int, list[str]]:
        """How many of the batch's keys the snapshot lacks or has older, how many keys it has twice, and examples."""
        if batch.rows.num_rows:
            keys = ", ".join(self._keys)
            ((missing, repeated, examples),) = self._query(f"""
                WITH there AS (SELECT {keys}, count(*) AS times, max(_sequence_number) AS newest
                    FROM (SELECT {keys}, _sequence_number FROM {self._staged}) SEMI JOIN batch USING ({keys})
                    GROUP BY {keys}),
                found AS (SELECT *, times IS NULL OR newest < _sequence_number AS missing
                    FROM batch LEFT JOIN there USING ({keys}))
                SELECT count(*) FILTER (missing), count(*) FILTER (times > 1),
                    {self._examples("missing OR times > 1")} FROM found""")
        else:
            missing, repeated, examples = 0, 0, []
        if self._whole:
            keys = ", ".join(self._keys)
            ((repeated, examples),) = self._query(f"""
                SELECT count(*), {self._examples("TRUE")}
                FROM (SELECT {keys} FROM {self._staged} GROUP BY {keys} HAVING count(*) > 1)""")
        return missing, repeated, examples or []

    def _check_keys(self, rows: int, keyless: int, repeated: int, examples: list[str]) -> CheckResult:
        return CheckResult(
            "keys",
            not keyless and not repeated,
            "block",
            f"Each {' + '.join(self._contract.key_names)} stands once and is never null.",
            {"rows": rows, "null_keys": keyless, "repeated_keys": repeated},
            examples if repeated else (),
        )

    def _check_columns(self) -> CheckResult:
        there = {name: kind for name, kind, *_ in self._query(f"DESCRIBE SELECT * FROM {self._staged}")}
        wrong = [
            f"{name}: expected {self._types.get(name, 'no such column')}, is {there.get(name, 'missing')}"
            for name in dict.fromkeys([*self._types, *there])
            if self._types.get(name) != there.get(name)
        ]
        return CheckResult(
            "columns",
            not wrong,
            "block",
            "The snapshot has exactly the contract's columns and types.",
            {"expected": len(self._types), "found": len(there), "different": len(wrong)},
            wrong[:MAX_EXAMPLES],
        )

    def _check_bronze_counts(self, batch: Batch, missing: int) -> CheckResult:
        accounted = batch.merged + batch.superseded + batch.unchanged + batch.quarantined + batch.dropped
        return CheckResult(
            "bronze_counts",
            batch.rows_in == accounted and not missing,
            "block",
            "Rows in = merged + superseded + unchanged + quarantined + dropped, and every key of the batch is in the "
            "snapshot with its change or a newer one.",
            {
                "rows_in": batch.rows_in,
                "merged": batch.merged,
                "superseded": batch.superseded,
                "unchanged": batch.unchanged,
                "quarantined": batch.quarantined,
                "dropped": batch.dropped,
                "missing_keys": missing,
            },
        )

    def _check_quarantine(self, batch: Batch) -> CheckResult:
        rule = self._contract.rules.quarantine_share
        allowed = rule.max * max(batch.rows_in, SMALLEST_BATCH_ROWS)
        share = Decimal(batch.quarantined) / max(batch.rows_in, 1)
        return CheckResult(
            "quarantine_rate",
            batch.quarantined <= allowed,
            rule.severity,
            f"At most {rule.max} of the rows break the contract; a batch of less than {SMALLEST_BATCH_ROWS} rows "
            "counts as that many.",
            {
                "rows_in": batch.rows_in,
                "quarantined": batch.quarantined,
                "share": round(share, 6),
                **batch.rejected_by_rule,
            },
            batch.rejected_keys[:MAX_EXAMPLES],
        )

    def _check_row_rules(self) -> list[CheckResult]:
        rules = row_rules(self._contract, "warn")
        if not rules:
            return []
        counts = ", ".join(f"count(*) FILTER ({rule.breaks})" for rule in rules)
        anything = " OR ".join(f"({rule.breaks})" for rule in rules)
        ((rows, examples, *broken),) = self._query(
            f"SELECT count(*), {self._examples(anything)}, {counts} FROM {self._rows()} WHERE NOT _deleted"
        )
        numbers = {f"{rule.column}: {rule.name}": count for rule, count in zip(rules, broken, strict=True)}
        return [
            CheckResult(
                "row_rules",
                not any(broken),
                "warn",
                f"Rows {self._scope} keep the rules that only warn.",
                {"rows": rows, **numbers},
                examples or (),
            )
        ]

    def _check_references(self) -> list[CheckResult]:
        rules = _references(self._contract)
        if not rules:
            return []
        numbers: dict[str, int | Decimal | str] = {}
        examples: list[str] = []
        failed: set[Severity] = set()
        for column, rule in rules:
            orphans, some = self._orphans(column, str(rule.references))
            numbers[f"{column} without {rule.references}"] = orphans
            examples += [key for key in some if key not in examples]
            if orphans:
                failed.add(rule.severity)
        return [
            CheckResult(
                "references",
                not failed,
                "block" if "block" in failed else "warn",
                f"What rows {self._scope} refer to is there.",
                numbers,
                examples[:MAX_EXAMPLES],
            )
        ]

    def _orphans(self, column: str, referenced: str) -> tuple[int, list[str]]:
        """How many rows refer to something that is not in the referenced table as published, and their keys."""
        keys, name = ", ".join(self._keys), identifier(column)
        there = identifier(self._domain.by_name[referenced].key_names[0])
        nested = self._contract.by_name[column].type.element is not None
        pairs = (
            f"SELECT DISTINCT {keys}, {f'unnest({name})' if nested else name} AS refers "
            f"FROM {self._rows()} WHERE NOT _deleted"
        )
        table = self._lake.find("silver", referenced)
        known = "SELECT NULL AS there WHERE FALSE"
        if table is not None:
            known = f"SELECT {there} AS there FROM {self._lake.scan_sql(table, None)} WHERE NOT _deleted"
        ((orphans, examples),) = self._query(f"""
            WITH pairs AS MATERIALIZED ({pairs}),
            known AS (SELECT there FROM ({known}) WHERE there IN (SELECT refers FROM pairs))
            SELECT count(*), {self._examples("TRUE")} FROM (SELECT DISTINCT {keys} FROM pairs
                WHERE refers IS NOT NULL AND refers NOT IN (SELECT there FROM known))""")
        return orphans, examples or []

    def _check_row_count(self, counts: RowCounts) -> list[CheckResult]:
        rule = self._contract.rules.row_count
        if rule is None:
            return []
        before = counts.day_before
        return [
            CheckResult(
                "row_count",
                before is None or counts.rows >= before * (1 - rule.max_drop),
                rule.severity,
                f"The table has lost at most {rule.max_drop} of its rows since the day before.",
                {"rows": counts.rows, "day_before": "unknown" if before is None else before},
            )
        ]

    def _check_freshness(self, newest: datetime | None) -> list[CheckResult]:
        rule = self._contract.rules.freshness
        if rule is None:
            return []
        age = None if newest is None else self._now - newest
        return [
            CheckResult(
                "freshness",
                age is None or age <= timedelta(minutes=rule.max_minutes),
                rule.severity,
                f"The newest change is at most {rule.max_minutes} minutes old.",
                {
                    "newest_change": "none" if newest is None else newest.isoformat(),
                    "age_s": "none" if age is None else int(age.total_seconds()),
                },
            )
        ]

    @property
    def _scope(self) -> str:
        return "of the table" if self._whole else "of the batch"

    def _rows(self) -> str:
        return self._staged if self._whole else "batch"

    def _examples(self, which: str) -> str:
        """SQL: up to ten keys, as text, of the rows that `which` is true for; null if there is none."""
        shown = f"concat_ws('/', {', '.join(f'{key}::VARCHAR' for key in self._keys)})"
        return f"min({shown}, {MAX_EXAMPLES}) FILTER ({which})"

    def _query(self, sql: str) -> list[Any]:
        return self._connection.execute(sql).fetchall()


def _references(contract: Contract) -> list[tuple[str, Rule]]:
    return [
        (column.name, rule)
        for column in contract.columns.values()
        for rule in column.rules
        if rule.kind == "references"
    ]
