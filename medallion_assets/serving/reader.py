"""The reader: it runs strangers' SELECTs over the lake, in a DuckDB that can reach nothing but the lake's files.

Belongs here: which tables a query reads, running it within limits. Does not belong here: what a query may contain
(engines.query), how an answer is written (answer), who may ask (app).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.engines.as_of import TaggedTable, separate_tags, unknown_tag
from medallion_assets.engines.embedded import NAMESPACES, Embedded
from medallion_assets.engines.names import SILVER, schema_and_table
from medallion_assets.engines.query import parse, tables_in
from medallion_assets.errors import LakeUnavailable, MartError, QueryFailed
from medallion_assets.lake import duck
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.early_times import has_early_times
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.tags import tags_of
from medallion_assets.serving.execution import Execution
from medallion_assets.serving.limits import Limits
from medallion_assets.serving.refusal import Refusal
from medallion_assets.silver.tail import Tail, fresh_sql

_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class ReadTable:
    """A table that a query read, and its snapshot; None if it never had rows.

    `captured_to`, aware UTC: it was read with what is not merged yet, and has every object that Bronze had then.
    """

    schema: str
    name: str
    snapshot_id: int | None
    captured_to: datetime | None = None


@dataclass(frozen=True)
class Result:
    """The rows of a query.

    - rows, row_count: as Arrow, with times in UTC; how many there are
    - types: Trino's type of each column
    - tables: what was read
    """

    rows: pa.Table
    row_count: int
    types: Mapping[str, str]
    tables: tuple[ReadTable, ...]


class Reader:
    """Runs SELECTs in a database of its own. Threads may share it. Close it."""

    def __init__(self, lake: Lake, limits: Limits, tails: Mapping[str, Tail]) -> None:
        """Make a reader; `tails` are those of the Silver tables, by lake name."""
        self._lake = lake
        self._tails = tails
        self._limits = limits
        self._database = duck.connect(
            f"serving-{uuid.uuid4().hex}",
            memory_mb=limits.memory_mb,
            cache_files=lake.settings.warehouse.startswith("s3://"),
        )
        lake.confine(self._database)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def run(
        self,
        sql: str,
        *,
        today: date,
        execution: Execution,
        may_read: Callable[[str, str], bool],
        fresh: bool = False,
    ) -> Result:
        """Return the rows of one SELECT in Trino's dialect over what is published now; `current_date` is `today`.

        With `fresh`, Silver tables have the changes that are not merged yet, too, and these were not audited.
        `may_read` says for a schema and a table whether the caller may read it. Raises MartError for SQL that is
        refused, Refusal for too large a result and for an execution that was stopped, QueryFailed for one that needs
        too much memory, NotCaughtUp if too much is not merged yet, LakeUnavailable.
        """
        parse(sql)  # what is no SELECT gets its own message
        sql, tagged = separate_tags(sql)
        tags = {one.name: one for one in tagged}
        connection = self._lake.cursor_of(self._database)
        with Embedded(self._lake, connection) as session, _interruptible(execution, connection):
            read = []
            for schema, name in map(schema_and_table, sorted(tables_in(sql))):
                read.append(self._show(session, schema, name, tags.get(name), may_read, fresh=fresh))
                execution.check()
            query, written = session.prepare_confined(sql, today=today)
            execution.check()
            rows = self._fetch(connection.execute(written).to_arrow_reader(_BATCH_ROWS), execution)
        types = {name: kind.sql("trino").lower() for name, kind in query.columns.items()}
        return Result(rows, rows.num_rows, types, tuple(read))

    def _show(
        self,
        session: Embedded,
        schema: str,
        name: str,
        tag: TaggedTable | None,
        may_read: Callable[[str, str], bool],
        *,
        fresh: bool,
    ) -> ReadTable:
        own_name = tag.table if tag else name
        table = self._lake.find(schema, own_name) if schema in NAMESPACES and may_read(schema, own_name) else None
        if table is None:
            raise MartError(
                f"FROM {schema}.{own_name}: no such table, or none that you may read; GET /v1/tables lists them"
            )
        if tag is None and fresh and schema == SILVER and name in self._tails:
            return self._show_fresh(session, name, table)
        if tag is None:
            session.show(table)
            return ReadTable(schema, own_name, table.metadata.current_snapshot_id)
        known = tags_of(table)
        if tag.tag not in known:
            raise unknown_tag(tag, known)
        session.show(table, snapshot_id=known[tag.tag], shown_as=name)
        return ReadTable(schema, own_name, known[tag.tag])

    def _show_fresh(self, session: Embedded, name: str, table: Table) -> ReadTable:
        tail = self._tails[name]
        pending = tail.read(table)
        session.show_rows("main", name, pending.rows)
        scan = self._lake.scan_sql(table, None)
        if has_early_times(table, None):
            scan = f"(FROM {scan} OFFSET 0)"  # a filter does not pass it, so no file is skipped
        session.show_select(SILVER, name, fresh_sql(tail.contract, scan, f"main.{duck.identifier(name)}"))
        return ReadTable(SILVER, name, table.metadata.current_snapshot_id, pending.listed_at)

    def _fetch(self, batches: pa.RecordBatchReader, execution: Execution) -> pa.Table:
        fetched, rows, size = [], 0, 0
        for batch in batches:
            execution.check()
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows > self._limits.rows:
                raise Refusal(
                    413,
                    "too_many_rows",
                    f"The result has more than {self._limits.rows:,} rows, which is the limit. Aggregate, filter, or "
                    "add LIMIT.",
                )
            if size > self._limits.result_bytes:
                raise Refusal(
                    413,
                    "too_many_bytes",
                    f"The result is larger than {self._limits.result_bytes // 2**20} MiB, which is the limit. Select "
                    "fewer columns or rows.",
                )
            fetched.append(batch)
        return pa.Table.from_batches(fetched, schema=batches.schema)


@contextmanager
def _interruptible(execution: Execution, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let `execution.stop` interrupt the connection while inside, and translate what DuckDB raises."""
    execution.use(connection)
    try:
        with translate_outages():
            yield
    except (duckdb.Error, OSError, MartError, LakeUnavailable) as failed:
        execution.check()
        if isinstance(failed, duckdb.OutOfMemoryException) or "Out of Memory Error" in str(failed):
            raise QueryFailed(
                "The query needs more memory than all queries together may use. Let it read fewer rows or columns."
            ) from failed
        if isinstance(failed, MartError | LakeUnavailable):
            raise
        raise MartError(f"The query cannot be run: {str(failed).strip().splitlines()[0]}") from failed
    finally:
        execution.use(None)
