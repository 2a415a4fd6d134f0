"""A mart: one folder with query.sql and mart.yaml, loaded and checked against the tables it reads.

How its SQL is typed belongs to engines; whether its days can be refreshed one by one, to locality.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from medallion_assets.contracts.loader import Domain, load_yaml
from medallion_assets.contracts.model import Column, Rule, Strict
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.types import ColumnType, TypeText
from medallion_assets.engines.binding import refuse_unbindable
from medallion_assets.engines.query import Query, read_query
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import ContractError
from medallion_assets.gold.partition_check import require_day_independence

# Columns every Gold table has after the mart's own.
COMPUTED_AT = "computed_at"
SILVER_SNAPSHOTS = "silver_snapshots"


class MartColumn(Strict):
    """One output column: its type as in a contract, what it means, and the rules its values must keep."""

    type: TypeText
    description: str
    rules: tuple[Rule, ...] = ()

    @field_validator("rules")
    @classmethod
    def _of_one_row(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        for rule in rules:
            if rule.kind == "references":
                raise ValueError("a mart's rule says one of required, values, min, max, pattern")
        return rules


class Partition(Strict):
    """The day a mart is refreshed by: which column holds it, and which table's rows make up a day."""

    column: str = Field(description="The mart's column that holds the day; a date.")
    table: str = Field(description="The Silver table whose rows belong to days.")
    day_of: str = Field(description="That table's date or timestamp (UTC) column whose day it is.")
    joins: dict[str, str] = Field(
        default={},
        description="Every other table in the SQL -> the column of `table` that holds its key (or a list of its keys).",
    )


class MartFile(Strict):
    """`mart.yaml`."""

    description: str
    owner: str = Field(description="Who answers for the mart: an e-mail address or `team:name`.")
    grain: tuple[str, ...] = Field(description="The columns that make a row unique.", min_length=1)
    columns: dict[str, MartColumn] = Field(min_length=1)
    partition: Partition | None = None

    @field_validator("columns")
    @classmethod
    def _sound(cls, columns: dict[str, MartColumn], info: ValidationInfo) -> dict[str, MartColumn]:
        for name, column in columns.items():
            if identifier(name) in {COMPUTED_AT, SILVER_SNAPSHOTS}:
                raise ValueError(f"{name}: every Gold table has this column already; choose another name")
            Column(attribute=name, rename=name, type=column.type, rules=column.rules)
        return columns

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "@" not in self.owner and not self.owner.startswith("team:"):
            raise ValueError(f"owner {self.owner!r}: expected an e-mail address or team:name")
        for name in self.grain:
            if name not in self.columns:
                raise ValueError(f"grain: no column {name!r}; expected some of {', '.join(self.columns)}")
        if self.partition is not None:
            column = self.columns.get(self.partition.column)
            if column is None or column.type.kind != "date":
                raise ValueError(f"partition.column: {self.partition.column!r} is not a column of type date")
            if self.partition.column not in self.grain:
                raise ValueError(f"grain: {self.partition.column!r} is the partition's day and must be in it")
        return self


@dataclass(frozen=True)
class Mart:
    """A loaded mart. `query` is its SELECT over silver.<table>, with the declared columns in the declared order."""

    name: str
    folder: Path
    spec: MartFile
    query: Query

    @property
    def tables(self) -> tuple[str, ...]:
        """The Silver tables it reads."""
        return self.query.tables

    @property
    def uses_current_date(self) -> bool:
        """Whether it must be refreshed when only the UTC day has changed."""
        return self.query.uses_current_date

    @property
    def columns(self) -> Mapping[str, MartColumn]:
        """Its own columns, in order."""
        return self.spec.columns

    @property
    def code_version(self) -> str:
        """A fingerprint of what its rows depend on besides Silver; another one means: compute everything again."""
        parts = {
            "sql": self.query.sql,
            "columns": {name: str(column.type) for name, column in self.columns.items()},
            "partition": self.spec.partition.model_dump() if self.spec.partition else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def contract_columns(self) -> tuple[Column, ...]:
        """Its columns as a contract would have them, for rules that are checked alike."""
        return tuple(
            Column(attribute=name, rename=name, type=column.type, description=column.description, rules=column.rules)
            for name, column in self.columns.items()
        )


def load_marts(domain: Domain) -> tuple[Mart, ...]:
    """The domain's marts by name; a domain may have none.

    Raises ContractError or MartError naming file, field or expression, and what was expected.
    """
    folder = domain.folder / "marts"
    return tuple(
        load_mart(entry, domain) for entry in sorted(folder.glob("*/")) if not entry.name.startswith((".", "_"))
    )


def load_mart(folder: Path, domain: Domain) -> Mart:
    """The mart in `folder`. Raises like load_marts."""
    path = folder / "mart.yaml"
    spec = load_yaml(MartFile, path)
    try:
        identifier(folder.name)
    except ValueError as unusable:
        raise ContractError(f"{folder}: the folder's name is the mart's name: {unusable}") from unusable
    file = folder / "query.sql"
    if not file.is_file():
        raise ContractError(f"{file}: no such file; a mart is a folder with mart.yaml and query.sql")
    tables = {contract.lake_name: silver_columns(contract.lake_name, domain) for contract in domain.tables}
    doubles = any(column.type.kind == "double" for column in spec.columns.values())
    sql = file.read_text(encoding="utf-8")
    query = read_query(sql, tables, schema="silver", where=str(file), doubles=doubles)
    refuse_unbindable(query, tables, schema="silver", where=str(file))
    _check_columns(path, spec, query)
    if spec.partition is not None:
        _check_partition(path, spec.partition, query, domain)
        require_day_independence(
            query, spec.partition, {name: domain.by_name[name].key_names for name in query.tables}, where=str(file)
        )
    return Mart(name=folder.name, folder=folder, spec=spec, query=query)


def silver_columns(table: str, domain: Domain) -> dict[str, ColumnType]:
    """The columns of a Silver table a mart may use: what is declared. Meta columns and `_extra` are not."""
    contract = domain.by_name[table]
    columns = {column.name: column.type for column in contract.columns.values()}
    for part in contract.enrich:
        columns |= {name: domain.by_name[part.table].by_name[source].type for name, source in part.columns.items()}
    return columns


def _check_columns(path: Path, spec: MartFile, query: Query) -> None:
    if list(query.columns) != list(spec.columns):
        raise ContractError(
            f"{path}: columns: {', '.join(spec.columns)}; but query.sql gives {', '.join(query.columns)}"
        )
    for name, column in spec.columns.items():
        if trino_type(column.type) != query.columns[name]:
            given = query.columns[name].sql("trino").lower()
            raise ContractError(f"{path}: columns.{name}.type: {column.type}; but query.sql gives {given}")


def _check_partition(path: Path, partition: Partition, query: Query, domain: Domain) -> None:
    if partition.table not in query.tables:
        raise ContractError(
            f"{path}: partition.table: {partition.table!r} is not in query.sql; "
            f"expected one of {', '.join(query.tables)}"
        )
    columns = silver_columns(partition.table, domain)
    if partition.day_of not in columns or columns[partition.day_of].kind not in {"date", "timestamp"}:
        raise ContractError(
            f"{path}: partition.day_of: {partition.day_of!r} is not a date or timestamp of {partition.table}"
        )
    others = {table for table in query.tables if table != partition.table}
    if others != set(partition.joins):
        raise ContractError(
            f"{path}: partition.joins: {sorted(partition.joins)}; "
            f"expected every other table of query.sql: {sorted(others)}"
        )
    for table, column in partition.joins.items():
        here, there = columns.get(column), domain.by_name[table].key_columns
        element = here.element if here is not None and here.kind in {"list", "set"} else here
        if len(there) != 1 or element != there[0].type:
            key = ", ".join(f"{part.name} {part.type}" for part in there)
            raise ContractError(
                f"{path}: partition.joins.{table}: {column!r} does not hold its key ({key}); expected a column of "
                f"{partition.table} of that type, or a list of it"
            )
