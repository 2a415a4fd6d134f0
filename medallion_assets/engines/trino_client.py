"""Trino runs a SELECT, whose result comes page by page.

Belongs here: talking to Trino with its own Python client, and its values as Arrow's. Does not belong here: the SQL and
what a failure means (remote).

The client asks for the next page when the last one is used, so this process holds two pages of Python values, at most
16 MB each as the server sends them, and the Arrow batches made of the former ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.engine import DayFilter, Input, KeyFilter, TrinoSettings
from medallion_assets.engines.query import Query
from medallion_assets.engines.remote import arrow_schema, collect, failure, require_types, select_statement
from medallion_assets.errors import ExtraMissing, LakeUnavailable, MartError, SettingsError

if TYPE_CHECKING:
    from trino.dbapi import Connection, Cursor

log = logging.getLogger(__name__)

_BATCH_ROWS: Final = 10_000
_SOURCE: Final = "medallion-assets"


class TrinoEngine:
    """Runs SELECTs on a Trino server, in a catalog that is our lake."""

    name: Final = "trino"

    def __init__(self, settings: TrinoSettings) -> None:
        try:
            import trino  # noqa: F401
        except ImportError as missing:
            raise ExtraMissing(
                "MEDALLION_ENGINE is trino, and the client of Trino is not installed. Install it: "
                "pip install 'medallion-assets[trino]'."
            ) from missing
        self._settings = settings

    def compute(
        self,
        query: Query,
        inputs: Mapping[str, Input],
        columns: Mapping[str, ColumnType],
        *,
        today: date,
        only: DayFilter | KeyFilter | None = None,
    ) -> pa.Table:
        """Return the rows of a query (Engine.compute). A query that is not read to its end is cancelled in Trino."""
        sql = select_statement(query.sql, inputs, columns, catalog=self._settings.catalog, today=today, only=only)
        return self._rows(sql, columns, only=only)

    def select(self, sql: str, inputs: Mapping[str, Input], columns: Mapping[str, ColumnType]) -> pa.Table:
        """Return the rows of a SELECT (Engine.select). A query that is not read to its end is cancelled in Trino."""
        return self._rows(select_statement(sql, inputs, columns, catalog=self._settings.catalog), columns)

    def _rows(
        self, sql: str, columns: Mapping[str, ColumnType], *, only: DayFilter | KeyFilter | None = None
    ) -> pa.Table:
        limit = self._settings.limits.result_bytes
        with _translate_trino_errors(self._settings.url), closing(self._connect()) as connection:
            cursor = connection.cursor()
            try:
                cursor.execute(sql)
                given = {column.name: column.type_code for column in cursor.description or ()}
                require_types(given, columns, engine="Trino")
                rows = collect(_batches(cursor, columns), columns, only=only, limit_bytes=limit)
            except BaseException:
                with suppress(Exception):  # the first error is the one to tell; Trino ends a query that nobody reads
                    cursor.cancel()
                raise
            log.info("trino query %s: %d rows, %s bytes read", cursor.query_id, rows.num_rows, _read_bytes(cursor))
            return rows

    def _connect(self) -> Connection:
        from trino.auth import BasicAuthentication
        from trino.dbapi import Connection

        settings, password = self._settings, self._settings.password
        return Connection(
            host=settings.url,
            user=settings.user,
            source=_SOURCE,
            timezone="UTC",
            auth=BasicAuthentication(settings.user, password.get_secret_value()) if password is not None else None,
            session_properties={"query_max_run_time": f"{settings.limits.timeout_seconds}s"},
        )


def _read_bytes(cursor: Cursor) -> object:
    stats = cursor.stats or {}
    return stats.get("physicalInputBytes", stats.get("processedBytes"))


def _batches(cursor: Cursor, columns: Mapping[str, ColumnType]) -> Iterator[pa.RecordBatch]:
    """Yield the result as Arrow batches."""
    schema = arrow_schema(columns)
    converters = [_converter(kind) for kind in columns.values()]
    while rows := cursor.fetchmany(_BATCH_ROWS):
        yield pa.RecordBatch.from_arrays(
            [
                _array(values, field, convert)
                for values, field, convert in zip(zip(*rows, strict=True), schema, converters, strict=True)
            ],
            schema=schema,
        )


def _array(values: Sequence[Any], field: pa.Field, convert: Callable[[Any], Any] | None) -> pa.Array:
    try:
        return pa.array(values if convert is None else map(convert, values), field.type)
    except (pa.ArrowException, OverflowError, ValueError):
        # Without the cause, because Arrow's message may quote a value.
        raise MartError(f"Trino gives a value of {field.name} that is no {field.type}.") from None


def _converter(kind: ColumnType) -> Callable[[Any], Any] | None:
    """Return the function from the client's value to one that Arrow takes; None if it takes it as it is."""
    if kind.kind == "timestamp":
        return _require_utc
    if kind.kind == "struct":
        names = [name for _, name, _ in kind.fields]
        parts = [_converter(type_) or _same for _, _, type_ in kind.fields]

        def struct(value: Any) -> Any:
            found = zip(names, parts, value, strict=True) if value is not None else ()
            return None if value is None else {name: convert(one) for name, convert, one in found}

        return struct
    if kind.element is None:
        return None
    inner = _converter(kind.element) or _same
    if kind.kind == "map":
        return lambda value: None if value is None else [(key, inner(one)) for key, one in value.items()]
    return None if inner is _same else lambda value: None if value is None else [inner(one) for one in value]


def _require_utc(value: datetime | None) -> datetime | None:
    """Return a time in UTC. One inside a list or a struct keeps its time zone in the SQL, and may be ambiguous."""
    if value is not None and str(value.tzinfo) != "UTC":
        raise MartError(
            f"Trino gives a timestamp in {value.tzinfo} inside another type; expected UTC: write AT TIME ZONE 'UTC' in "
            "query.sql"
        )
    return value


def _same(value: Any) -> Any:
    return value


@contextmanager
def _translate_trino_errors(url: str) -> Iterator[None]:
    """Raise our errors for those of the client. Their texts hold no password: the client puts it in a header only."""
    from trino import exceptions

    try:
        yield
    except exceptions.TrinoQueryError as failed:
        raise failure(
            engine="Trino",
            query_id=failed.query_id,
            name=failed.error_name or "",
            text=failed.message,
            outage=failed.error_type in {"EXTERNAL", "INTERNAL_ERROR"},
        ) from failed
    except exceptions.TrinoDataError as unreadable:
        raise MartError("Trino gives a value that Python cannot hold, such as a year beyond 9999.") from unreadable
    except (exceptions.HttpError, exceptions.OperationalError) as failed:
        text = (str(failed).splitlines() or [type(failed).__name__])[0][:400]
        if text.startswith(("error 401", "error 403")):
            raise SettingsError(
                f"Trino at {url} refused us ({text}). Expected a user that may query; check MEDALLION_TRINO_USER and "
                "MEDALLION_TRINO_PASSWORD."
            ) from failed
        if text.startswith("error 404"):
            raise SettingsError(
                f"What answers at {url} is not Trino ({text}). Set MEDALLION_TRINO_URL to the coordinator's address."
            ) from failed
        raise LakeUnavailable(f"Trino at {url} did not answer: {text}. Try again later.") from failed
