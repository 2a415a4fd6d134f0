"""A mart: one folder with `query.sql` and `mart.yaml`, loaded and checked against the tables that it reads.

Belongs here: the loaded mart, and the rules between its two files and the contracts. Does not belong here: what one
file may say (mart_file), how SQL is typed (engines), whether days can be refreshed one by one (partition_check).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medallion_assets.contracts.files import mart_folders, unread_mart_files
from medallion_assets.contracts.loader import Domain, parse
from medallion_assets.contracts.mistakes import Mistake
from medallion_assets.contracts.model import Column
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.types import ColumnType
from medallion_assets.contracts.yaml_file import YamlFile, read_yaml
from medallion_assets.engines.binding import require_bindable
from medallion_assets.engines.query import Query, read_query
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import ContractError, MartError
from medallion_assets.gold.mart_file import COMPUTED_AT, SILVER_SNAPSHOTS, UTC, MartFile, Partition
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

    Raises ContractError, or MartError if only SQL is wrong, that names for every mistake of every mart the file, the
    field or expression, and what was expected.
    """
    folders, unread = mart_folders(domain.folder)
    mistakes: list[Exception] = [ContractError(mistake) for mistake in unread]
    marts = []
    for folder in folders:
        try:
            marts.append(load_mart(folder, domain))
        except (ContractError, MartError) as wrong:
            mistakes.append(wrong)
    _raise_all(mistakes)
    return tuple(marts)


def load_mart(folder: Path, domain: Domain) -> Mart:
    """Return the mart in `folder`. Raises like load_marts."""
    path, file = folder / "mart.yaml", folder / "query.sql"
    mistakes: list[Exception] = [ContractError(mistake) for mistake in unread_mart_files(folder)]
    try:
        identifier(folder.name)
    except ValueError as unusable:
        mistakes.append(ContractError(f"{folder}: the folder's name is the mart's name: {unusable}"))
    tables = {contract.lake_name: domain.silver_columns(contract) for contract in domain.tables}
    described = spec = query = None
    if path.is_file():
        with _collect(mistakes):
            described = read_yaml(path)
            spec = parse(MartFile, described)
    if file.is_file():
        with _collect(mistakes):
            query = read_query(
                _text(file),
                tables,
                where=str(file),
                doubles=_declares_double(described),
                keys={contract.lake_name: contract.key_names for contract in domain.tables},
            )
            require_bindable(query, tables, where=str(file))
    if described is not None and spec is not None and query is not None:
        found = list(_column_mistakes(spec, query))
        if spec.partition is not None:
            found += _partition_mistakes(spec.partition, query, tables, domain)
        mistakes += [ContractError(described.mistake(one.place, one.text)) for one in found]
        if spec.partition is not None and not found:
            keys = {name: domain.by_name[name].key_names for name in query.tables}
            with _collect(mistakes):
                require_day_independence(
                    query, spec.partition, keys, where=str(file), required=_is_required(spec.partition, domain)
                )
    _raise_all(mistakes)
    if spec is None or query is None:
        raise ContractError(f"{folder}: not readable")
    return Mart(name=folder.name, folder=folder, spec=spec, query=query, domain=domain)


def _declares_double(described: YamlFile | None) -> bool:
    """Return whether a column is a double; of a mart.yaml with mistakes, too."""
    columns = described.data.get("columns") if described is not None and isinstance(described.data, dict) else None
    specs = columns.values() if isinstance(columns, dict) else ()
    return any((spec.get("type") if isinstance(spec, dict) else spec) == "double" for spec in specs)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise MartError(f"{file}: not readable as text in UTF-8: {unreadable}") from unreadable


@contextmanager
def _collect(mistakes: list[Exception]) -> Iterator[None]:
    """Keep an error of the block, so that the other parts of the mart are checked too."""
    try:
        yield
    except (ContractError, MartError) as wrong:
        mistakes.append(wrong)


def _raise_all(mistakes: Sequence[Exception]) -> None:
    if mistakes:
        kind = MartError if all(isinstance(one, MartError) for one in mistakes) else ContractError
        raise kind("\n".join(str(one) for one in mistakes))


def _column_mistakes(spec: MartFile, query: Query) -> Iterator[Mistake]:
    """Yield where the declared columns are not those of the SELECT: their names, their order, their types."""
    if list(query.columns) != list(spec.columns):
        yield Mistake(("columns",), f"{', '.join(spec.columns)}; but query.sql gives {', '.join(query.columns)}")
    for name, column in spec.columns.items():
        if name in query.columns and trino_type(column.type) != query.columns[name]:
            given = query.columns[name].sql("trino").lower()
            yield Mistake(("columns", name, "type"), f"{column.type}; but query.sql gives {given}")


def _is_required(partition: Partition, domain: Domain) -> bool:
    """Return whether no row of Silver lacks the day: the column is of the key, or required, and not copied."""
    contract = domain.by_name[partition.table]
    column = contract.by_name.get(partition.day_of)
    return column is not None and (
        column.name in contract.key_names
        or any(rule.kind == "required" and rule.severity == "block" for rule in column.rules)
    )


def _partition_mistakes(
    partition: Partition, query: Query, tables: Mapping[str, Mapping[str, ColumnType]], domain: Domain
) -> Iterator[Mistake]:
    """Yield where the partition names a table or column that the SQL or the contracts do not have."""
    if partition.table not in query.tables:
        expected = f"expected one of {', '.join(query.tables)}"
        yield Mistake(("partition", "table"), f"{partition.table!r} is not in query.sql; {expected}")
        return
    columns = tables[partition.table]
    if partition.day_of not in columns or columns[partition.day_of].kind not in {"date", "timestamp"}:
        fitting = [name for name, kind in columns.items() if kind.kind in {"date", "timestamp"}]
        yield Mistake(
            ("partition", "day_of"),
            f"{partition.day_of!r} is not a date or timestamp of {partition.table}; expected one of "
            f"{', '.join(fitting) or '(it has none)'}",
        )
    elif partition.time_zone != UTC and columns[partition.day_of].kind == "date":
        text = f"{partition.day_of!r} is a date, which has no time zone; leave it out"
        yield Mistake(("partition", "time_zone"), text)
    others = {table for table in query.tables if table != partition.table}
    if others != set(partition.joins):
        further = "".join(f"; {_way_out(table, partition)}" for table in sorted(others - set(partition.joins)))
        yield Mistake(
            ("partition", "joins"),
            f"{sorted(partition.joins)}; expected every other table of query.sql: {sorted(others)}{further}",
        )
    for table, name in partition.joins.items():
        if table not in domain.by_name:
            continue
        joined, key = columns.get(name), domain.by_name[table].key_columns
        element = joined.element if joined is not None and joined.kind in {"list", "set"} else joined
        if len(key) != 1 or element != key[0].type:
            expected = ", ".join(f"{part.name} {part.type}" for part in key)
            yield Mistake(
                ("partition", "joins", table),
                f"{name!r} does not hold its key ({expected}); expected a column of {partition.table} of that type, or "
                f"a list of it; {_way_out(table, partition)}",
            )


def _way_out(table: str, partition: Partition) -> str:
    """Return how a mart gets columns of a table that its partitioned table does not refer to."""
    return (
        f"if {partition.table} has no column with the key of {table}, because another table stands between them, let "
        f"the contract of that table copy the columns with `enrich: [{{table: {table}, ...}}]`, and read them from it"
    )
