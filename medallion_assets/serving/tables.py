"""The tables that can be read: their columns with descriptions, their rows, and how old they are.

Belongs here: describing a table. Does not belong here: reading its rows (reader), its status (status_reader).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field
from pyiceberg.types import DecimalType, IcebergType, ListType, MapType, StructType

from medallion_assets.contracts.loader import Domain
from medallion_assets.engines.embedded import NAMESPACES
from medallion_assets.errors import TableMissing
from medallion_assets.gold.spec import Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import OPS_TABLES
from medallion_assets.serving.status_reader import Snapshot


class TableSummary(BaseModel):
    """A table, and how old it is. Times are UTC; null: not known, or it has not happened yet."""

    name: str = Field(description="With its schema: gold.daily_sales.")
    description: str
    rows: int | None = Field(description="Its rows; null if no status is kept of it.")
    published_at: datetime | None = Field(description="When its rows changed last.")
    complete_to: datetime | None = Field(description="Every change up to then is in it.")
    age_seconds: float | None = Field(description="How long ago that was.")
    verified_at: datetime | None = Field(description="When it was last found equal to its source.")
    blocked_by: str | None = Field(description="The check that blocks a newer version, and since when.")


class ColumnDescription(BaseModel):
    """A column."""

    name: str
    type: str = Field(description="As Trino writes it.")
    nullable: bool
    description: str


class TableDescription(TableSummary):
    """A table with its columns."""

    snapshot_id: str | None = Field(description="The published Iceberg snapshot, as text.")
    columns: list[ColumnDescription]


class Tables:
    """The tables of a domain in its lake."""

    def __init__(self, lake: Lake, domain: Domain, marts: Sequence[Mart]) -> None:
        self._lake = lake
        self._domain = domain
        self._marts = {mart.name: mart for mart in marts}
        self._ops = {table.name: table for table in OPS_TABLES}

    def list(self, snapshot: Snapshot, may_read: Callable[[str, str], bool]) -> list[TableSummary]:
        """Return every table that the caller may read. Raises LakeUnavailable."""
        return [
            TableSummary(**self._summary(schema, name, snapshot))
            for schema in NAMESPACES
            for name in self._lake.tables(schema)
            if may_read(schema, name)
        ]

    def describe(
        self, schema: str, name: str, snapshot: Snapshot, may_read: Callable[[str, str], bool]
    ) -> TableDescription:
        """Return one table. Raises TableMissing also if the caller may not read it, LakeUnavailable."""
        table = self._lake.find(schema, name) if schema in NAMESPACES and may_read(schema, name) else None
        if table is None:
            raise TableMissing(f"No table {schema}.{name}, or none that you may read; GET /v1/tables lists them.")
        described = self._column_descriptions(schema, name)
        current = table.metadata.current_snapshot_id
        return TableDescription(
            **self._summary(schema, name, snapshot),
            snapshot_id=None if current is None else str(current),
            columns=[
                ColumnDescription(
                    name=field.name,
                    type=_trino_name(field.field_type),
                    nullable=not field.required,
                    description=described.get(field.name) or field.doc or "",
                )
                for field in table.schema().fields
            ],
        )

    def _summary(self, schema: str, name: str, snapshot: Snapshot) -> dict[str, Any]:
        status = snapshot.of(schema, name)
        own = status if schema in {"silver", "gold"} else None  # a status counts the rows of these two
        complete_to = status.complete_to if status else None
        return {
            "name": f"{schema}.{name}",
            "description": self._description(schema, name),
            "rows": own.rows if own else None,
            "published_at": own.published_at if own else None,
            "complete_to": complete_to,
            "age_seconds": (snapshot.at - complete_to).total_seconds() if complete_to else None,
            "verified_at": snapshot.verified_at.get(name) if schema == "silver" else None,
            "blocked_by": str(own.blocked_by) if own and own.blocked_by else None,
        }

    def _description(self, schema: str, name: str) -> str:
        contract = self._domain.by_name.get(name)
        match schema:
            case "silver":
                return contract.description if contract else ""
            case "deleted":
                return f"The keys of silver.{name} that do not exist any more."
            case "history":
                return f"Every version of every row of silver.{name}."
            case "quarantine":
                return f"The rows that break the contract of silver.{name}."
            case "gold":
                return self._marts[name].spec.description if name in self._marts else ""
            case _:
                return ""

    def _column_descriptions(self, schema: str, name: str) -> dict[str, str]:
        if schema == "gold" and name in self._marts:
            return {column: one.description for column, one in self._marts[name].columns.items()}
        if schema == "ops" and name in self._ops:
            return {column.name: column.meaning for column in self._ops[name].columns}
        contract = self._domain.by_name.get(name)
        if contract is None:
            return {}
        return {column.name: column.description for column in contract.columns.values()}


_TRINO: Final = {
    "int": "integer",
    "long": "bigint",
    "float": "real",
    "string": "varchar",
    "binary": "varbinary",
    "timestamp": "timestamp(6)",
    "timestamptz": "timestamp(6) with time zone",
    "time": "time(6)",
}


def _trino_name(kind: IcebergType) -> str:
    """Return an Iceberg type as Trino writes it."""
    match kind:
        case DecimalType():
            return f"decimal({kind.precision},{kind.scale})"
        case ListType():
            return f"array({_trino_name(kind.element_type)})"
        case MapType():
            return f"map({_trino_name(kind.key_type)}, {_trino_name(kind.value_type)})"
        case StructType():
            return f"row({', '.join(f'{field.name} {_trino_name(field.field_type)}' for field in kind.fields)})"
        case _:
            return _TRINO.get(str(kind), str(kind))
