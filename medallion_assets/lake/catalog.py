"""The lake: find, create and read tables. One class for S3 with Glue and for files with SQLite.

Belongs here: the catalog, and the DuckDB that reads the tables. Does not belong here: how rows get into a table (merge,
replace, publish).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, field_validator
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.utils.concurrent import ExecutorFactory
from sqlalchemy.exc import IntegrityError

from medallion_assets.errors import CommitConflict, LakeDamaged, SchemaMismatch, SettingsError, TableMissing
from medallion_assets.lake import duck
from medallion_assets.lake.aws import open_session
from medallion_assets.lake.glue import open_glue
from medallion_assets.lake.local_copy import LocalCopies
from medallion_assets.lake.memory import LakeSqlCatalog, RemembersTables, TableMemory
from medallion_assets.lake.one_at_a_time import OneAtATime
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.schema import (
    added_columns,
    file_schema,
    iceberg_schema,
    partition_spec,
    relaxed_columns,
    widened_columns,
)

if TYPE_CHECKING:
    import boto3

log = logging.getLogger(__name__)

TABLE_PROPERTIES = {
    "format-version": "2",
    # Each commit writes a metadata file, of 0.2 MB on a busy table. A reader needs its file while it plans a query.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
}


class LakeSettings(BaseModel):
    """Where the lake is. Credentials come from boto3's own chain. The endpoints are URLs, and None on AWS.

    `duckdb_memory_mb` and `spill_folder` are as in duck.connect. The names of Glue's databases begin with
    `database_prefix`; everywhere else a namespace is named without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    warehouse: str
    catalog: Literal["glue", "sqlite"]
    region: str
    s3_endpoint: str | None = None
    glue_endpoint: str | None = None
    database_prefix: str = ""
    duckdb_memory_mb: int | None = None
    spill_folder: str | None = None

    @field_validator("warehouse")
    @classmethod
    def _check_warehouse(cls, value: str) -> str:
        if not value.startswith("s3://") and not Path(value).is_absolute():
            raise ValueError(f"{value!r}: expected s3://bucket/prefix or an absolute directory")
        return value.rstrip("/")


class Lake:
    """An open lake. Close it, or use it as a context manager: that closes its connections, too."""

    def __init__(self, settings: LakeSettings, catalog: RemembersTables, session: boto3.Session | None) -> None:
        self.settings = settings
        self._catalog = catalog
        self._session = session
        self._database: duckdb.DuckDBPyConnection | None = None
        self._opening = threading.Lock()
        self._copies = LocalCopies()
        self._reading = OneAtATime()

    @classmethod
    @translate_outages()
    def open(cls, settings: LakeSettings) -> Self:
        """Open the lake. Raises SettingsError for a setting that cannot be used, LakeUnavailable."""
        session = None
        if settings.warehouse.startswith("s3://"):
            session = open_session(settings.region)
        return cls(settings, _open_catalog(settings, session), session)

    def close(self) -> None:
        """Close the catalog and all connections that `duckdb` returned."""
        if self._database is not None:
            self._database.close()
            self._database = None
        self._copies.close()
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def remember_tables(self, memory: TableMemory | None) -> None:
        """Ask the catalog only for tables that `memory` does not have yet; with None each time. See memory."""
        self._catalog.memory = memory

    @translate_outages()
    def table(self, namespace: str, name: str) -> Table:
        """Return the table as it is now. Raises TableMissing, LakeUnavailable."""
        table = self.find(namespace, name)
        if table is None:
            raise TableMissing(
                f"The lake {self.settings.warehouse} has no table {namespace}.{name} yet. The first run that writes to "
                "it creates it."
            )
        return table

    @translate_outages()
    def find(self, namespace: str, name: str) -> Table | None:
        """Return the table as it is now, or None if the lake has no such table. Raises LakeUnavailable, LakeDamaged."""
        try:
            return self._catalog.load_table((namespace, name))
        except NoSuchTableError:
            return None

    @translate_outages()
    def find_all(self, namespace: str, names: Collection[str]) -> dict[str, Table | LakeDamaged | None]:
        """Return what `find` does for each of these tables, with a question to the catalog for a hundred of them.

        What is remembered is not looked at. A table whose metadata cannot be read has its error in place of it. Raises
        LakeUnavailable.
        """
        loads = self._catalog.load_tables(namespace, names)

        def load(name: str) -> Table | LakeDamaged | None:
            try:
                return loads[name]()
            except NoSuchTableError:
                return None
            except LakeDamaged as lost:
                return lost

        return dict(zip(loads, ExecutorFactory.get_or_create().map(load, loads), strict=True))

    def find_since(self, namespace: str, name: str, snapshot_id: int | None) -> Table | None:
        """Return the table as `find` does, but not as it was remembered before it had a snapshot.

        Somebody has read that snapshot, so a state from before it would take the reader's work back. None: any state.
        Raises LakeUnavailable, LakeDamaged.
        """
        table = self.find(namespace, name)
        memory = self._catalog.memory
        known = table is not None and snapshot_id is not None and table.snapshot_by_id(snapshot_id) is not None
        if snapshot_id is None or known or memory is None:
            return table
        memory.forget()
        return self.find(namespace, name)

    @translate_outages()
    def tables(self, namespace: str) -> list[str]:
        """Return the names of the namespace's tables, sorted; none if there is no such namespace."""
        try:
            return sorted(identifier[-1] for identifier in self._catalog.list_tables(namespace))
        except NoSuchNamespaceError:
            return []

    @translate_outages()
    def ensure(
        self,
        namespace: str,
        name: str,
        schema: pa.Schema,
        *,
        key: Sequence[str] = (),
        partition_by: Sequence[tuple[str, str]] = (),
        properties: Mapping[str, str] = {},
        renamed: Mapping[str, str] = {},
        retired: Collection[str] = (),
    ) -> Table:
        """Return the table with this schema: create it if it is missing, and add the columns that it lacks.

        An added column is nullable, because older rows do not have it. A column that is nullable or wider in `schema`
        becomes so in the table. `renamed` has earlier names by name: such a column keeps its values. A column of
        `retired` leaves the table; older snapshots keep it.

        Only a writer calls this; a reader calls `find`. `partition_by` has (column, Iceberg transform) pairs. Only a
        new table gets `properties`. Raises SchemaMismatch for any other difference, CommitConflict if another writer
        changed the table at the same time, LakeUnavailable.
        """
        table = self.find(namespace, name)
        if table is None:
            table = self._create(namespace, name, iceberg_schema(schema, key), partition_by, properties)
        self._evolve_names(table, renamed, retired)
        _refuse_other_layout(table, key, partition_by)
        present = table.schema()
        added, relaxed, widened = (
            added_columns(present, schema, of=".".join(table.name())),
            relaxed_columns(present, schema),
            widened_columns(present, schema),
        )
        if added or relaxed or widened:
            try:
                with table.update_schema() as change:
                    for field in added:
                        change.add_column(field.name, field.field_type, doc=field.doc)
                    for column in relaxed:
                        change.update_column(column, required=False)
                    change.union_by_name(Schema(*widened))
            except CommitFailedException as lost:
                raise CommitConflict(
                    f"{namespace}.{name} was changed by another writer while its columns were changed. Try again."
                ) from lost
            log.info(
                "%s.%s: added %d columns, made %d optional and %d wider",
                namespace,
                name,
                len(added),
                len(relaxed),
                len(widened),
            )
        return table

    def _evolve_names(self, table: Table, renamed: Mapping[str, str], retired: Collection[str]) -> None:
        """Rename and retire the columns of a table that are not renamed or retired yet."""
        present = table.schema().column_names
        renames = {old: name for name, old in renamed.items() if old in present}
        gone = [name for name in retired if name in present]
        for old, name in renames.items():
            if name in present:
                raise SchemaMismatch(
                    f"{(of := '.'.join(table.name()))} has both {old} and {name}, so {old} cannot be renamed. Retire "
                    f"{old}, or make the table again: `medallion rebuild {of}`."
                )
        if not renames and not gone:
            return
        try:
            with table.update_schema(allow_incompatible_changes=True) as change:
                for old, name in renames.items():
                    change.rename_column(old, name)
                for name in gone:
                    change.delete_column(name)
        except CommitFailedException as lost:
            raise CommitConflict(
                f"{'.'.join(table.name())} was changed by another writer while its columns were changed. Try again."
            ) from lost
        log.info("%s: renamed %d columns, retired %d", ".".join(table.name()), len(renames), len(gone))

    def _create(
        self,
        namespace: str,
        name: str,
        schema: Schema,
        partition_by: Sequence[tuple[str, str]],
        properties: Mapping[str, str],
    ) -> Table:
        # IntegrityError: another process created the namespace between SqlCatalog's question for it and its insert.
        with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):
            self._catalog.create_namespace(namespace)
        try:
            table = self._catalog.create_table(
                (namespace, name),
                schema=schema,
                location=f"{self.settings.warehouse}/{namespace}/{name}",
                partition_spec=partition_spec(schema, partition_by),
                properties={**TABLE_PROPERTIES, **properties},
            )
        except TableAlreadyExistsError:  # another process was first; the caller checks its table like any other
            return self._catalog.load_table((namespace, name))
        log.info("created table %s.%s", namespace, name)
        return table

    @translate_outages()
    def drop(self, namespace: str, name: str) -> bool:
        """Remove a table's entry from the catalog, also if its files are gone; return whether there was one.

        Its files stay; maintenance of a new table of this name removes them. Raises LakeUnavailable.
        """
        try:
            self._catalog.drop_table((namespace, name))
        except NoSuchTableError:
            return False
        log.info("removed %s.%s from the catalog", namespace, name)
        return True

    @translate_outages()
    def confine(self, database: duckdb.DuckDBPyConnection) -> None:
        """Let a database read the files of this lake, and nothing else, for ever: no other file, host or setting."""
        duck.confine(database, [self.settings.warehouse, self._copies.root])

    @translate_outages()
    def cursor_of(self, database: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Return a new connection to a database of the caller's own that reads this lake. The caller closes it."""
        with self._opening:
            self._give_access(database)
            return database.cursor()

    def _give_access(self, database: duckdb.DuckDBPyConnection) -> None:
        """Credentials of a role expire within the hour, so each connection gets those that are valid now."""
        if self._session is not None:
            bucket = self.settings.warehouse.removeprefix("s3://").split("/")[0]
            duck.allow_s3(database, bucket, _keys(self._session), self.settings.region, self.settings.s3_endpoint)

    @translate_outages()
    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection that reads this lake. The caller closes it.

        Takes 0.15 to 0.3 s for the first lake that a process has open, then under 1 ms.
        """
        with self._opening:
            if self._database is None:
                self._database = duck.connect(
                    memory_mb=self.settings.duckdb_memory_mb,
                    spill_folder=self.settings.spill_folder,
                    cache_files=self._session is not None,
                )
            self._give_access(self._database)
            return self._database.cursor()

    def reading(self, tables: Iterable[Table | None]) -> AbstractContextManager[None]:
        """Let one thread at a time read the data files of these tables with DuckDB; None is no table.

        DuckDB keeps what it has fetched, but two queries that begin at the same moment both fetch it. A thread that is
        inside does not ask again.
        """
        return self._reading.all_alone(table.name() for table in tables if table is not None)

    @translate_outages()
    def scan_sql(self, table: Table, snapshot_id: int | None, *, own_columns: bool = False) -> str:
        """Return a DuckDB table expression that reads one snapshot with the table's current columns.

        `snapshot_id` None is the snapshot that `table` was loaded with; without any snapshot there are no rows. A
        column that is younger than the snapshot is null, and a renamed one has its current name. With `own_columns` it
        has the columns that the table had then. Raises TableMissing if the snapshot has expired, SchemaMismatch for a
        table of another version of Iceberg's format, LakeUnavailable, LakeDamaged.
        """
        current = table.metadata.current_snapshot_id
        wanted = current if snapshot_id is None else snapshot_id
        if wanted is None:
            return f"iceberg_scan({duck.literal(table.metadata_location)})"
        snapshot = table.snapshot_by_id(wanted)
        if snapshot is None:
            raise TableMissing(
                f"{'.'.join(table.name())} has no snapshot {wanted}: it has expired, or is another table's."
            )
        source = duck.literal(self._copies.metadata(table, snapshot))
        if wanted == current and not own_columns:
            return f"iceberg_scan({source})"
        scan = f"iceberg_scan({source}, snapshot_from_id={wanted})"
        if own_columns:
            return scan
        known = table.schemas()[snapshot.schema_id] if snapshot.schema_id is not None else table.schema()
        then = {field.field_id: field.name for field in known.fields}
        if then == {field.field_id: field.name for field in table.schema().fields}:
            return scan
        with self.duckdb() as connection:
            types = duck.sql_types(connection, file_schema(table.schema()))
        columns = ", ".join(
            f"{duck.identifier(then[field.field_id]) if field.field_id in then else f'NULL::{types[field.name]}'} "
            f"AS {duck.identifier(field.name)}"
            for field in table.schema().fields
        )
        return f"(SELECT {columns} FROM {scan})"


def _keys(session: boto3.Session) -> duck.Keys:
    found = session.get_credentials()
    if found is None:
        raise SettingsError("The lake is on S3, but there are no AWS credentials. Set them or choose a profile.")
    frozen = found.get_frozen_credentials()
    return duck.Keys(str(frozen.access_key), str(frozen.secret_key), frozen.token)


def _open_catalog(settings: LakeSettings, session: boto3.Session | None) -> RemembersTables:
    """Return the pyiceberg catalog, without `load_catalog`, which also reads files and variables of its own."""
    if settings.catalog == "glue":
        if session is None:
            raise SettingsError(f"The catalog is glue, whose tables are on S3, and the warehouse {settings.warehouse}.")
        return open_glue(
            session,
            keys=_keys(session) if settings.s3_endpoint else None,
            warehouse=settings.warehouse,
            region=settings.region,
            s3_endpoint=settings.s3_endpoint,
            glue_endpoint=settings.glue_endpoint,
            database_prefix=settings.database_prefix,
        )
    try:
        Path(settings.warehouse).mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise SettingsError(
            f"The warehouse {settings.warehouse} cannot be created: {refused.strerror}. Choose another directory."
        ) from refused
    # Another process locks the file for milliseconds when it writes: wait for it, seconds.
    return LakeSqlCatalog(
        "lake",
        uri=f"sqlite:///{settings.warehouse}/catalog.db?timeout=30",
        warehouse=settings.warehouse,
        **{"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"},
    )


def _refuse_other_layout(table: Table, key: Sequence[str], partition_by: Sequence[tuple[str, str]]) -> None:
    present = {(field.source_id, field.transform) for field in table.spec().fields}
    wanted = {(field.source_id, field.transform) for field in partition_spec(table.schema(), partition_by).fields}
    if present != wanted:
        raise SchemaMismatch(
            f"{(of := '.'.join(table.name()))} is partitioned by {table.spec()}, not by {list(partition_by)}. Make it "
            f"again: `medallion rebuild {of}`."
        )
    identifiers = table.schema().identifier_field_names()
    if identifiers and identifiers != set(key):
        raise SchemaMismatch(
            f"{(of := '.'.join(table.name()))} has the key {sorted(identifiers)}, not {sorted(key)}. Make it again: "
            f"`medallion rebuild {of}`."
        )
