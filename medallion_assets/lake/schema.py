"""Arrow schemas as Iceberg schemas, and what may change in an existing table: columns are added or made wider.

Another engine may add columns, too, and fields of a struct: they stay, and are null in the rows that we write.

Belongs here: translation and comparison of schemas. Does not belong here: changing a table (catalog).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pyarrow as pa
from pyiceberg.io.pyarrow import _ConvertToIcebergWithoutIDs, schema_to_pyarrow, visit_pyarrow
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.transforms import UnknownTransform, parse_transform
from pyiceberg.types import NestedField

from medallion_assets.errors import SchemaMismatch


def iceberg_schema(schema: pa.Schema, key: Sequence[str]) -> Schema:
    """Return the Iceberg schema of a new table: ids count from 1, key columns and fields not nullable are required.

    Raises SchemaMismatch for a type that Iceberg does not have and for a key that is not a column.
    """
    for name in key:
        if name not in schema.names:
            raise SchemaMismatch(f"The key column {name} is not among the columns {', '.join(schema.names)}.")
    refuse_floating_key(schema, key)
    fields = [field.with_nullable(field.nullable and field.name not in key) for field in schema]
    fresh = assign_fresh_schema_ids(_without_ids(pa.schema(fields)))
    return Schema(*fresh.fields, identifier_field_ids=[fresh.find_field(name).field_id for name in key])


def refuse_floating_key(schema: pa.Schema, key: Sequence[str]) -> None:
    """Raise SchemaMismatch for a floating-point key: two source keys may round to one, and NaN equals nothing."""
    for name in key:
        if pa.types.is_floating(schema.field(name).type):
            raise SchemaMismatch(
                f"The key column {name} is {schema.field(name).type}. Declare it decimal, bigint or string."
            )


def partition_spec(schema: Schema, partition_by: Sequence[tuple[str, str]]) -> PartitionSpec:
    """Return the spec of (column, transform) pairs; transforms as in Iceberg: identity, day, month, bucket[16].

    Raises SchemaMismatch for a column that is missing or cannot be transformed so.
    """
    fields = []
    for number, (column, text) in enumerate(partition_by):
        if column not in (field.name for field in schema.fields):
            raise SchemaMismatch(f"The partition column {column} is not a column of the table.")
        transform = parse_transform(text)
        source = schema.find_field(column)
        if isinstance(transform, UnknownTransform) or not transform.can_transform(source.field_type):
            raise SchemaMismatch(f"{column} ({source.field_type}) cannot be partitioned by {text!r}.")
        name = column if text == "identity" else f"{column}_{text.partition('[')[0]}"
        fields.append(PartitionField(source.field_id, PARTITION_FIELD_ID_START + number, transform, name))
    return PartitionSpec(*fields)


def added_columns(table: Schema, wanted: pa.Schema, *, of: str) -> list[NestedField]:
    """Return the columns of `wanted` that the table lacks; their ids are not the table's yet. `of` is its name.

    A column that only the table has was added by another writer, or is no longer declared, and stays. Raises
    SchemaMismatch if a column has a type that it cannot get.
    """
    requested = _without_ids(wanted)
    present, declared = stored_types(table), stored_types(requested)
    for name in present.keys() & declared.keys():
        before, now = table.find_field(name).doc, _doc(wanted.field(name))
        if present[name] == declared[name]:
            _refuse_other_form(of, name, before, now)
        elif not holds(present[name], declared[name]) and not may_become(present[name], declared[name]):
            raise SchemaMismatch(
                f"{of}: column {name} is {before or present[name]} and cannot become {now or declared[name]}: an int "
                "may become a bigint, a decimal may get more digits before its point, a struct may get fields. For any "
                "other type give the attribute another name in the contract (rename), or make the table again: "
                f"`medallion rebuild {of}`."
            )
    return [field for field in requested.fields if field.name not in present]


def widened_columns(table: Schema, wanted: pa.Schema) -> list[NestedField]:
    """Return the columns of `wanted` whose type is wider than the table's, as Iceberg allows it; all optional."""
    present, declared = stored_types(table), stored_types(requested := _without_ids(wanted))
    return [
        field.model_copy(update={"required": False})
        for field in requested.fields
        if field.name in present and not holds(present[field.name], declared[field.name])
    ]


def may_become(present: pa.DataType, declared: pa.DataType) -> bool:
    """Return whether Iceberg lets a type grow so (https://iceberg.apache.org/spec/#schema-evolution)."""
    if pa.types.is_struct(present) and pa.types.is_struct(declared):
        before, after = ({field.name: field for field in kind} for kind in (present, declared))
        added, gone = after.keys() - before.keys(), before.keys() - after.keys()
        return all(may_become(before[name].type, after[name].type) for name in before.keys() & after.keys()) and all(
            field.nullable for field in [*map(after.get, added), *map(before.get, gone)] if field is not None
        )
    if pa.types.is_map(present) and pa.types.is_map(declared):
        return bool(present.key_type == declared.key_type) and may_become(present.item_type, declared.item_type)
    if _is_list(present) and _is_list(declared):
        return may_become(present.value_type, declared.value_type)
    if pa.types.is_decimal(present) and pa.types.is_decimal(declared):
        return bool(declared.scale == present.scale and declared.precision >= present.precision)
    return bool(present == declared or (pa.types.is_int32(present) and pa.types.is_int64(declared)))


def _doc(field: pa.Field) -> str | None:
    return (field.metadata or {}).get(b"doc", b"").decode() or None


def _refuse_other_form(of: str, name: str, before: str | None, now: str | None) -> None:
    """Raise SchemaMismatch if comments say that a column of the same type holds another kind of values than before."""
    if before and now and before != now and "struct" not in now:
        raise SchemaMismatch(
            f"{of}: column {name} has values of {before}, and is declared {now}: old rows would keep their form. Give "
            f"the attribute another name in the contract (rename), or make the table again: `medallion rebuild {of}`."
        )


def relaxed_columns(table: Schema, wanted: pa.Schema) -> list[str]:
    """Return the columns that the table requires and `wanted` does not, or does not have: our rows are null there.

    Key columns are never among them.
    """
    return [
        field.name
        for field in table.fields
        if field.required
        and field.field_id not in table.identifier_field_ids
        and (field.name not in wanted.names or wanted.field(field.name).nullable)
    ]


def holds(present: pa.DataType, declared: pa.DataType) -> bool:
    """Return whether values of the declared type can be stored: it is equal, but for optional fields of structs."""
    if pa.types.is_struct(present) and pa.types.is_struct(declared):
        fields = {field.name: field for field in declared}
        return fields.keys() <= {field.name for field in present} and all(
            holds(field.type, fields[field.name].type) if field.name in fields else field.nullable for field in present
        )
    if pa.types.is_map(present) and pa.types.is_map(declared):
        return holds(present.key_type, declared.key_type) and holds(present.item_type, declared.item_type)
    if _is_list(present) and _is_list(declared):
        return holds(present.value_type, declared.value_type)
    return bool(present == declared)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def file_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of the table's data files, field ids included."""
    return schema_to_pyarrow(schema, include_field_ids=True)


def conform(rows: pa.Table, schema: Schema) -> pa.Table:
    """Return the rows with exactly the table's columns, in its order and types; optional ones may be missing: null.

    Raises SchemaMismatch that names a column which is missing, unknown, or has a value that does not fit.
    """
    target = file_schema(schema)
    required = {field.name for field in target if not field.nullable}
    given = set(rows.column_names)
    if not required <= given <= set(target.names) or len(rows.column_names) != len(given):
        lacking = ", ".join(sorted(required - given)) or "none"
        unknown = ", ".join(sorted(given - set(target.names))) or "none"
        raise SchemaMismatch(
            f"The rows do not have the table's columns. Missing: {lacking}. Not in the table: {unknown}."
        )
    columns = []
    for field in target:
        if field.name not in given:
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        column = rows.column(field.name)
        if not field.nullable and column.null_count:
            raise SchemaMismatch(f"The required column {field.name} is null in {column.null_count} rows.")
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException:
            # Without the cause, because Arrow's message may quote a value.
            raise SchemaMismatch(
                f"Column {field.name} is {column.type} and cannot be stored as {field.type} without loss."
            ) from None
    return pa.table(columns, schema=target)


def _without_ids(schema: pa.Schema) -> Schema:
    try:
        return cast(Schema, visit_pyarrow(schema, _ConvertToIcebergWithoutIDs()))
    except (TypeError, ValueError) as unsupported:
        raise SchemaMismatch(f"Iceberg cannot hold these columns: {unsupported}") from unsupported


def stored_types(schema: Schema) -> dict[str, pa.DataType]:
    """Return the types that a table's columns are stored as, by name, without Iceberg's field ids."""
    return {field.name: field.type for field in schema_to_pyarrow(schema, include_field_ids=False)}
