"""A lake with planned faults: the project's own Lake over real Iceberg metadata, manifests and Parquet files.

What outlives a process is the Warehouse: a directory, and for each table where its newest metadata is. A process opens
a Lake on it; when the process dies, the next one opens another. Nothing of Lake is replaced but what it is made of: its
catalog, the catalog's FileIO, and its connections to DuckDB.

Belongs here: which calls there are, and the errors each may end with. Does not belong here: when one does (faults).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
from botocore.exceptions import ClientError, EndpointConnectionError
from pyiceberg.avro import file as avro
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties
from sqlalchemy.exc import OperationalError

from medallion_assets.lake import duck
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.memory import RemembersTables
from medallion_assets.simulation.faults import AFTER, Faults

T = TypeVar("T")
Mistake = Callable[[], Exception]

SECOND_WRITER: Final = "second writer"
"""The kind of fault in which another writer commits first."""


class Warehouse:
    """What all processes of one simulation share: files below `folder` and the metadata location of each table.

    `faults` is the plan for whoever works on it now. Before a commit to a table, at the rate `contention`,
    `second_writer` is called with the table's name: what it commits is there first. `committed` is told the name, the
    metadata and its file after every commit, whether or not its maker gets to know.
    """

    def __init__(self, folder: Path, faults: Faults, *, contention: float = 0.0) -> None:
        self.folder = folder
        self.faults = faults
        self.contention = contention
        self.second_writer: Callable[[Identifier], None] = lambda name: None
        self.committed: Callable[[Identifier, TableMetadata, str], None] = lambda name, metadata, location: None
        self.namespaces: set[str] = set()
        self.tables: dict[Identifier, str] = {}
        self.metadata: dict[str, TableMetadata] = {}
        """Metadata by file; files never change."""

    def open(self) -> Lake:
        """Open a Lake, as a new process does."""
        settings = LakeSettings(warehouse=str(self.folder), catalog="sqlite", region="eu-central-1")
        return _Lake(settings, _RememberingCatalog(self), self)

    def call(self, point: str, act: Callable[[], T], before: Sequence[Mistake], after: Sequence[Mistake] = ()) -> T:
        """Make one call that may fail with one of these errors; `after` are errors of a call that took effect."""

        def error(kind: str) -> Exception:
            errors = after if kind == AFTER and after else before
            nth = self.faults.reached[point]
            return errors[zlib.crc32(f"{point} {nth}".encode()) % len(errors)]()

        return self.faults.call(point, act, error=error)


def _file_error() -> Exception:
    return OSError("simulated: the store did not answer")


def _sqlite_error() -> Exception:
    return OperationalError("UPDATE", {}, Exception("simulated: database is locked"))


def _glue_error(code: str, status: int) -> Exception:
    return ClientError(
        {"Error": {"Code": code, "Message": "simulated"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "UpdateTable",
    )


_FILE: Final[tuple[Mistake, ...]] = (_file_error,)
_CATALOG: Final[tuple[Mistake, ...]] = (
    _sqlite_error,
    partial(_glue_error, "InternalServiceException", 500),
    partial(_glue_error, "ThrottlingException", 400),
    lambda: EndpointConnectionError(endpoint_url="glue.simulated"),
)
# Of a commit that is in: the answer got lost, or the client asked again by itself and was refused for its first try.
_COMMITTED: Final[tuple[Mistake, ...]] = (
    *_CATALOG,
    lambda: CommitStateUnknownException("simulated: the answer got lost"),
    lambda: CommitFailedException("simulated: refused for its own first try"),
)
_DUCKDB: Final[tuple[Mistake, ...]] = (
    lambda: duckdb.IOException("simulated: cannot read a file"),
    lambda: duckdb.HTTPException("simulated: HTTP 503"),
)


class _Lake(Lake):
    """The project's Lake with planned faults in DuckDB's connections. Simulations of a process share one database."""

    def __init__(self, settings: LakeSettings, catalog: RemembersTables, warehouse: Warehouse) -> None:
        super().__init__(settings, catalog, None)
        self._warehouse = warehouse
        self._database = database()

    def close(self) -> None:
        self._copies.close()
        self._catalog.close()

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        return _Connection(super().duckdb(), self._warehouse)  # type: ignore[return-value]


@cache
def database() -> duckdb.DuckDBPyConnection:
    """DuckDB, shared by all simulations of a process: loading its extensions takes 0.15 s.

    It has one thread, so that rows come in the same order whenever a seed is played.
    """
    database = duck.connect("simulation", cache_files=False)
    database.execute("SET threads = 1")
    return database


class _Connection:
    """A DuckDB connection whose queries over the lake may fail; those over rows in memory do not."""

    _READS: Final = ("iceberg_scan(", "read_parquet(", "silver.", "gold.", "quarantine.")

    def __init__(self, connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> None:
        self._connection = connection
        self._warehouse = warehouse

    def execute(self, query: str, *parameters: Any) -> duckdb.DuckDBPyConnection:
        act = partial(self._connection.execute, query, *parameters)
        if any(sign in query for sign in self._READS):
            return self._warehouse.call("query.read", act, _DUCKDB)
        return act()

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Catalog(MetastoreCatalog):
    """A catalog in memory: per table one pointer to its metadata file, moved by compare and swap."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__("lake", warehouse=str(warehouse.folder))
        self._warehouse = warehouse
        self._io = _Files(warehouse)

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return self._io

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        self._warehouse.call("catalog.namespace", partial(self._make_namespace, str(namespace)), _CATALOG)

    def _make_namespace(self, namespace: str) -> None:
        if namespace in self._warehouse.namespaces:
            raise NamespaceAlreadyExistsError(namespace)
        self._warehouse.namespaces.add(namespace)

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        if str(namespace) not in self._warehouse.namespaces:
            raise NoSuchNamespaceError(str(namespace))
        return self._warehouse.call(
            "catalog.list", lambda: [name for name in self._warehouse.tables if name[0] == namespace], _CATALOG
        )

    def load_table(self, identifier: str | Identifier) -> Table:
        name = self.identifier_to_tuple(identifier)
        location = self._warehouse.call("catalog.load", lambda: self._warehouse.tables.get(name), _CATALOG)
        if location is None:
            raise NoSuchTableError(f"Table does not exist: {'.'.join(name)}")
        if location not in self._warehouse.metadata:
            self._warehouse.metadata[location] = FromInputFile.table_metadata(self._io.new_input(location))
        return Table(name, self._warehouse.metadata[location], location, self._io, self)

    def create_table(  # noqa: PLR0917 - pyiceberg's signature
        self,
        identifier: str | Identifier,
        schema: Any,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        staged = self._create_staged_table(identifier, schema, location, partition_spec, sort_order, properties)
        self._write_metadata(staged.metadata, self._io, staged.metadata_location)

        def act() -> None:
            if staged.name() in self._warehouse.tables:
                raise TableAlreadyExistsError(".".join(staged.name()))
            self._warehouse.tables[staged.name()] = staged.metadata_location

        self._warehouse.call("catalog.create", act, _CATALOG)
        return self.load_table(identifier)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        if self._warehouse.faults.draw("catalog.commit", SECOND_WRITER, self._warehouse.contention):
            self._warehouse.second_writer(table.name())
        current = self.load_table(table.name())
        staged = self._update_and_stage_table(current, table.name(), requirements, updates)
        if staged.metadata == current.metadata:
            return CommitTableResponse(metadata=current.metadata, metadata_location=current.metadata_location)
        self._write_metadata(staged.metadata, self._io, staged.metadata_location)
        if self._warehouse.faults.draw("catalog.swap", SECOND_WRITER, self._warehouse.contention):
            self._warehouse.second_writer(table.name())

        def act() -> None:
            if self._warehouse.tables[table.name()] != current.metadata_location:
                raise CommitFailedException(f"Table has been updated by another process: {'.'.join(table.name())}")
            self._warehouse.tables[table.name()] = staged.metadata_location
            self._warehouse.committed(table.name(), staged.metadata, staged.metadata_location)

        self._warehouse.call("catalog.commit", act, _CATALOG, _COMMITTED)
        return CommitTableResponse(metadata=staged.metadata, metadata_location=staged.metadata_location)

    def _never(self, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError("the project asks no catalog for this")

    drop_namespace = drop_table = drop_view = list_namespaces = list_views = load_namespace_properties = _never
    load_view = register_table = register_view = rename_table = update_namespace_properties = view_exists = _never


class _RememberingCatalog(RemembersTables, _Catalog):
    """The catalog as a run uses it."""


class _Files(PyArrowFileIO):
    """Files below the warehouse, with planned faults where a local disk or S3 may fail."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__()
        self._warehouse = warehouse

    def new_input(self, location: str) -> InputFile:  # type: ignore[override]
        return _File(location, self._warehouse)

    def new_output(self, location: str) -> OutputFile:  # type: ignore[override]
        return _File(location, self._warehouse)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        path = location if isinstance(location, str) else location.location
        self._warehouse.call("file.delete", Path(path).unlink, _FILE)


class _File(InputFile, OutputFile):
    def __init__(self, location: str, warehouse: Warehouse) -> None:
        super().__init__(location)
        self._path = Path(location)
        self._warehouse = warehouse

    def __len__(self) -> int:
        return self._path.stat().st_size

    def exists(self) -> bool:
        return self._warehouse.call("file.exists", self._path.exists, _FILE)

    def open(self, seekable: bool = True) -> io.BytesIO:
        return io.BytesIO(self._warehouse.call("file.read", self._path.read_bytes, _FILE))

    def create(self, overwrite: bool = False) -> _Writing:
        return self._warehouse.call("file.create", lambda: _Writing(self._path, self._warehouse), _FILE)

    def to_input_file(self) -> InputFile:
        return self


class _Writing(io.BytesIO):
    """A file being written. It exists once it is closed; if writing failed, a part of it exists, as on a disk."""

    def __init__(self, path: Path, warehouse: Warehouse) -> None:
        super().__init__()
        self._path = path
        self._warehouse = warehouse
        self._failed = False

    def write(self, data: Any) -> int:
        try:
            return self._warehouse.call("file.write", partial(super().write, data), _FILE)
        except BaseException:
            self._failed = True
            raise

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._failed:
                self._keep()
            else:
                self._warehouse.call("file.close", self._keep, _FILE)
        finally:
            super().close()

    def _keep(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(self.getbuffer())


@contextmanager
def quick_avro() -> Iterator[None]:
    """Let pyiceberg build the reader of an Avro schema once, not for each of a thousand small manifests."""
    readers: dict[tuple[int, int], Any] = {}
    schemas: dict[str, Any] = {}
    get_schema, resolve_reader = avro.AvroFileHeader.get_schema, avro.resolve_reader  # type: ignore[attr-defined]

    def schema_once(header: avro.AvroFileHeader) -> Any:
        text = header.meta["avro.schema"]
        if text not in schemas:
            schemas[text] = get_schema(header)
        return schemas[text]

    def reader_once(file_schema: Any, read_schema: Any, *more: Any) -> Any:
        at = id(file_schema), id(read_schema)
        if at not in readers:
            readers[at] = resolve_reader(file_schema, read_schema, *more), file_schema, read_schema
        return readers[at][0]

    with patched((avro.AvroFileHeader, "get_schema", schema_once), (avro, "resolve_reader", reader_once)):
        yield


@contextmanager
def patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Replace these attributes of modules or classes while inside."""
    before = [(where, name, getattr(where, name)) for where, name, _ in changes]
    try:
        for where, name, value in changes:
            setattr(where, name, value)
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)
