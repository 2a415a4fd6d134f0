"""What Trino and Athena have in common: the SQL that pins a mart to snapshots, its result, and what a failure means.

Belongs here: text, types and errors. Does not belong here: talking to an engine (trino_client, athena_client).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from pyiceberg.schema import Schema
from sqlglot import TokenType, exp

from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.day_ranges import day_ranges
from medallion_assets.engines.engine import DayFilter, Input, KeyFilter
from medallion_assets.engines.names import schema_and_table, table_name
from medallion_assets.engines.nesting import refuse_recursion
from medallion_assets.engines.types import trino_type
from medallion_assets.engines.values_condition import values_condition
from medallion_assets.errors import LakeUnavailable, MartError, MedallionError, QueryFailed, SettingsError
from medallion_assets.lake.duck import identifier

# More ranges than for DuckDB: both engines skip files by conditions joined with OR. A statement of Athena may have
# 262,144 bytes, and 200 ranges of both filters have 30,000.
_MAX_RANGES: Final = 200


def select_statement(
    sql: str,
    inputs: Mapping[str, Input],
    columns: Mapping[str, ColumnType],
    *,
    catalog: str,
    today: date | None = None,
    only: DayFilter | KeyFilter | None = None,
    output: Callable[[str, ColumnType], str] | None = None,
) -> str:
    """Return a query, which is in Trino's dialect, as one SELECT that Trino and Athena run on exactly these snapshots.

    The text of the query stays as it is written, so that nothing is lost in a translation. Only the tables are
    replaced, each by its rows in a snapshot, and `current_date`, by `today`. `output` gives the SQL of a result column;
    without it the columns are as they are, timestamps in UTC.
    Raises MartError if a table cannot be replaced.
    """
    text = _bind(sql, inputs, catalog=catalog, today=today, only=only)
    outputs = ", ".join((output or _output)(name, kind) for name, kind in columns.items())
    where = ""
    if isinstance(only, DayFilter):
        where = f"\nWHERE {_any_range(identifier(only.column), only.days, timestamps=False)}"
    return f"SELECT {outputs}\nFROM (\n{text}\n) AS result{where}"


def _output(name: str, kind: ColumnType) -> str:
    column = identifier(name)
    if kind.kind != "timestamp":
        return column
    # Trino sends the clock of the value's own time zone, on which an hour of autumn exists twice.
    return f"{column} AT TIME ZONE 'UTC' AS {column}"


def _bind(
    sql: str, inputs: Mapping[str, Input], *, catalog: str, today: date | None, only: DayFilter | KeyFilter | None
) -> str:
    """Return the text with each table replaced by its rows, `current_date` by a literal, and no semicolon."""
    edits: list[tuple[int, int, str]] = []
    places = {schema_and_table(name) for name in inputs}
    with refuse_recursion():
        tokens = sqlglot.tokenize(sql, read="trino")
        [tree] = [tree for tree in sqlglot.parse(sql, dialect="trino") if tree is not None]
        for token in tokens:
            if token.token_type is TokenType.CURRENT_DATE and today is not None:
                edits.append((token.start, token.end + 1, _day(today)))
            elif token.token_type is TokenType.SEMICOLON:
                edits.append((token.start, token.end + 1, ""))
        for table in tree.find_all(exp.Table):
            if table.db:
                name = table_name(table)
                rows = _rows(inputs[name], catalog=catalog, only=only if only and only.table == name else None)
                alias = "" if table.alias else f" AS {identifier(table.name)}"
                edits.append((_start(table.args["db"]), _end(table.this), f"({rows}){alias}"))
        for column in tree.find_all(exp.Column):
            # silver.orders.status: the rows that stand for the table have its name, and no schema.
            if (column.text("db"), column.table) in places:
                edits.append((_start(column.args["db"]), _start(column.args["table"]), ""))
    for start, end, replacement in sorted(edits, reverse=True):
        sql = sql[:start] + replacement + sql[end:]
    return sql


def _start(name: exp.Expr) -> int:
    return _place(name, "start")


def _end(name: exp.Expr) -> int:
    return _place(name, "end") + 1


def _place(name: exp.Expr, border: str) -> int:
    place = name.meta.get(border)
    if not isinstance(place, int):
        raise MartError(
            f"{name.sql('trino')}: its place in the text is not known, so its snapshot cannot be named; expected the "
            "table as silver.<table> or gold.<mart>"
        )
    return place


def _rows(source: Input, *, catalog: str, only: DayFilter | KeyFilter | None) -> str:
    """Return a SELECT of a table's rows in its snapshot, with the columns that a mart knows."""
    table, snapshot = source.table, None
    if table is not None and source.snapshot_id is not None:
        snapshot = table.snapshot_by_id(source.snapshot_id)
        if snapshot is None:
            raise LakeUnavailable(
                f"{'.'.join(table.name())} has no snapshot {source.snapshot_id} any more; expected the one that was "
                "just planned with. Try again: the refresh then plans with the newest one."
            )
    if table is None or snapshot is None:
        return f"SELECT {', '.join(_null(name, kind) for name, kind in source.columns.items())} WHERE false"
    # Like DuckDB's scan: the table's columns of now. The engine knows those of the snapshot.
    then = table.schemas()[snapshot.schema_id] if snapshot.schema_id is not None else table.schema()
    outputs = [
        _column(name, kind, then, table.schema())
        for name, kind in source.columns.items()
        if name in table.schema().column_names
    ]
    namespace, name = table.name()
    database = table.catalog.identifier_to_database((namespace,))
    where = ""
    if isinstance(only, DayFilter):
        timestamps = source.columns[only.day_of].kind == "timestamp"
        where = f" WHERE {_any_range(identifier(only.day_of), only.read_days, timestamps=timestamps)}"
    elif only is not None and (condition := values_condition(identifier(only.key_of), only.keys)) is not None:
        where = f" WHERE {condition}"
    return (
        f"SELECT {', '.join(outputs)} FROM {identifier(catalog)}.{identifier(database)}.{identifier(name)} "
        f"FOR VERSION AS OF {snapshot.snapshot_id}{where}"
    )


def _column(name: str, kind: ColumnType, then: Schema, now: Schema) -> str:
    """Return the SQL of a column of a snapshot with the schema `then`, in the type that it has now.

    A column that is younger than the snapshot is null in all its rows, and one that has become wider is cast; a struct
    is not, because Trino casts none to one with more fields.
    """
    if name not in then.column_names:
        return _null(name, kind)
    wanted = trino_type(kind)
    if then.find_type(name) == now.find_type(name) or wanted.find(exp.ColumnDef) is not None:
        return identifier(name)
    return f"CAST({identifier(name)} AS {wanted.sql('trino')}) AS {identifier(name)}"


def _null(name: str, kind: ColumnType) -> str:
    return f"CAST(NULL AS {trino_type(kind).sql('trino', identify=True)}) AS {identifier(name)}"


def _any_range(column: str, days: Sequence[date], *, timestamps: bool) -> str:
    """Return a condition for all of `days`; if they are scattered, for some days between them, too."""
    ranges = day_ranges(days, at_most=_MAX_RANGES)
    return "(" + " OR ".join(_range(column, first, last, timestamps=timestamps) for first, last in ranges) + ")"


def _range(column: str, first: date, last: date, *, timestamps: bool) -> str:
    if not timestamps:
        return f"{column} BETWEEN {_day(first)} AND {_day(last)}"
    since = f"{column} >= {_midnight(first)}"
    if last == date.max:  # no value of a column is later
        return since
    return f"{since} AND {column} < {_midnight(last + timedelta(days=1))}"


def _day(day: date) -> str:
    return f"DATE '{day.isoformat()}'"


def _midnight(day: date) -> str:
    return f"TIMESTAMP '{day.isoformat()} 00:00:00 UTC'"


def arrow_schema(columns: Mapping[str, ColumnType]) -> pa.Schema:
    """Return the Arrow schema of a mart's own columns."""
    return pa.schema([pa.field(name, kind.arrow()) for name, kind in columns.items()])


def require_types(given: Mapping[str, str], columns: Mapping[str, ColumnType], *, engine: str) -> None:
    """Raise MartError if the types that an engine gives, as it writes them, are not those that mart.yaml declares.

    A text of limited length is a text, and a timestamp of up to six digits fits one of six digits.
    """
    declared = {name: _plain(trino_type(kind).sql("trino")) for name, kind in columns.items()}
    found = {name: _plain(text) for name, text in given.items()}
    if found != declared or list(found) != list(declared):
        wrong = [name for name in [*declared, *found] if found.get(name) != declared.get(name)] or list(found)
        raise MartError(
            "; ".join(
                f"{engine} gives the column {name} as {given.get(name, 'nothing')}, expected "
                f"{declared.get(name, 'no such column')}"
                for name in dict.fromkeys(wrong)
            )
            + ". CAST it in query.sql to the type that mart.yaml declares."
        )


def _plain(text: str) -> str:
    text = re.sub(r"varchar\(\d+\)", "varchar", text.lower().replace('"', ""))
    return re.sub(r"timestamp\([0-6]\) with time zone", "timestamp with time zone", text).replace(", ", ",")


def collect(
    batches: Iterable[pa.RecordBatch],
    columns: Mapping[str, ColumnType],
    *,
    only: DayFilter | KeyFilter | None,
    limit_bytes: int,
) -> pa.Table:
    """Return the rows of the days or keys in one table. Raises QueryFailed for more than `limit_bytes`."""
    kept: list[pa.RecordBatch] = []
    size = 0
    wanted = pa.array(only.days, pa.date32()) if isinstance(only, DayFilter) else only.keys if only else None
    for batch in batches:
        if only is not None:
            # The SQL has ranges of days, and no condition for too many keys; exactly these are wanted.
            batch = batch.filter(pc.is_in(batch.column(only.column), value_set=wanted))  # noqa: PLW2901
        kept.append(batch)
        size += batch.nbytes
        if size > limit_bytes:
            raise QueryFailed(
                f"The mart's rows take more than {limit_bytes / 2**20:,.0f} MB; they are held in memory until they are "
                "audited and published. Raise MEDALLION_ENGINE_RESULT_MB together with the memory of a run, aggregate "
                "more in query.sql, or give the mart a partition, so that a refresh computes fewer days."
            )
    return pa.Table.from_batches(kept, schema=arrow_schema(columns))


_TOO_LARGE: Final = re.compile(r"EXCEEDED_\w+|QUERY_EXCEEDED_COMPILER_LIMIT|QUERY_HAS_TOO_MANY_STAGES")
_NO_SNAPSHOT: Final = "snapshot ID does not exist"
_AGAIN: Final = "Try again later."
_NO_TABLES: Final = (
    SettingsError,
    "Expected the lake's tables in the engine's catalog. Set MEDALLION_TRINO_CATALOG or MEDALLION_ATHENA_CATALOG to "
    "the catalog that is this lake.",
)
_FORBIDDEN: Final = (SettingsError, "Let the engine's user read the lake's tables.")
_CANCELLED: Final = (QueryFailed, "Somebody cancelled it; run the step again when it may go on.")

# By the names that Trino and Athena share: io.trino.spi.StandardErrorCode.
_MEANINGS: Final[Mapping[str, tuple[type[MedallionError], str]]] = {
    **dict.fromkeys(("CATALOG_NOT_FOUND", "SCHEMA_NOT_FOUND", "TABLE_NOT_FOUND", "MISSING_CATALOG_NAME"), _NO_TABLES),
    **dict.fromkeys(("PERMISSION_DENIED", "INVALID_CREDENTIALS"), _FORBIDDEN),
    **dict.fromkeys(("USER_CANCELED", "ADMINISTRATIVELY_KILLED"), _CANCELLED),
    **dict.fromkeys(
        ("QUERY_QUEUE_FULL", "CLUSTER_OUT_OF_MEMORY", "ADMINISTRATIVELY_PREEMPTED", "ABANDONED_QUERY"),
        (LakeUnavailable, _AGAIN),
    ),
}


def failure(*, engine: str, query_id: str | None, name: str, text: str, outage: bool) -> MedallionError:
    """Return what the failure of a query means: LakeUnavailable if trying again can help, else a permanent error.

    `name` is the name of the engine's error, or empty; `outage` says that the engine calls it its own or external.
    """
    first = next(iter(text.strip().splitlines()), "")[:400].rstrip(".")
    said = f"{engine}, query {query_id or 'without an id'}: {name}{': ' if name and first else ''}{first}"
    if _NO_SNAPSHOT in text:
        return LakeUnavailable(
            f"{said}. Expected the snapshot that the lake published: it has just expired, or the engine's catalog is "
            "behind or is another lake. Try again; if it stays, compare the engine's catalog with MEDALLION_WAREHOUSE."
        )
    if name in _MEANINGS:
        kind, advice = _MEANINGS[name]
        return kind(f"{said}. {advice}")
    if _TOO_LARGE.fullmatch(name):
        return QueryFailed(
            f"{said}. Raise the engine's limit (for time: MEDALLION_ENGINE_TIMEOUT_SECONDS), or let it read less."
        )
    if outage:
        return LakeUnavailable(f"{said}. {_AGAIN}")
    return MartError(f"The query cannot be run: {said}")
