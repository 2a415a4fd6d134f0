"""A table that is made again beside the old one, and takes its place in one commit.

The new table has an entry of its own in the catalog until then, so that it is filled like any other table. Its data
files are below the old table's location: they belong to the old table as soon as that refers to them. The swap is what
Iceberg calls to replace a table: one commit of the old table's entry sets the columns, the partition and a snapshot
without a parent. So a reader sees all old rows or all new ones, older snapshots are still read with their own columns,
and what follows the table's changes finds no way back from the new snapshot: everything may have changed.

A column that has the same name and type keeps its field id; a column that replaces one of another type has a new id.

Belongs here: the columns of the new table, and the swap. Does not belong here: its rows (silver), when it is complete
(repair).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AssertLastAssignedFieldId,
    SetCurrentSchemaUpdate,
    SetDefaultSpecUpdate,
    SetPropertiesUpdate,
    TableUpdate,
    update_table_metadata,
)
from pyiceberg.types import NestedField

from medallion_assets.errors import CommitConflict
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import commit, make_main, stage_snapshot
from medallion_assets.lake.file_io import delete_files
from medallion_assets.lake.maintenance import ABANDONED, files_below
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.schema import iceberg_schema, may_become, partition_spec, stored_types
from medallion_assets.lake.snapshot import Contents

PREFIX: Final = "_rebuild_"
"""What the names of tables begin with that are being made. No contract's table and no mart has such a name."""

_OURS: Final = "medallion."
_FIELD_IDS: Final = "medallion.field-ids-after"
"""The table property of a new table: the last field id of the table that it will replace."""


@translate_outages()
def create_replacement(
    lake: Lake,
    table: Table,
    name: str,
    schema: pa.Schema,
    *,
    key: Sequence[str],
    partition_by: Sequence[tuple[str, str]],
    renamed: Mapping[str, str],
) -> Table:
    """Create an empty table with this schema that can take the place of `table`; `renamed` as in Lake.ensure.

    Raises SchemaMismatch, LakeUnavailable, and CommitConflict if another process makes the same table.
    """
    namespace, _ = table.name()
    wanted = _with_known_ids(table, iceberg_schema(schema, key), renamed)
    properties = {
        TableProperties.WRITE_DATA_PATH: f"{table.location().rstrip('/')}/data",
        _FIELD_IDS: str(table.metadata.last_column_id),
    }
    created = lake.ensure(namespace, name, schema, key=key, properties=properties)
    updates: list[TableUpdate] = [
        AddSchemaUpdate(schema_=wanted.model_copy(update={"schema_id": 1})),
        SetCurrentSchemaUpdate(schema_id=1),
    ]
    if partition_by:
        spec = partition_spec(wanted, partition_by)
        updates += [
            AddPartitionSpecUpdate(spec=PartitionSpec(*spec.fields, spec_id=1)),
            SetDefaultSpecUpdate(spec_id=1),
        ]
    commit(created, tuple(updates), expected_main=None, landed=lambda now: now.current_schema_id == 1)
    return created


@translate_outages()
def swap(lake: Lake, table: Table, replacement: Table) -> None:
    """Give `table` the rows, columns and partition of `replacement` in one commit, with our properties of it.

    The new snapshot has our properties of the replacement's. Raises CommitConflict if rows or columns of `table`
    changed since it was loaded, or if it took so long that the new files may have been removed as a dead writer's.
    """
    name = ".".join(table.name())
    if int(replacement.properties[_FIELD_IDS]) != table.metadata.last_column_id:
        raise CommitConflict(f"{name} got columns while it was made again. Make it again.")
    snapshots = replacement.metadata.snapshots
    if snapshots and _age(min(one.timestamp_ms for one in snapshots)) > ABANDONED:
        raise CommitConflict(f"{name} took more than {ABANDONED} to be made again, so its first files may be gone.")
    layout, spec_id = _layout(table, replacement)
    metadata = update_table_metadata(table.metadata, layout)
    laid_out = Table(table.name(), metadata, table.metadata_location, table.io, table.catalog)
    contents = Contents.of(replacement, replacement.metadata.current_snapshot_id)
    files = [*contents.data_files(), *contents.delete_files()]
    for file in files:
        file.spec_id = spec_id
    made = replacement.current_snapshot()
    summary = made.summary.additional_properties if made is not None and made.summary is not None else {}
    staged = stage_snapshot(
        laid_out,
        Contents([]),
        operation=Operation.OVERWRITE,
        added=files,
        properties=_ours(summary),
        replaces=True,
    )
    if staged.snapshot is None:
        raise AssertionError("a staged snapshot is there")
    snapshot_id = staged.snapshot.snapshot_id
    commit(
        table,
        (*layout, *make_main(staged.snapshot), SetPropertiesUpdate(updates=_ours(replacement.properties))),
        expected_main=table.metadata.current_snapshot_id,
        further=(AssertLastAssignedFieldId(last_assigned_field_id=table.metadata.last_column_id),),
        landed=lambda now: any(one.snapshot_id == snapshot_id for one in now.snapshots),
    )


@translate_outages()
def remove_replacement(lake: Lake, namespace: str, name: str) -> None:
    """Remove a table that is not needed any more, with the files below its location; data files are elsewhere.

    Raises LakeUnavailable.
    """
    table = lake.find(namespace, name)
    if table is not None:
        lake.drop(namespace, name)
        delete_files(table.io, files_below(table))


def _ours(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if name.startswith(_OURS) and name != _FIELD_IDS}


def _age(timestamp_ms: int) -> dt.timedelta:
    return dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(timestamp_ms / 1000, dt.UTC)


def _with_known_ids(table: Table, wanted: Schema, renamed: Mapping[str, str]) -> Schema:
    """Return the schema with the table's field ids where a column keeps its values, and new ids elsewhere."""
    present = table.schema()
    counter = itertools.count(table.metadata.last_column_id + 1)
    fresh = assign_fresh_schema_ids(wanted, lambda: next(counter))
    before, after = stored_types(present), stored_types(wanted)
    fields: list[NestedField] = []
    for field in fresh.fields:
        name = field.name if field.name in before else renamed.get(field.name, field.name)
        known = present.find_field(name) if name in before else None
        changes: dict[str, object] = {}
        if known is not None and before[name] == after[field.name]:
            changes = {"field_id": known.field_id, "field_type": known.field_type}
        elif known is not None and field.field_type.is_primitive and may_become(before[name], after[field.name]):
            changes = {"field_id": known.field_id}
        fields.append(field.model_copy(update=changes))
    ids = {field.name: field.field_id for field in fields}
    return Schema(*fields, identifier_field_ids=[ids[name] for name in wanted.identifier_field_names()])


def _layout(table: Table, replacement: Table) -> tuple[tuple[TableUpdate, ...], int]:
    """Return the updates that give a table the columns and partition of another, and the id of the partition spec."""
    schema, updates = replacement.schema(), list[TableUpdate]()
    same = [schema_id for schema_id, known in table.schemas().items() if known == schema]
    schema_id = same[0] if same else max(table.schemas()) + 1
    if not same:
        updates.append(AddSchemaUpdate(schema_=schema.model_copy(update={"schema_id": schema_id})))
    if schema_id != table.metadata.current_schema_id:
        updates.append(SetCurrentSchemaUpdate(schema_id=schema_id))
    wanted = [(field.source_id, field.transform, field.name) for field in replacement.spec().fields]
    known_specs = {
        spec_id: [(field.source_id, field.transform, field.name) for field in spec.fields]
        for spec_id, spec in table.specs().items()
    }
    spec_id = next((spec_id for spec_id, known in known_specs.items() if known == wanted), max(known_specs) + 1)
    if spec_id not in known_specs:
        first = (table.metadata.last_partition_id or 0) + 1
        fields = [
            PartitionField(source_id, first + number, transform, name)
            for number, (source_id, transform, name) in enumerate(wanted)
        ]
        updates.append(AddPartitionSpecUpdate(spec=PartitionSpec(*fields, spec_id=spec_id)))
    if spec_id != table.metadata.default_spec_id:
        updates.append(SetDefaultSpecUpdate(spec_id=spec_id))
    return tuple(updates), spec_id
