"""The embedded engine: one DuckDB session over a lake, in which tables are views at chosen snapshots.

Belongs here: registering tables in a session, and running queries over them; nothing is written. Does not belong here:
what a query may contain (query), what a mart has to compute (gold), the other engines (engine).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from types import TracebackType
from typing import Final, Self

import duckdb
import pyarrow as pa
from pyiceberg.table import Table
from sqlglot import exp

from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.as_of import separate_tags, unknown_tag
from medallion_assets.engines.day_ranges import day_ranges
from medallion_assets.engines.engine import DayFilter, Input, KeyFilter
from medallion_assets.engines.exact import macros_of
from medallion_assets.engines.names import schema_and_table
from medallion_assets.engines.query import Query, read_any, read_confined, tables_in
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import MartError
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.early_times import has_early_times
from medallion_assets.lake.outage import translate_outages
from medallion_assets.lake.tags import tags_of

NAMESPACES: Final = ("silver", "deleted", "history", "gold", "quarantine", "ops")

# Each range of days is a scan of its own, because DuckDB skips files by one range, but not by several joined with OR.
_MAX_RANGES: Final = 8


class Embedded:
    """A DuckDB session over `lake` with the schemas silver, gold, quarantine and ops, which are empty at first.

    The methods `show...` put tables into them. Sessions do not see each other's tables. Close a session, or use it as a
    context manager.
    """

    def __init__(self, lake: Lake, connection: duckdb.DuckDBPyConnection | None = None) -> None:
        """Begin a session on `connection`, which is closed with it; None: on a new one of the lake's database."""
        self._lake = lake
        self._connection = connection or lake.duckdb()
        self._catalog = f"session_{uuid.uuid4().hex}"
        self._macros: set[str] = set()
        self._connection.execute(f"ATTACH ':memory:' AS {self._catalog}; USE {self._catalog}")
        for namespace in NAMESPACES:
            self._connection.execute(f"CREATE SCHEMA {namespace}")

    def close(self) -> None:
        """End the session and drop its tables."""
        self._connection.execute(f"USE memory; DETACH {self._catalog}")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show_published(self) -> None:
        """Show every table of the lake as it is published now. Raises LakeUnavailable."""
        for namespace in NAMESPACES:
            for name in self._lake.tables(namespace):
                self.show(self._lake.table(namespace, name))

    def show(
        self,
        table: Table,
        *,
        snapshot_id: int | None = None,
        days: tuple[str, Sequence[date]] | None = None,
        keys: tuple[str, pa.Array] | None = None,
        shown_as: str | None = None,
    ) -> None:
        """Show a table under its own name, at a snapshot (None: the published one), with the columns of now.

        Under another name, `shown_as`, it has the columns that it had then.

        `days` = (column, days) allows the session to leave out rows of other days, so that it reads fewer files. With
        `keys` = (column, values; null may be among them) it has exactly the rows of these values.
        """
        namespace, name = table.name()
        scan = self._lake.scan_sql(table, snapshot_id, own_columns=shown_as is not None)
        if has_early_times(table, snapshot_id):
            scan = f"(FROM {scan} OFFSET 0)"  # a filter does not pass it, so no file is skipped
        parts = []
        for span in day_ranges(days[1], at_most=_MAX_RANGES) if days else [None]:
            conditions = _between(days[0], *span) if days and span else []
            parts.append(f"SELECT * FROM {scan}" + (f" WHERE {' AND '.join(conditions)}" if conditions else ""))
        if keys is not None:
            column, values = keys
            self.show_rows("main", "keys", pa.table({"key": values}))
            same = f"t.{identifier(column)} IS NOT DISTINCT FROM k.key"
            parts = [f"SELECT t.* FROM ({part}) t SEMI JOIN main.keys k ON {same}" for part in parts]
        with _translate_query_errors():
            self._connection.execute(
                f"CREATE OR REPLACE VIEW {namespace}.{identifier(shown_as or name)} AS {' UNION ALL '.join(parts)}"
            )

    def show_rows(self, namespace: str, name: str, rows: pa.Table) -> None:
        """Show rows in memory as a table."""
        self._connection.register("incoming", rows)
        self._connection.execute(f"CREATE OR REPLACE TABLE {namespace}.{identifier(name)} AS FROM incoming")
        self._connection.unregister("incoming")

    def show_select(self, namespace: str, name: str, select: str) -> None:
        """Show the result of a SELECT in DuckDB's dialect, over files and tables shown before, as a table."""
        with _translate_query_errors():
            self._connection.execute(f"CREATE OR REPLACE VIEW {namespace}.{identifier(name)} AS {select}")

    def run(self, sql: str, *, today: date) -> pa.Table:
        """Return the rows of a user's SELECT in Trino's dialect over the tables shown; `current_date` is `today`.

        Raises MartError if the SQL is anything else or cannot be run, and LakeUnavailable.
        """
        query = read_any(sql, self._types())
        with _translate_query_errors():
            return self._execute(query.duckdb(today))

    def run_published(self, sql: str, *, today: date) -> pa.Table:
        """Run a user's SELECT as `run` does, over what is published now; only the tables that it names are read.

        A table of it may be at a tag (as_of). Raises as `run` does.
        """
        sql, tagged = separate_tags(sql)
        for one in tagged:
            if one.schema in NAMESPACES and (table := self._lake.find(one.schema, one.table)) is not None:
                tags = tags_of(table)
                if one.tag not in tags:
                    raise unknown_tag(one, tags)
                self.show(table, snapshot_id=tags[one.tag], shown_as=one.name)
        for schema, name in map(schema_and_table, sorted(tables_in(sql))):
            if schema in NAMESPACES and (table := self._lake.find(schema, name)) is not None:
                self.show(table)
        try:
            read_any(sql, self._types())
        except MartError:
            self.show_published()  # the error names every table that there is
        return self.run(sql, today=today)

    def prepare_confined(self, sql: str, *, today: date) -> tuple[Query, str]:
        """Return a stranger's SELECT over the tables shown, and its SQL in DuckDB's dialect for this session.

        Raises MartError for anything but one SELECT that computes values (query.read_confined).
        """
        query = read_confined(sql, self._types())
        written = query.duckdb(today)
        self._create_macros(written)
        return query, written

    def compute(self, query: Query, *, today: date, days: tuple[str, Sequence[date]] | None = None) -> pa.Table:
        """Return the rows of a checked query over the tables shown, with Arrow types that match its Trino types.

        With `days` = (output column, days) it returns the rows of these days only. Raises MartError if the query cannot
        be run, and LakeUnavailable.
        """
        outputs = _typed(query.columns)
        only = f" WHERE {identifier(days[0])} IN ({', '.join(map(_day, days[1]))})" if days else ""
        with _translate_query_errors():
            return self._execute(f"SELECT {outputs} FROM ({query.duckdb(today)}){only}")

    def select(self, sql: str, columns: Mapping[str, ColumnType]) -> pa.Table:
        """Return the rows of a SELECT in DuckDB's dialect over the tables shown, with the Arrow types of `columns`.

        Raises MartError if it cannot be run, and LakeUnavailable.
        """
        outputs = _typed({name: trino_type(kind) for name, kind in columns.items()})
        with _translate_query_errors():
            return self._connection.execute(f"SELECT {outputs} FROM ({sql})").to_arrow_table()

    def _execute(self, sql: str) -> pa.Table:
        """Return the rows of SQL in DuckDB's dialect."""
        self._create_macros(sql)
        return self._connection.execute(sql).to_arrow_table()

    def _create_macros(self, sql: str) -> None:
        """Create the macros that SQL in DuckDB's dialect calls, if they are not there."""
        for name, statement in macros_of(sql).items():
            if name not in self._macros:
                self._connection.execute(statement)
                self._macros.add(name)

    def _types(self) -> Mapping[str, Mapping[str, Mapping[str, exp.DataType]]]:
        """Return the columns of the tables shown, in the form that read_any takes."""
        found: dict[str, dict[str, dict[str, exp.DataType]]] = {}
        with _translate_query_errors():
            columns = self._connection.execute(
                "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = ? ORDER BY column_index",
                [self._catalog],
            ).fetchall()
        for namespace, table, column, kind in columns:
            found.setdefault(namespace, {}).setdefault(table, {})[column] = exp.DataType.build(kind, dialect="duckdb")
        return found


class EmbeddedEngine:
    """Runs SELECTs with DuckDB in this process: no service to run, and the memory and cores of one machine."""

    name: Final = "duckdb"

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def compute(
        self,
        query: Query,
        inputs: Mapping[str, Input],
        columns: Mapping[str, ColumnType],
        *,
        today: date,
        only: DayFilter | KeyFilter | None = None,
    ) -> pa.Table:
        """Return the rows of a query (Engine.compute). Raises MartError, LakeUnavailable."""
        with self._lake.reading(source.table for source in inputs.values()), Embedded(self._lake) as session:
            _show(session, inputs, only=only)
            days = (only.column, only.days) if isinstance(only, DayFilter) else None
            return session.compute(query, today=today, days=days)

    def select(self, sql: str, inputs: Mapping[str, Input], columns: Mapping[str, ColumnType]) -> pa.Table:
        """Return the rows of a SELECT (Engine.select). Raises MartError, LakeUnavailable."""
        with self._lake.reading(source.table for source in inputs.values()), Embedded(self._lake) as session:
            _show(session, inputs)
            return session.select(sql, columns)


def _show(session: Embedded, inputs: Mapping[str, Input], *, only: DayFilter | KeyFilter | None = None) -> None:
    for name, source in inputs.items():
        if source.table is None:
            schema = pa.schema([pa.field(column, kind.arrow()) for column, kind in source.columns.items()])
            session.show_rows(*schema_and_table(name), schema.empty_table())
            continue
        chosen = only if only is not None and only.table == name else None
        session.show(
            source.table,
            snapshot_id=source.snapshot_id,
            days=(chosen.day_of, chosen.read_days) if isinstance(chosen, DayFilter) else None,
            keys=(chosen.key_of, chosen.keys) if isinstance(chosen, KeyFilter) else None,
        )


def _typed(columns: Mapping[str, exp.DataType]) -> str:
    """Return SQL of the columns, each with the type of DuckDB that Arrow shows as Trino's."""
    return ", ".join(
        f"CAST({identifier(name)} AS {kind.sql('duckdb')}) AS {identifier(name)}" for name, kind in columns.items()
    )


@contextmanager
def _translate_query_errors() -> Iterator[None]:
    """Raise MartError with DuckDB's first line for a query that fails, LakeUnavailable if the lake did not answer."""
    try:
        with translate_outages():
            yield
    except duckdb.Error as refused:
        text = str(refused).strip().splitlines()[0]
        raise MartError(f"The query cannot be run: {text}") from refused


def _between(column: str, first: date, last: date) -> list[str]:
    """Return conditions for the days from `first` to `last`, both included; the column is a date or a UTC timestamp."""
    conditions = [f"{identifier(column)} >= {_day(first)}"]
    if last < date.max:  # no value of a column is later
        conditions.append(f"{identifier(column)} < {_day(last + timedelta(days=1))}")
    return conditions


def _day(day: date) -> str:
    return f"DATE '{day.isoformat()}'"
