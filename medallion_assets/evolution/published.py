"""The shape of a Silver table as the running lake has it.

Belongs here: reading it from Iceberg's metadata. Does not belong here: comparing (changes).
"""

from __future__ import annotations

from pyiceberg.table import Table

from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.types import parse_type
from medallion_assets.evolution.shape import ColumnShape, TableShape
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.table import META_COLUMNS, SILVER


def published_shape(lake: Lake, contract: Contract) -> TableShape | None:
    """Return the shape of a contract's Silver table; None if there is none yet.

    Columns that another writer added are left out: ours have their type as comment. A column that may be null may
    still be required by the contract, because older rows do not have it, so that is not compared. Raises
    LakeUnavailable, LakeDamaged.
    """
    table = lake.find(SILVER, contract.lake_name)
    if table is None:
        return None
    schema = table.schema()
    columns = {}
    for field in schema.fields:
        if field.doc and field.name not in META_COLUMNS.names:
            required = field.required or field.name in contract.required_names
            columns[field.name] = ColumnShape(field.doc, parse_type(field.doc).arrow(), required)
    names = {field.field_id: field.name for field in schema.fields}
    known = schema.identifier_field_names()
    return TableShape(
        source=None,
        columns=columns,
        key=tuple(name for name in contract.key_names if name in known) + tuple(sorted(known - {*contract.key_names})),
        partition=tuple((names[part.source_id], str(part.transform)) for part in table.spec().fields),
        rows=_rows(table),
    )


def _rows(table: Table) -> int:
    """Return the number of rows as the published snapshot counts them."""
    snapshot = table.current_snapshot()
    summary = snapshot.summary.additional_properties if snapshot is not None and snapshot.summary is not None else {}
    return int(summary.get("total-records", 0)) - int(summary.get("total-position-deletes", 0))
