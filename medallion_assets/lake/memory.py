"""What a run has seen of the catalog: each table as it was when the run first asked, and as the run left it.

A run of some seconds asks for the same table in many places. Each answer costs a request, and two different answers
within one run would be of no use: what a commit was planned on is compared with the catalog when it is made, and a
later state is the next run's. Belongs here: remembering, and when it ends. Does not belong here: who wants it (defs).

All tables are forgotten together. So a table that is asked for after another is never remembered from before it: the
tombstones, which are read after Silver, are at least as new as Silver. A table that must not be newer than the others
is asked for first: what the ledger says of a Silver table is true of the table as it was then, and later. A table that
another one was computed from is asked for again, if that was done from a later state (`Lake.find_since`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier
from sqlalchemy import select
from sqlalchemy.orm import Session

from medallion_assets.lake.damage import NOT_METADATA, read_metadata, remember_table, unreadable_metadata
from medallion_assets.lake.one_at_a_time import OneAtATime

SECONDS: Final = 20.0
"""How long a table is remembered, so that a run of many batches sees what others do meanwhile."""


class Seen(NamedTuple):
    """A table's metadata and where its file is."""

    metadata: TableMetadata
    location: str


class TableMemory:
    """The tables that were seen, by identifier; None for one that did not exist. `first` is asked for before others.

    Several lakes and threads may share it.
    """

    def __init__(self, first: Identifier | None = None) -> None:
        self.first = first
        self.one_at_a_time = OneAtATime()
        self._tables: dict[Identifier, Seen | None] = {}
        self._since = time.monotonic()
        self._lock = threading.Lock()

    def tables(self) -> dict[Identifier, Seen | None]:
        """Return what is remembered now. What is put into it counts until all is forgotten."""
        with self._lock:
            if time.monotonic() - self._since > SECONDS:
                self._forget()
            return self._tables

    def forget(self) -> None:
        """Forget all tables."""
        with self._lock:
            self._forget()

    def committed(self, name: Identifier, seen: Seen, *, since: dict[Identifier, Seen | None]) -> None:
        """Remember a table as a commit left it, unless all was forgotten `since` the commit began.

        Then what was asked for first may be newer already.
        """
        with self._lock:
            if self._tables is since:
                self._tables[name] = seen
            else:
                self._tables.pop(name, None)

    def _forget(self) -> None:
        self._tables = {}
        self._since = time.monotonic()


class RemembersTables(MetastoreCatalog):
    """A catalog that asks once for a table while `memory` is set; mixed into one of pyiceberg's."""

    memory: TableMemory | None = None

    def load_table(self, identifier: str | Identifier) -> Table:
        """Return a table as it is remembered, or else as it is now."""
        memory = self.memory
        if memory is None:
            return self.sound(self.identifier_to_tuple(identifier), partial(super().load_table, identifier))  # type: ignore[safe-super]
        name, tables = self.identifier_to_tuple(identifier), memory.tables()
        if memory.first is not None and memory.first not in {name, *tables}:
            with suppress(NoSuchTableError):
                self.load_table(memory.first)
        with memory.one_at_a_time.alone(name):
            if name not in tables:
                try:
                    table = self.sound(name, partial(super().load_table, identifier))  # type: ignore[safe-super]
                except NoSuchTableError:
                    tables[name] = None
                    raise
                tables[name] = Seen(table.metadata, table.metadata_location)
                return table
            seen = tables[name]
        if seen is None:
            raise NoSuchTableError(f"Table does not exist: {'.'.join(name)}")
        return Table(name, seen.metadata, seen.location, self._load_file_io(location=seen.location), self)

    def load_tables(self, namespace: str, names: Collection[str]) -> dict[str, Callable[[], Table]]:
        """Return an act for each of these tables that loads it as it is now, or raises NoSuchTableError.

        A catalog that answers for many tables at once is asked here.
        """
        return {name: partial(self.load_table, (namespace, name)) for name in names}

    def sound(self, name: Identifier, load: Callable[[], Table]) -> Table:
        """Return the table that `load` returns. Raises LakeDamaged if its metadata cannot be read."""
        try:
            table = load()
        except (FileNotFoundError, *NOT_METADATA) as broken:
            current, before = self.metadata_locations(name)
            io = self._load_file_io(location=current)
            raise unreadable_metadata(".".join(name), current, read_metadata(io, before)) from broken
        remember_table(table)
        return table

    def metadata_locations(self, name: Identifier) -> tuple[str | None, str | None]:
        """Return where the catalog says that a table's metadata is, and where it was before the last commit."""
        raise NotImplementedError

    def create_table(self, identifier: str | Identifier, *args: Any, **kwargs: Any) -> Table:
        """Create a table, which from now on is known to exist."""
        with self._changing(self.identifier_to_tuple(identifier)):
            return super().create_table(identifier, *args, **kwargs)  # type: ignore[safe-super]

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit on the table as it is in the catalog, and remember it as it is then."""
        with self._changing(table.name()) as tables:
            done = super().commit_table(table, requirements, updates)  # type: ignore[safe-super]
            if self.memory is not None and tables is not None:
                self.memory.committed(table.name(), Seen(done.metadata, done.metadata_location), since=tables)
        return done

    @contextmanager
    def _changing(self, name: Identifier) -> Iterator[dict[Identifier, Seen | None] | None]:
        """Forget the table; forget all if the change fails, because then another writer was here.

        Other threads that ask for the table wait for the change.
        """
        memory = self.memory
        if memory is None:
            yield None
            return
        with memory.one_at_a_time.alone(name):
            tables = memory.tables()
            tables.pop(name, None)
            try:
                yield tables
            except BaseException:
                memory.forget()
                raise


class LakeSqlCatalog(RemembersTables, SqlCatalog):
    """The catalog of a lake on files."""

    def metadata_locations(self, name: Identifier) -> tuple[str | None, str | None]:
        """Return the table's current and previous metadata (RemembersTables.metadata_locations)."""
        entry = select(IcebergTables.metadata_location, IcebergTables.previous_metadata_location).where(
            IcebergTables.catalog_name == self.name,
            IcebergTables.table_namespace == name[0],
            IcebergTables.table_name == name[1],
        )
        with Session(self.engine) as session:
            current, before = session.execute(entry).one()
        return current, before
