"""A mart: one folder with `query.sql` and `mart.yaml`, loaded and checked against the tables that it reads.

Belongs here: the loaded mart, and the rules between its two files and the contracts. Does not belong here: what one
file may say (mart_file), how SQL is typed (engines), whether days can be refreshed one by one (partition_check).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medallion_assets.contracts.loader import Domain, load_yaml
from medallion_assets.contracts.model import Column
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.binding import require_bindable
from medallion_assets.engines.query import Query, read_query
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import ContractError
from medallion_assets.gold.mart_file import COMPUTED_AT, SILVER_SNAPSHOTS, MartFile, Partition
from medallion_assets.gold.partition_check import require_day_independence

if TYPE_CHECKING:
    import pyarrow as pa

GOLD: Final = "gold"
"""The namespace of the marts' tables in the lake."""


@dataclass(frozen=True)
class Mart:
    """A loaded mart of `domain`.

    `query` is its SELECT over silver.<table>; it gives the declared columns in the declared order.
    """

    name: str
    folder: Path
    spec: MartFile
    query: Query
    domain: Domain = field(repr=False, compare=False)

    @property
    def tables(self) -> tuple[str, ...]:
        """The Silver tables that it reads."""
        return self.query.tables

    @property
    def uses_current_date(self) -> bool:
        """Whether its rows change with the UTC day, so that a new day alone makes a refresh necessary."""
        return self.query.uses_current_date

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Its own columns by name, in order, in the form that contracts have."""
        return {
            name: Column(attribute=name, rename=name, type=one.type, description=one.description, rules=one.rules)
            for name, one in self.spec.columns.items()
        }

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of its table: its own columns, `computed_at` and `silver_snapshots`."""
        import pyarrow as pa

        return pa.schema(
            [
                *(pa.field(name, column.type.arrow()) for name, column in self.columns.items()),
                pa.field(COMPUTED_AT, pa.timestamp("us", tz="UTC")),
                pa.field(SILVER_SNAPSHOTS, pa.string()),
            ]
        )

    @cached_property
    def code_version(self) -> str:
        """A fingerprint of what its rows depend on besides Silver. If it changes, all rows are computed again."""
        parts = {
            "sql": self.query.sql,
            "columns": {name: str(column.type) for name, column in self.columns.items()},
            "partition": self.spec.partition.model_dump() if self.spec.partition else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load_marts(domain: Domain) -> tuple[Mart, ...]:
    """Return the domain's marts, sorted by name; a domain may have none.

    Raises ContractError or MartError that names the file, the field or expression, and what was expected.
    """
    folder = domain.folder / "marts"
    return tuple(
        load_mart(entry, domain) for entry in sorted(folder.glob("*/")) if not entry.name.startswith((".", "_"))
    )


def load_mart(folder: Path, domain: Domain) -> Mart:
    """Return the mart in `folder`. Raises like load_marts."""
    path = folder / "mart.yaml"
    spec = load_yaml(MartFile, path)
    try:
        identifier(folder.name)
    except ValueError as unusable:
        raise ContractError(f"{folder}: the folder's name is the mart's name: {unusable}") from unusable
    file = folder / "query.sql"
    if not file.is_file():
        raise ContractError(f"{file}: no such file; a mart is a folder with mart.yaml and query.sql")
    tables = {contract.lake_name: domain.silver_columns(contract) for contract in domain.tables}
    doubles = any(column.type.kind == "double" for column in spec.columns.values())
    sql = file.read_text(encoding="utf-8")
    query = read_query(sql, tables, schema="silver", where=str(file), doubles=doubles)
    require_bindable(query, tables, schema="silver", where=str(file))
    _check_columns(path, spec, query)
    if spec.partition is not None:
        _check_partition(path, spec.partition, query, tables, domain)
        keys = {name: domain.by_name[name].key_names for name in query.tables}
        require_day_independence(query, spec.partition, keys, where=str(file))
    return Mart(name=folder.name, folder=folder, spec=spec, query=query, domain=domain)


def _check_columns(path: Path, spec: MartFile, query: Query) -> None:
    if list(query.columns) != list(spec.columns):
        raise ContractError(
            f"{path}: columns: {', '.join(spec.columns)}; but query.sql gives {', '.join(query.columns)}"
        )
    for name, column in spec.columns.items():
        if trino_type(column.type) != query.columns[name]:
            given = query.columns[name].sql("trino").lower()
            raise ContractError(f"{path}: columns.{name}.type: {column.type}; but query.sql gives {given}")


def _check_partition(
    path: Path,
    partition: Partition,
    query: Query,
    tables: Mapping[str, Mapping[str, ColumnType]],
    domain: Domain,
) -> None:
    if partition.table not in query.tables:
        raise ContractError(
            f"{path}: partition.table: {partition.table!r} is not in query.sql; "
            f"expected one of {', '.join(query.tables)}"
        )
    columns = tables[partition.table]
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
    for table, name in partition.joins.items():
        joined, key = columns.get(name), domain.by_name[table].key_columns
        element = joined.element if joined is not None and joined.kind in {"list", "set"} else joined
        if len(key) != 1 or element != key[0].type:
            expected = ", ".join(f"{part.name} {part.type}" for part in key)
            raise ContractError(
                f"{path}: partition.joins.{table}: {name!r} does not hold its key ({expected}); expected a column of "
                f"{partition.table} of that type, or a list of it"
            )
