"""A mart: one folder with `query.sql` and `mart.yaml`, loaded and checked against the tables that it reads.

Belongs here: the loaded mart, and the rules between its two files and the contracts. Does not belong here: what one
file may say (mart_file), how SQL is typed (engines), whether days or keys can be refreshed alone (partition_check).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from medallion_assets.contracts.time_zone import UTC
from medallion_assets.contracts.types import ColumnType
from medallion_assets.contracts.yaml_file import YamlFile, read_yaml
from medallion_assets.engines.binding import Binder
from medallion_assets.engines.names import schema_and_table
from medallion_assets.engines.query import Query, read_query, tables_in
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import ContractError, MartError
from medallion_assets.gold.load_order import load_order
from medallion_assets.gold.mart_file import COMPUTED_AT, SILVER_SNAPSHOTS, MartFile, Partition
from medallion_assets.gold.partition_check import require_independence
from medallion_assets.gold.sources import Source, mart_source, silver_sources

if TYPE_CHECKING:
    import pyarrow as pa

GOLD: Final = "gold"
"""The namespace of the marts' tables in the lake."""

_DAY_KINDS: Final = ({"date", "timestamp"}, "date or timestamp")
# Two values of them are equal on every engine, or on none.
_KEY_KINDS: Final = ({"string", "int", "bigint", "decimal", "date", "binary"}, "text, integer, decimal, date or binary")


@dataclass(frozen=True)
class Mart:
    """A loaded mart.

    - query: its SELECT; it gives the declared columns in the declared order
    - sources: what the SELECT reads, by name (engines.names)
    - upstream: the marts among them, by the same name
    """

    name: str
    folder: Path
    spec: MartFile
    query: Query
    sources: Mapping[str, Source] = field(repr=False, compare=False)
    upstream: Mapping[str, Mart] = field(repr=False, compare=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what its SELECT reads, sorted: `orders` is silver.orders, `gold.daily_sales` is a mart."""
        return self.query.tables

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """The Silver tables that its rows come from, also through other marts, sorted."""
        own = {name for name in self.inputs if name not in self.upstream}
        return tuple(sorted(own.union(*(mart.tables for mart in self.upstream.values()))))

    @property
    def uses_current_date(self) -> bool:
        """Whether `current_date` stands in its own SQL, so that a new UTC day alone makes a refresh necessary."""
        return self.query.uses_current_date

    @property
    def follows_current_date(self) -> bool:
        """Whether its rows change with the UTC day, by its own SQL or by that of a mart that it reads."""
        return self.uses_current_date or any(mart.follows_current_date for mart in self.upstream.values())

    @property
    def is_daily(self) -> bool:
        """Whether a refresh computes single days; then they are its partitions in Dagster."""
        return self.spec.partition is not None and self.spec.partition.unit == "day"

    @property
    def is_keyed(self) -> bool:
        """Whether a refresh computes single keys."""
        return self.spec.partition is not None and self.spec.partition.unit == "key"

    @property
    def never_null(self) -> list[str]:
        """The columns of its grain that are null in no row. The rows without a key are those of one more key."""
        partition = self.spec.partition
        key = partition.column if partition is not None and partition.unit == "key" else None
        return [name for name in self.spec.grain if name != key]

    @property
    def sort_order(self) -> list[str]:
        """The columns by which its files are sorted: the day or key first, so that few files hold one of them."""
        first = [self.spec.partition.column] if self.spec.partition is not None else []
        return [*first, *(name for name in self.spec.grain if name not in first)]

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Its own columns by name, in order, in the form that contracts have."""
        return {
            name: Column(label=name, rename=name, type=one.type, description=one.description, rules=one.rules)
            for name, one in self.spec.columns.items()
        }

    @property
    def time_zone(self) -> str:
        """The zone on whose clock its days are: that of its partition, or of the mart whose days they are."""
        if (partition := self.spec.partition) is None or not self.is_daily:
            return UTC
        upstream = self.upstream.get(partition.table)
        days = upstream.spec.partition if upstream is not None else None
        if upstream is None or days is None or days.column != partition.day_of:
            return partition.time_zone
        return upstream.time_zone

    @property
    def input_name(self) -> str:
        """Its name in the SQL of the marts that read it."""
        return f"{GOLD}.{self.name}"

    @cached_property
    def source(self) -> Source:
        """What other marts can read of it."""
        return mart_source(self.columns, self.spec.grain, never_null=self.never_null)

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
            "partition": self.spec.partition.model_dump(exclude_none=True) if self.spec.partition else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load_marts(domain: Domain) -> tuple[Mart, ...]:
    """Return the domain's marts, each after those that it reads, else by name; a domain may have none.

    Raises ContractError, or MartError if only SQL is wrong, that names for every mistake of every mart the file, the
    field or expression, and what was expected.
    """
    folders, unread = mart_folders(domain.folder)
    found = {folder.name: _read_files(folder) for folder in folders}
    order = load_order({name: files.reads - {name} for name, files in found.items()})
    circles = {name: circle for circle in order.circles for name in circle}
    silver = silver_sources(domain)
    marts: dict[str, Mart] = {}
    with Binder() as binder:
        for name in order.names:
            unreadable = {other: _BROKEN for other in found if other not in marts}
            unreadable |= {other: _circle_reason(circles[name]) for other in circles.get(name, ())}
            unreadable[name] = _ITSELF
            if (mart := _load(found[name], silver, marts.values(), unreadable=unreadable, binder=binder)) is not None:
                marts[name] = mart
    mistakes: list[Exception] = [ContractError(mistake) for mistake in unread]
    _raise_all(mistakes + [one for files in found.values() for one in files.mistakes])
    return tuple(marts[name] for name in order.names)


def load_mart(folder: Path, domain: Domain, marts: Iterable[Mart] = ()) -> Mart:
    """Return the mart in `folder`, which may read the other `marts`. Raises like load_marts."""
    files = _read_files(folder)
    with Binder() as binder:
        mart = _load(files, silver_sources(domain), marts, unreadable={}, binder=binder)
    _raise_all(files.mistakes)
    if mart is None:
        raise ContractError(f"{folder}: not readable")
    return mart


_BROKEN: Final = "the mart has mistakes; correct them first"
_ITSELF: Final = "a mart cannot read itself"


def _circle_reason(circle: Sequence[str]) -> str:
    return f"marts read each other in a circle: {' -> '.join((*circle, circle[0]))}; one of them has to read less"


@dataclass
class _Files:
    """The two files of a mart as read, and the mistakes that were found so far; a file with mistakes is None."""

    folder: Path
    described: YamlFile | None = None
    spec: MartFile | None = None
    sql: str | None = None
    mistakes: list[Exception] = field(default_factory=list)

    @property
    def query_file(self) -> str:
        """The name of the file with the SQL, for messages."""
        return str(self.folder / "query.sql")

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names of the marts that stand in FROM."""
        places = map(schema_and_table, tables_in(self.sql or ""))
        return frozenset(name for schema, name in places if schema == GOLD)


def _read_files(folder: Path) -> _Files:
    """Return the files of a mart, with the mistakes that each has alone."""
    files = _Files(folder, mistakes=[ContractError(mistake) for mistake in unread_mart_files(folder)])
    try:
        identifier(folder.name)
    except ValueError as unusable:
        files.mistakes.append(ContractError(f"{folder}: the folder's name is the mart's name: {unusable}"))
    if (folder / "mart.yaml").is_file():
        with _collect(files.mistakes):
            files.described = read_yaml(folder / "mart.yaml")
            files.spec = parse(MartFile, files.described)
    if (folder / "query.sql").is_file():
        with _collect(files.mistakes):
            files.sql = _text(folder / "query.sql")
    return files


def _load(
    files: _Files,
    silver: Mapping[str, Source],
    marts: Iterable[Mart],
    *,
    unreadable: Mapping[str, str],
    binder: Binder,
) -> Mart | None:
    """Return the mart of these files; None, and more mistakes in `files`, if it has any.

    It may read the tables of `silver`, which are by lake name, and `marts`. `unreadable` says of other marts, by name,
    why they cannot be read.
    """
    known = {mart.input_name: mart for mart in marts}
    sources = {**silver, **{name: mart.source for name, mart in known.items()}}
    described, spec, query = files.described, files.spec, None
    if files.sql is not None:
        with _collect(files.mistakes):
            query = _read_sql(files, sources, {f"{GOLD}.{name}": reason for name, reason in unreadable.items()}, binder)
    if described is not None and spec is not None and query is not None:
        read = {name: sources[name] for name in query.tables}
        found = list(_column_mistakes(spec, query))
        if spec.partition is not None:
            found += _partition_mistakes(spec.partition, read)
        files.mistakes += [ContractError(described.mistake(one.place, one.text)) for one in found]
        if spec.partition is not None and not found:
            with _collect(files.mistakes):
                require_independence(
                    query,
                    spec.partition,
                    {name: source.key for name, source in read.items()},
                    where=files.query_file,
                    required=spec.partition.source in read[spec.partition.table].required,
                )
        if not files.mistakes:
            upstream = {name: known[name] for name in query.tables if name in known}
            return Mart(files.folder.name, files.folder, spec, query, sources=read, upstream=upstream)
    return None


def _read_sql(files: _Files, sources: Mapping[str, Source], unreadable: Mapping[str, str], binder: Binder) -> Query:
    """Return the SELECT of a mart over what it can read. Raises MartError."""
    itself = f"{GOLD}.{files.folder.name}"
    others = [name for name in unreadable if name != itself or files.folder.name in files.reads]
    columns: dict[str, Mapping[str, ColumnType]] = {name: {} for name in others}
    columns |= {name: source.columns for name, source in sources.items()}
    try:
        query = read_query(
            files.sql or "",
            columns,
            where=files.query_file,
            doubles=_declares_double(files.described),
            keys={name: source.key for name, source in sources.items()},
            unreadable=unreadable,
        )
    except MartError as mistake:
        if files.reads and any(name in str(mistake) for name in (COMPUTED_AT, SILVER_SNAPSHOTS)):
            text = f"a mart reads the declared columns of another one, not its {COMPUTED_AT} or {SILVER_SNAPSHOTS}"
            raise MartError(f"{mistake}\n{files.query_file}: {text}") from mistake
        raise
    binder.require_bindable(query, columns, where=files.query_file)
    return query


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


def _partition_mistakes(partition: Partition, sources: Mapping[str, Source]) -> Iterator[Mistake]:
    """Yield where the partition names a table or column that the SQL does not read or that is not there."""
    if partition.table not in sources:
        expected = f"expected one of {', '.join(sources)}"
        yield Mistake(("partition", "table"), f"{partition.table!r} is not in query.sql; {expected}")
        return
    columns = sources[partition.table].columns
    kinds, what = _DAY_KINDS if partition.unit == "day" else _KEY_KINDS
    if partition.source not in columns or columns[partition.source].kind not in kinds:
        fitting = [name for name, kind in columns.items() if kind.kind in kinds]
        yield Mistake(
            ("partition", f"{partition.unit}_of"),
            f"{partition.source!r} is not a {what} of {partition.table}; expected one of "
            f"{', '.join(fitting) or '(it has none)'}",
        )
    elif partition.time_zone != UTC and columns[partition.source].kind == "date":
        text = f"{partition.source!r} is a date, which has no time zone; leave it out"
        yield Mistake(("partition", "time_zone"), text)
    others = sources.keys() - {partition.table}
    if others != set(partition.joins):
        further = "".join(f"; {_way_out(table, partition)}" for table in sorted(others - set(partition.joins)))
        yield Mistake(
            ("partition", "joins"),
            f"{sorted(partition.joins)}; expected every other table of query.sql: {sorted(others)}{further}",
        )
    for table, name in partition.joins.items():
        if table not in sources:
            continue
        joined, source = columns.get(name), sources[table]
        element = joined.element if joined is not None and joined.kind in {"list", "set"} else joined
        if len(source.key) != 1 or element != source.columns[source.key[0]]:
            expected = ", ".join(f"{part} {source.columns[part]}" for part in source.key)
            yield Mistake(
                ("partition", "joins", table),
                f"{name!r} does not hold its key ({expected}); expected a column of {partition.table} of that type, or "
                f"a list of it; {_way_out(table, partition)}",
            )


def _way_out(table: str, partition: Partition) -> str:
    """Return how a mart gets columns of a table that its partitioned table does not refer to."""
    if schema_and_table(table)[0] == GOLD or schema_and_table(partition.table)[0] == GOLD:
        return f"if {partition.table} has no column with the key of {table}, leave out `partition`"
    return (
        f"if {partition.table} has no column with the key of {table}, because another table stands between them, let "
        f"the contract of that table copy the columns with `enrich: [{{table: {table}, ...}}]`, and read them from it"
    )
