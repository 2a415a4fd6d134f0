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

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier

SECONDS: Final = 20.0
"""How long a table is remembered, so that a run of many batches sees what others do meanwhile."""


class Seen(NamedTuple):
    """A table's metadata and where its file is."""

    metadata: TableMetadata
    location: str


class TableMemory:
    """The tables that were seen, by identifier; None for one that did not exist. `first` is asked for before others."""

    def __init__(self, first: Identifier | None = None) -> None:
        self.first = first
        self._tables: dict[Identifier, Seen | None] = {}
        self._since = time.monotonic()

    def tables(self) -> dict[Identifier, Seen | None]:
        """Return what is remembered now."""
        now = time.monotonic()
        if now - self._since > SECONDS:
            self.forget()
        return self._tables

    def forget(self) -> None:
        """Forget all tables."""
        self._tables = {}
        self._since = time.monotonic()


class RemembersTables(MetastoreCatalog):
    """A catalog that asks once for a table while `memory` is set; mixed into one of pyiceberg's."""

    memory: TableMemory | None = None

    def load_table(self, identifier: str | Identifier) -> Table:
        """Return a table as it is remembered, or else as it is now."""
        if self.memory is None:
            return super().load_table(identifier)  # type: ignore[safe-super]
        name, tables = self.identifier_to_tuple(identifier), self.memory.tables()
        if not tables and self.memory.first not in {None, name}:
            with suppress(NoSuchTableError):
                self.load_table(self.memory.first)
        if name not in tables:
            try:
                table = super().load_table(identifier)  # type: ignore[safe-super]
            except NoSuchTableError:
                tables[name] = None
                raise
            tables[name] = Seen(table.metadata, table.metadata_location)
            return table
        seen = tables[name]
        if seen is None:
            raise NoSuchTableError(f"Table does not exist: {'.'.join(name)}")
        return Table(name, seen.metadata, seen.location, self._load_file_io(location=seen.location), self)

    def create_table(self, identifier: str | Identifier, *args: Any, **kwargs: Any) -> Table:
        """Create a table, which from now on is known to exist."""
        with self._changing(self.identifier_to_tuple(identifier)):
            return super().create_table(identifier, *args, **kwargs)  # type: ignore[safe-super]

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit on the table as it is in the catalog, and remember it as it is then."""
        with self._changing(table.name()):
            done = super().commit_table(table, requirements, updates)  # type: ignore[safe-super]
        if self.memory is not None:
            self.memory.tables()[table.name()] = Seen(done.metadata, done.metadata_location)
        return done

    @contextmanager
    def _changing(self, name: Identifier) -> Iterator[None]:
        """Forget the table; forget all if the change fails, because then another writer was here."""
        if self.memory is None:
            yield
            return
        self.memory.tables().pop(name, None)
        try:
            yield
        except BaseException:
            self.memory.forget()
            raise


class LakeSqlCatalog(RemembersTables, SqlCatalog):
    """The catalog of a lake on files."""
