"""The audit of a Silver snapshot: a few checks per table, made from its contract.

Belongs here: what is checked and when it fails. Does not belong here: staging and publishing (batch), changes that
cannot be merged at all (quarantine).

The audit of a batch checks the batch's own rows and keys: the rest of the table passed the same audit before. So it
reads the files that may have the batch's keys, and of the rest only what the metadata says. Only references are looked
at again, once they have reached the age at which a missing one is an error. With `whole` the whole table is checked
(whole_table). Both read the snapshot itself, a batch's through DuckDB.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, cast

import duckdb
import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, ancestors_of

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.checks.row_rules import row_rules
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Rule, Severity
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, timestamp_literal, wrong_columns
from medallion_assets.lake.prune import files_with_null, greatest
from medallion_assets.lake.snapshot import Contents
from medallion_assets.silver.batch_keys import BatchKeys, look_up
from medallion_assets.silver.table import CAPTURED_AT, CHANGED_AT, SILVER
from medallion_assets.silver.whole_table import WholeTable

# The share of a few changes says little: one bad change must not stop the good ones beside it. A batch of fewer changes
# counts as this many.
SMALLEST_BATCH_CHANGES: Final = 100


@dataclass(frozen=True)
class Batch:
    """What is audited of a batch.

    - rows_in ... other_entities: its counts, as in BatchResult; `rows_in` is counted from the Bronze objects themselves
    - rows: the rows that it staged, or merged
    - deletions: the deletions that it staged, or merged, with key and version
    - rejected: the changes that it brings to quarantine, as `decode` returns them
    - merged_into: the snapshot that it was merged into; None if there was none
    - matched: the rows of `merged_into` with the keys of the batch, as `Staged.matched` has them; None if they are not
      known: then the keys are read from all files that may have them
    - more_rows: how many rows more than `merged_into` the audited snapshot has
    """

    rows_in: int
    redelivered: int
    merged: int
    superseded: int
    unchanged: int
    quarantined: int
    dropped: int
    other_entities: int
    rows: pa.Table
    deletions: pa.Table
    rejected: pa.Table
    merged_into: int | None = None
    matched: pa.Table | None = None
    more_rows: int = 0


@dataclass(frozen=True)
class RowCounts:
    """How many live rows a table has, and had at the end of the last day before `day` on which it was published.

    `snapshot_id` is the snapshot that has `rows`; None if that is not known.
    """

    day: date
    rows: int
    day_before: int | None
    snapshot_id: int | None = None

    @classmethod
    def read(cls, text: str | None) -> RowCounts | None:
        """Return the counts from a table property; None if the table has none yet."""
        if text is None:
            return None
        fields = json.loads(text)
        return cls(date.fromisoformat(fields["day"]), fields["rows"], fields["day_before"], fields.get("snapshot_id"))

    @property
    def text(self) -> str:
        """The counts as JSON, for a table property."""
        return json.dumps({**asdict(self), "day": self.day.isoformat()})

    @classmethod
    def after(cls, before: RowCounts | None, *, today: date, rows: int, snapshot_id: int | None = None) -> RowCounts:
        """Return the counts after a snapshot of `rows` live rows is published `today`."""
        if before is None or before.day > today:
            return cls(today, rows, None, snapshot_id)
        return cls(today, rows, before.day_before if before.day == today else before.rows, snapshot_id)


def check_names(contract: Contract) -> list[tuple[str, Severity]]:
    """Return the checks of a contract's table, in the order in which they are shown; `block` if one may stop it."""
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
    """The audit of one snapshot of one table; `run` makes the checks.

    `snapshot_id` None is the published snapshot, `schema` the one that the contract declares. With `whole`, which is
    that snapshot, the whole table is checked. `audited_at` is the time of the last audit whose batch was published;
    None if there is none.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        table: Table,
        *,
        snapshot_id: int | None,
        contract: Contract,
        domain: Domain,
        schema: pa.Schema,
        whole: WholeTable | None,
        now: datetime,
        audited_at: datetime | None = None,
    ) -> None:
        self._connection = connection
        self._lake = lake
        self._table = table
        self._snapshot_id = snapshot_id or table.metadata.current_snapshot_id
        self._snapshot = lake.scan_sql(table, snapshot_id)
        self._contract = contract
        self._domain = domain
        self._schema = schema
        self._whole = whole
        self._now = now
        self._audited_at = audited_at
        self._keys = [identifier(name) for name in contract.key_names]

    def run(self, batch: Batch, before: RowCounts | None) -> tuple[list[CheckResult], RowCounts]:
        """Return the results, in the order of `check_names`, and the row counts to publish with the snapshot."""
        self._connection.register("batch", batch.rows)
        try:
            keys = look_up(
                self._connection,
                self._table,
                self._contents,
                rows=batch.rows,
                deletions=batch.deletions,
                key=self._contract.key_names,
                before=Contents.of(self._table, batch.merged_into),
                matched=batch.matched,
            )
            table = self._read_table(batch, before) if self._whole is None else self._read_whole(self._whole)
            today = self._now.astimezone(UTC).date()
            counts = RowCounts.after(before, today=today, rows=table.rows, snapshot_id=self._snapshot_id)
            checks = [
                self._check_keys(table, keys),
                self._check_columns(),
                self._check_bronze_counts(batch, keys),
                self._check_quarantine_rate(batch),
                *self._check_row_rules(),
                *self._check_references(),
                *self._check_row_count(counts),
                *self._check_freshness(table.newest_change),
            ]
        finally:
            self._connection.unregister("batch")
        return checks, counts

    @cached_property
    def _contents(self) -> Contents:
        return Contents.of(self._table, self._snapshot_id)

    def _read_whole(self, whole: WholeTable) -> _TableKeys:
        rows, null_keys, newest = whole.count()
        repeated, examples = whole.repeated_keys()
        return _TableKeys(rows, null_keys, newest, repeated, examples)

    def _read_table(self, batch: Batch, before: RowCounts | None) -> _TableKeys:
        """Return what the metadata says of the whole table; the table itself is read where that is not enough."""
        schema, files = self._table.schema(), self._contents.data_files()
        rows = self._count_rows(batch, before)
        if rows is None:
            ((rows,),) = self._query(f"SELECT count(*) FROM {self._snapshot}")
        null_keys = 0
        if files_with_null(schema, files, self._contract.key_names):
            null = " OR ".join(f"{key} IS NULL" for key in self._keys)
            ((null_keys,),) = self._query(f"SELECT count(*) FROM {self._snapshot} WHERE {null}")
        newest = None
        if self._contract.rules.freshness is not None:
            newest = self._newest_change()
        return _TableKeys(rows, null_keys, newest, 0, [])

    def _count_rows(self, batch: Batch, before: RowCounts | None) -> int | None:
        """Return how many rows the batch leaves, if they were counted in the snapshot that it was merged into.

        A compaction changes no row. Any other snapshot since then is another writer's.
        """
        if before is None or before.snapshot_id is None:
            return None
        for snapshot in ancestors_of(self._table.snapshot_by_id(batch.merged_into or -1), self._table.metadata):
            if snapshot.snapshot_id == before.snapshot_id:
                return before.rows + batch.more_rows
            if snapshot.summary is None or snapshot.summary.operation is not Operation.REPLACE:
                return None
        return None

    def _newest_change(self) -> datetime | None:
        """Return the greatest time of a change; that of a row which is deleted by now counts, too."""
        known, newest = greatest(self._table.schema(), self._contents.data_files(), CHANGED_AT)
        if known:
            return None if newest is None else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=newest)
        ((found,),) = self._query(f"SELECT max({CHANGED_AT}) FROM {self._snapshot}")
        return None if found is None else cast(datetime, found)

    def _check_keys(self, table: _TableKeys, keys: BatchKeys) -> CheckResult:
        repeated, examples = keys.repeated, keys.examples
        if self._whole is not None:
            repeated, examples = table.repeated, table.examples
        return CheckResult(
            "keys",
            not table.null_keys and not repeated,
            "block",
            f"Every {' + '.join(self._contract.key_names)} is in the table once and is never null.",
            {"rows": table.rows, "null_keys": table.null_keys, "repeated_keys": repeated},
            examples if repeated else (),
        )

    def _check_columns(self) -> CheckResult:
        wrong = wrong_columns(self._connection, self._snapshot, self._schema)
        return CheckResult(
            "columns",
            not wrong,
            "block",
            "The snapshot has the contract's columns with their types. It may have others, of other writers.",
            {"expected": len(self._schema), "different": len(wrong)},
            wrong[:MAX_EXAMPLES],
        )

    def _check_bronze_counts(self, batch: Batch, keys: BatchKeys) -> CheckResult:
        counts = {
            "redelivered": batch.redelivered,
            "merged": batch.merged,
            "superseded": batch.superseded,
            "unchanged": batch.unchanged,
            "quarantined": batch.quarantined,
            "dropped": batch.dropped,
            **({"other_entities": batch.other_entities} if self._contract.where is not None else {}),
        }
        return CheckResult(
            "bronze_counts",
            batch.rows_in == sum(counts.values()) and not keys.missing and not keys.surviving,
            "block",
            f"Rows in = {' + '.join(counts)}. Every key of the batch is in the snapshot with its change or a newer "
            "one, and no key that the batch deletes.",
            {"rows_in": batch.rows_in, **counts, "missing_keys": keys.missing, "surviving_keys": keys.surviving},
        )

    def _check_quarantine_rate(self, batch: Batch) -> CheckResult:
        rule = self._contract.rules.quarantine_share
        changes = batch.rows_in - batch.redelivered - batch.other_entities
        share = Decimal(batch.quarantined) / max(changes, 1)
        return CheckResult(
            "quarantine_rate",
            batch.quarantined <= rule.max * max(changes, SMALLEST_BATCH_CHANGES),
            rule.severity,
            f"At most {rule.max} of the batch's changes break the contract. A batch of fewer than "
            f"{SMALLEST_BATCH_CHANGES} changes counts as that many; a change that was delivered before does not count.",
            {
                "changes": changes,
                "quarantined": batch.quarantined,
                "share": round(share, 6),
                **_count_by_rule(batch.rejected),
            },
            batch.rejected["keys"].slice(0, MAX_EXAMPLES).to_pylist() if batch.rejected.num_rows else (),
        )

    def _check_row_rules(self) -> list[CheckResult]:
        rules = row_rules(self._contract, "warn")
        if not rules:
            return []
        if self._whole is not None:
            rows, broken, examples = self._whole.broken_rules(rules)
        else:
            counts = ", ".join(f"count(*) FILTER ({rule.breaks})" for rule in rules)
            any_broken = " OR ".join(f"({rule.breaks})" for rule in rules)
            ((rows, examples, *broken),) = self._query(
                f"SELECT count(*), {self._examples(any_broken)}, {counts} FROM batch"
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
            missing = self._missing_references(column, rule)
            numbers[f"{column} without {rule.references}"] = missing.failed + missing.failed_later
            numbers[f"{column} pending in {rule.references}"] = missing.pending
            examples += [key for key in missing.examples if key not in examples]
            if missing.failed:
                failed.add(rule.severity)
            if missing.failed_later:
                failed.add("warn")
        return [
            CheckResult(
                "references",
                not failed,
                "block" if "block" in failed else "warn",
                f"Rows {self._scope} refer only to rows that exist. For its grace period after a change, a row may "
                "wait for the row that it refers to.",
                numbers,
                examples[:MAX_EXAMPLES],
            )
        ]

    def _missing_references(self, column: str, rule: Rule) -> _MissingReferences:
        """Return how many rows refer to a row that the referenced table, as it is published, does not have.

        A row of the published table that was pending when it was merged is judged by the first audit after its grace
        period. It stops no batch, because it is published already.
        """
        grace_from = self._now - rule.grace
        if self._whole is not None:
            failed, pending, examples = self._whole.missing_references(column, rule, grace_from=grace_from)
            return _MissingReferences(failed, 0, pending, examples)
        keys, name = ", ".join(self._keys), identifier(column)
        refers = f"unnest({name})" if self._contract.by_name[column].type.element is not None else name
        young = f"coalesce({CHANGED_AT}, {CAPTURED_AT}) > {timestamp_literal(grace_from)}"
        scope = f"SELECT {keys}, {refers} AS _refers, {young} AS _young, FALSE AS _published FROM batch"
        # All batches of one run have one time: only the first of them reads the table.
        if self._audited_at is not None and self._audited_at < self._now:
            since, until = (timestamp_literal(time) for time in (self._audited_at - rule.grace, grace_from))
            # Two conditions on one column each, so that files of other times are not read.
            for time in (CHANGED_AT, f"{CHANGED_AT} IS NULL AND {CAPTURED_AT}"):
                scope += f"""
                    UNION ALL SELECT {keys}, {refers}, FALSE, TRUE FROM {self._snapshot} ANTI JOIN batch USING ({keys})
                    WHERE {time} > {since} AND {time.rpartition(" ")[2]} <= {until}"""
        unknown = self._without_existing(self._domain.by_name[str(rule.references)], scope)
        if not unknown.num_rows:
            return _MissingReferences(0, 0, 0, [])
        self._connection.register("unknown", unknown)
        ((failed, failed_later, pending, examples),) = self._query(f"""
            WITH missing AS (SELECT DISTINCT {keys}, _young, _published
                FROM ({scope}) SEMI JOIN unknown USING (_refers))
            SELECT count(*) FILTER (NOT _young AND NOT _published), count(*) FILTER (NOT _young AND _published),
                count(*) FILTER (_young), {self._examples("NOT _young")} FROM missing""")
        self._connection.unregister("unknown")
        return _MissingReferences(failed, failed_later, pending, examples or [])

    def _without_existing(self, referenced: Contract, scope: str) -> pa.Table:
        """Return each `_refers` of `scope` that the referenced table does not have."""
        table, existing = self._lake.find(SILVER, referenced.lake_name), "SELECT NULL AS existing WHERE FALSE"
        if table is not None:
            key = identifier(referenced.key_names[0])
            existing = f"SELECT {key} AS existing FROM {self._lake.scan_sql(table, None)}"
        return self._connection.execute(f"""
            FROM (SELECT DISTINCT _refers FROM ({scope}) WHERE _refers IS NOT NULL)
                ANTI JOIN ({existing}) ON existing = _refers""").to_arrow_table()

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
                    "age_seconds": "none" if age is None else int(age.total_seconds()),
                },
            )
        ]

    @property
    def _scope(self) -> str:
        return "of the batch" if self._whole is None else "of the table"

    def _examples(self, condition: str) -> str:
        """Return SQL of up to ten keys, as text, of the rows for which `condition` is true; null if there are none."""
        shown = f"concat_ws('/', {', '.join(f'{key}::VARCHAR' for key in self._keys)})"
        return f"min({shown}, {MAX_EXAMPLES}) FILTER ({condition})"

    def _query(self, sql: str) -> list[Any]:
        return self._connection.execute(sql).fetchall()


@dataclass(frozen=True)
class _TableKeys:
    """The rows and keys of a whole table.

    - rows, null_keys: how many rows it has, and how many of them have a null in their key
    - newest_change: the greatest `_changed_at`; None if there is none
    - repeated: keys that it has twice, and some of them; of a batch's audit, none
    """

    rows: int
    null_keys: int
    newest_change: datetime | None
    repeated: int
    examples: list[str]


@dataclass(frozen=True)
class _MissingReferences:
    """Rows that refer to a missing row.

    - failed: rows of the audited batch or table, older than the grace period
    - failed_later: published rows that were pending at the last audit, and have reached the end of the grace period
    - pending: rows within the grace period
    - examples: keys of rows that failed
    """

    failed: int
    failed_later: int
    pending: int
    examples: list[str]


def _count_by_rule(rejected: pa.Table) -> dict[str, int]:
    """Return how many changes each rule of each column rejected, at most ten rules; without values."""
    reasons = rejected.select(["column_name", "reason"]).to_pylist() if rejected.num_rows else []
    rules = (f"{one['column_name'] or 'row'}: {one['reason'].partition(', saw ')[0]}" for one in reasons)
    return dict(Counter(rules).most_common(MAX_EXAMPLES))


def _references(contract: Contract) -> list[tuple[str, Rule]]:
    return [
        (column.name, rule)
        for column in contract.columns.values()
        for rule in column.rules
        if rule.kind == "references"
    ]
