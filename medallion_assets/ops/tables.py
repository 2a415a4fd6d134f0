"""The registry of the tables `ops.*`: their columns, keys and layout.

Belongs here: one OpsTable per table, and what each of its columns means. Does not belong here: which rows are written
(ledger, health, reconciliation, repair), writing them (upsert). Imports no Arrow until a schema is asked for, because
the definitions that list these tables load without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

    from medallion_assets.lake.catalog import Lake

OPS: Final = "ops"

Type = Literal["string", "strings", "integer", "double", "boolean", "time"]


@dataclass(frozen=True)
class OpsColumn:
    """One column. A `time` is a timestamp in UTC with microseconds, `strings` a list."""

    name: str
    type: Type
    meaning: str
    required: bool = False


@dataclass(frozen=True)
class OpsTable:
    """One table of `ops`. A row replaces the row with the same `key`, unless that is greater in `order_by`.

    `partition_by` has (column, Iceberg transform) pairs.
    """

    name: str
    key: tuple[str, ...]
    order_by: str
    columns: tuple[OpsColumn, ...]
    partition_by: tuple[tuple[str, str], ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the table's rows."""
        import pyarrow as pa

        types = {
            "string": pa.string(),
            "strings": pa.list_(pa.string()),
            "integer": pa.int64(),
            "double": pa.float64(),
            "boolean": pa.bool_(),
            "time": pa.timestamp("us", tz="UTC"),
        }
        return pa.schema(
            [pa.field(column.name, types[column.type], nullable=not column.required) for column in self.columns]
        )

    def find(self, lake: Lake) -> Table | None:
        """Return the table, or None before its first row. Raises LakeUnavailable."""
        return lake.find(OPS, self.name)


def _required(name: str, type_: Type, meaning: str) -> OpsColumn:
    return OpsColumn(name, type_, meaning, required=True)


LEDGER: Final = OpsTable(
    "ledger",
    # Each contract of a DynamoDB table has a row of an object.
    key=("table_name", "object"),
    order_by="recorded_at",
    # Object names begin with the time: with one file per table, bounds are a span of time and a merge reads the newest.
    partition_by=(("table_name", "identity"),),
    columns=(
        _required("object", "string", "path of the Bronze object"),
        _required("table_name", "string", "lake name of its table"),
        _required("captured_at", "time", "when it was captured"),
        OpsColumn("rows", "integer", "changes in it"),
        OpsColumn("first_sequence", "string", "lowest sequence number in it, padded to 40 digits"),
        OpsColumn("last_sequence", "string", "highest sequence number in it, padded to 40 digits"),
        OpsColumn("newest_change", "time", "time of the newest change in it, in whole seconds"),
        OpsColumn("bytes", "integer", "size of the object"),
        OpsColumn("content_hash", "string", "hash of its rows, as its name has it"),
        OpsColumn("tag", "string", "the store's tag (ETag) of its bytes when it was recorded"),
        OpsColumn("stream_arn", "string", "stream of the shard that it covers a range of; null without a range"),
        OpsColumn("shard_id", "string", "that shard"),
        OpsColumn("after", "string", "the range begins after this sequence number, padded to 40 digits"),
        OpsColumn("up_to", "string", "the range ends with this sequence number, padded to 40 digits"),
        OpsColumn("dead_lettered", "integer", "changes of the range that were set aside as dead letters"),
        OpsColumn("snapshot_id", "integer", "first Silver snapshot that is known to contain it; later ones do, too"),
        OpsColumn("run_id", "string", "run that published that snapshot"),
        _required("state", "string", "`present` as recorded, `missing` from Bronze, `changed` since it was recorded"),
        _required("recorded_at", "time", "when this row was written"),
    ),
)

GAPS: Final = OpsTable(
    "gaps",
    key=("gap",),
    order_by="detected_at",
    columns=(
        _required("gap", "string", "`<table>/<kind>/<subject>`: a gap that is detected twice has one row"),
        _required("table_name", "string", "lake name of the table that lacks changes"),
        _required("kind", "string", "what kind of gap it is, as in ledger.gap"),
        OpsColumn("since", "time", "the table was complete up to then; null if it never was"),
        _required("detected_at", "time", "when it was detected"),
        _required("reason", "string", "what is missing: object, or shard and range; never a value"),
        _required("remedy", "string", "what to do"),
        OpsColumn("closed_at", "time", "when it was closed; null while it is open"),
        OpsColumn("closed_by", "string", "run that closed it"),
    ),
)

HEALTH: Final = OpsTable(
    "health",
    # The key begins with the time, so that a merge into a long table reads none of its files.
    key=("id",),
    order_by="observed_at",
    partition_by=(("observed_at", "month"),),
    columns=(
        _required("id", "string", "`<observed_at>/<layer>/<table_name>`"),
        _required("observed_at", "time", "when the state was read; counts start at the previous observation"),
        _required("layer", "string", "`bronze`, `silver` or `gold`"),
        _required("table_name", "string", "lake name of the table or mart"),
        OpsColumn("last_captured_at", "time", "capture time of the newest Bronze object in it"),
        OpsColumn("contains_to", "time", "every object that was captured up to then is in it"),
        OpsColumn("published_at", "time", "when its rows changed last"),
        OpsColumn("complete_to", "time", "every change of the stream up to then is in it; null if that is not known"),
        OpsColumn("row_count", "integer", "rows of the table or mart, without tombstones"),
        OpsColumn("pending_objects", "integer", "Bronze objects that are not in the Silver table yet"),
        OpsColumn(
            "pending_tables", "integer", "Inputs, Silver tables and marts, that changed after the mart was computed"
        ),
        OpsColumn("quarantined_rows", "integer", "open rows of the quarantine table"),
        OpsColumn("dead_letters", "integer", "open gaps of changes that were set aside as dead letters"),
        OpsColumn("parked_records", "integer", "dead letters that wait for a redrive"),
        OpsColumn("parked_batches", "integer", "batches that Lambda gave up and that wait for a redrive"),
        OpsColumn("parked_since", "time", "when the oldest of both was parked; null if none is"),
        OpsColumn("open_gaps", "integer", "gaps by which changes are missing from it"),
        OpsColumn("verified_at", "time", "when it was last compared with its source"),
        OpsColumn("differing_rows", "integer", "rows that differed then"),
        _required("succeeded_steps", "integer", "steps of runs on it that succeeded"),
        _required("failed_steps", "integer", "steps of runs on it that failed"),
        _required("read_changes", "integer", "changes that these steps read (of a mart: rows that they computed)"),
        _required("merged_rows", "integer", "rows that they merged"),
        _required("newly_quarantined_rows", "integer", "changes that they put into quarantine"),
        OpsColumn("max_latency_ms", "integer", "longest time from the oldest change of a run to its publication here"),
        OpsColumn("last_run_id", "string", "run of the last of these steps"),
    ),
)

CHECKS: Final = OpsTable(
    "checks",
    key=("id",),
    order_by="observed_at",
    partition_by=(("observed_at", "month"),),
    columns=(
        _required("id", "string", "`<observed_at>/<layer>/<table_name>/<check_name>`"),
        _required("observed_at", "time", "when the row was made; counts start at the previous observation"),
        _required("layer", "string", "`silver` or `gold`"),
        _required("table_name", "string", "lake name of the table or mart"),
        _required("check_name", "string", "name of the check"),
        _required("blocking", "boolean", "whether a failure stops the publication"),
        _required("passed", "boolean", "whether the last evaluation passed"),
        _required("evaluations", "integer", "how often it was evaluated"),
        _required("failures", "integer", "how often it failed"),
        OpsColumn("numbers", "string", "JSON: the counts of the last failure, or of the last evaluation without one"),
        _required("run_id", "string", "run of that evaluation"),
    ),
)

RECONCILIATIONS: Final = OpsTable(
    "reconciliations",
    key=("reconciliation",),
    order_by="ended_at",
    columns=(
        _required("reconciliation", "string", "`<run_id>/<table_name>`"),
        _required("run_id", "string", "run or command that compared"),
        _required("table_name", "string", "lake name of the table"),
        _required("started_at", "time", "when the comparison began"),
        _required("ended_at", "time", "when it ended"),
        OpsColumn("snapshot_id", "integer", "Silver snapshot that was compared; null if there was none"),
        _required("source_rows", "integer", "items that the scan of the source read"),
        _required("lake_rows", "integer", "rows of Silver, without tombstones"),
        _required("equal_rows", "integer", "keys whose item and row are equal"),
        _required("missing_rows", "integer", "keys that only the source has"),
        _required("extra_rows", "integer", "keys that only the lake has"),
        _required("different_rows", "integer", "keys whose item and row differ"),
        _required("quarantined_rows", "integer", "keys whose newest change is in quarantine; not compared"),
        _required("in_flight_rows", "integer", "keys that changed during the comparison"),
        _required("unconfirmed_rows", "integer", "differences that may be changes which are not merged yet"),
        OpsColumn("behind", "string", "what was not merged, if there are unconfirmed rows"),
        _required("read_units", "double", "read capacity units that the scan consumed"),
    ),
)

REPAIRS: Final = OpsTable(
    "repairs",
    key=("event_id",),
    order_by="repaired_at",
    columns=(
        _required("event_id", "string", "`_event_id` of the row in Silver once the amendment is merged"),
        _required("run_id", "string", "repair that wrote it"),
        _required("repaired_at", "time", "when this row was written, before the amendment"),
        _required("table_name", "string", "lake name of the table"),
        _required("keys", "string", "the key as DynamoDB JSON"),
        _required("kind", "string", "`missing`, `extra` or `different`"),
        OpsColumn("column_names", "strings", "columns that differed"),
        OpsColumn("before", "string", "Silver's row as JSON; null if it had none"),
        OpsColumn("after", "string", "the item as DynamoDB JSON, without dropped attributes; null if there is none"),
        OpsColumn("amended_sequence", "string", "newest known change of the key, which the amendment follows"),
        _required("sequence_number", "string", "`_sequence_number` of the row in Silver once the amendment is merged"),
        _required("object", "string", "Bronze object with the amendment; without it the amendment was never made"),
        _required("reason", "string", "why the repair was started"),
    ),
)

BACKFILLS: Final = OpsTable(
    "backfills",
    key=("backfill",),
    order_by="ended_at",
    columns=(
        _required("backfill", "string", "lake name of the table, and the id of the export or scan"),
        _required("table_name", "string", "lake name of the table"),
        _required("source", "string", "`export` or `scan`"),
        _required("snapshot_at", "time", "the point in time of the export; when the scan began"),
        _required("started_at", "time", "when its last run started"),
        _required("ended_at", "time", "when that run ended"),
        _required("items", "integer", "items of the snapshot that are in Bronze"),
        _required("objects", "integer", "Bronze objects with these items"),
        _required("merged", "boolean", "whether Silver had published all of them when the run ended"),
        _required("stream_arn", "string", "stream of the table, whose changes are newer than the snapshot's rows"),
    ),
)

DROPPED_FILES: Final = OpsTable(
    "dropped_files",
    key=("file",),
    order_by="recorded_at",
    columns=(
        _required("file", "string", "`<table_name>/<hash>/<name>`"),
        _required("table_name", "string", "lake name of the table"),
        _required("name", "string", "path of the file below its table's folder"),
        _required("hash", "string", "SHA-256 of its bytes; `_event_id` of its rows has the first 16 digits"),
        _required("bytes", "integer", "its size"),
        _required("modified_at", "time", "when it was last written; its rows are of that time"),
        _required(
            "state",
            "string",
            "`taking`: its rows go to Bronze; `taken`: they are there; `repeated`: the same bytes were taken before; "
            "`rejected`: none of its rows was taken",
        ),
        OpsColumn("rows", "integer", "rows in it; null for a repeated one, which is not read"),
        OpsColumn("faults", "integer", "rows or parts of it that do not fit the contract"),
        OpsColumn("silver_snapshot_id", "integer", "`newer`: the Silver snapshot whose changes its rows follow"),
        OpsColumn("deleted_snapshot_id", "integer", "`newer`: the snapshot of deleted keys that its rows follow"),
        OpsColumn("moved_to", "string", "where it is; of a rejected one, the report is beside it"),
        _required("run_id", "string", "run that did it"),
        _required("recorded_at", "time", "when this row was written"),
    ),
)

OPS_TABLES: Final = (LEDGER, GAPS, HEALTH, CHECKS, RECONCILIATIONS, REPAIRS, BACKFILLS, DROPPED_FILES)
