"""Athena runs a SELECT: one UNLOAD, whose Parquet files are read back one after the other.

Belongs here: talking to Athena and to the bucket of its results. Does not belong here: the SQL and what a failure means
(remote).

Why UNLOAD and not the pages of GetQueryResults: these hold 1,000 rows each, give every value as text and nested ones in
a form that cannot be parsed ("{a=b}"), and come one after the other; Parquet keeps types, nulls and nesting. What it
costs: a place to write to, and a delete afterwards. UNLOAD cannot write a timestamp with time zone, so those columns
travel as text and become timestamps here.
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.engine import AthenaSettings, DayFilter, Input, KeyFilter
from medallion_assets.engines.query import Query
from medallion_assets.engines.remote import arrow_schema, collect, failure, select_statement
from medallion_assets.errors import LakeUnavailable, MartError, QueryFailed, SettingsError
from medallion_assets.lake.aws import open_session
from medallion_assets.lake.duck import identifier, literal

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_athena.type_defs import QueryExecutionTypeDef
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

MAX_STATEMENT_BYTES: Final = 262_144
"""The longest statement that Athena takes: docs.aws.amazon.com/athena/latest/ug/service-limits.html."""

_BATCH_ROWS: Final = 65_536
_SPOOL_BYTES: Final = 64 * 2**20  # a larger file goes to the disk
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0
_NAME: Final = re.compile(r"\s*([A-Z][A-Z_]+):")
_SYSTEM_ERROR: Final = 1  # AthenaError.ErrorCategory: 1 is the system, 2 the user, 3 anything else
_REFUSED: Final = frozenset(
    {
        *("AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidClientTokenId"),
        *("ExpiredTokenException", "ExpiredToken", "InvalidSignatureException", "InvalidAccessKeyId"),
    }
)
_BUSY: Final = frozenset({"TooManyRequestsException", "ThrottlingException", "InternalServerException", "SlowDown"})


class AthenaEngine:
    """Runs SELECTs in Athena, in a workgroup of ours and a catalog that is our lake."""

    name: Final = "athena"

    def __init__(
        self,
        settings: AthenaSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._clock = clock

    @cached_property
    def athena(self) -> AthenaClient:
        """The client of Athena, made when it is first needed."""
        return open_session(self._settings.region).client("athena")

    @cached_property
    def s3(self) -> S3Client:
        """The client of the bucket with the results, made when it is first needed."""
        return open_session(self._settings.region).client("s3")

    def compute(
        self,
        query: Query,
        inputs: Mapping[str, Input],
        columns: Mapping[str, ColumnType],
        *,
        today: date,
        only: DayFilter | KeyFilter | None = None,
    ) -> pa.Table:
        """Return the rows of a query (Engine.compute). Its files are deleted, whether it succeeds or not."""
        return self._unload(query.sql, inputs, columns, today=today, only=only)

    def select(self, sql: str, inputs: Mapping[str, Input], columns: Mapping[str, ColumnType]) -> pa.Table:
        """Return the rows of a SELECT (Engine.select). Its files are deleted, whether it succeeds or not."""
        return self._unload(sql, inputs, columns)

    def _unload(
        self,
        select: str,
        inputs: Mapping[str, Input],
        columns: Mapping[str, ColumnType],
        *,
        today: date | None = None,
        only: DayFilter | KeyFilter | None = None,
    ) -> pa.Table:
        token = uuid.uuid4().hex
        place = f"{self._settings.output.rstrip('/')}/unload-{token}/"
        sql = unload_statement(
            select, inputs, columns, catalog=self._settings.catalog, today=today, only=only, place=place
        )
        with _translate_aws_errors(self._settings):
            query_id = self.athena.start_query_execution(
                QueryString=sql,
                ClientRequestToken=token,
                WorkGroup=self._settings.workgroup,
                QueryExecutionContext={"Catalog": self._settings.catalog},
                ResultConfiguration={"OutputLocation": f"{self._settings.output.rstrip('/')}/"},
            )["QueryExecutionId"]
            try:
                done = self._wait(query_id)
                rows = collect(
                    self._batches(place, columns), columns, only=only, limit_bytes=self._settings.limits.result_bytes
                )
            finally:
                self._delete(place)
        scanned = done.get("Statistics", {}).get("DataScannedInBytes")
        log.info("athena query %s: %d rows, %s bytes scanned", query_id, rows.num_rows, scanned)
        return rows

    def _wait(self, query_id: str) -> QueryExecutionTypeDef:
        """Return the query when it has succeeded. A query that we do not wait for to its end is stopped."""
        until, pause = self._clock() + self._settings.limits.timeout_seconds, _FIRST_PAUSE_SECONDS
        try:
            while True:
                found = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
                status = found["Status"]
                if status["State"] == "SUCCEEDED":
                    return found
                if status["State"] in {"FAILED", "CANCELLED"}:
                    break
                if self._clock() >= until:
                    raise QueryFailed(
                        f"Athena, query {query_id}: it is {status['State']} after "
                        f"{self._settings.limits.timeout_seconds} s, so it was stopped. Raise "
                        "MEDALLION_ENGINE_TIMEOUT_SECONDS, or let it read less."
                    )
                self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        except BaseException:
            self._stop(query_id)
            raise
        error = status.get("AthenaError", {})
        text = status.get("StateChangeReason") or error.get("ErrorMessage") or "no reason is given"
        named = _NAME.match(text)
        raise failure(
            engine="Athena",
            query_id=query_id,
            name="USER_CANCELED" if status["State"] == "CANCELLED" else named[1] if named else "",
            text=text[named.end() :] if named else text,
            outage=error.get("Retryable", False) or error.get("ErrorCategory") == _SYSTEM_ERROR,
        )

    def _stop(self, query_id: str) -> None:
        try:
            self.athena.stop_query_execution(QueryExecutionId=query_id)
        except (BotoCoreError, ClientError) as failed:
            log.warning("athena query %s was not stopped and goes on: %s", query_id, type(failed).__name__)

    def _batches(self, place: str, columns: Mapping[str, ColumnType]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all result files. A result without rows has no file."""
        for key in self._keys(place):
            with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
                self._download(key, file)
                content = pq.ParquetFile(file)
                _require_columns(content.schema_arrow, columns)
                for batch in content.iter_batches(batch_size=_BATCH_ROWS):
                    yield _conform(batch, columns)

    def _download(self, key: str, file: IO[bytes]) -> None:
        bucket, _ = _split(self._settings.output)
        body = self.s3.get_object(Bucket=bucket, Key=key)["Body"]
        for chunk in body.iter_chunks(2**20):
            file.write(chunk)
        file.seek(0)

    def _keys(self, place: str) -> Iterator[str]:
        bucket, prefix = _split(place)
        more: dict[str, str] = {}
        while True:
            page = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)  # type: ignore[arg-type]
            yield from (found["Key"] for found in page.get("Contents", []) if found["Size"])
            if "NextContinuationToken" not in page:
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _delete(self, place: str) -> None:
        """Delete the result's files. A file that stays costs only its storage, so a failure is only logged."""
        bucket, _ = _split(place)
        try:
            for key in list(self._keys(place)):
                self.s3.delete_object(Bucket=bucket, Key=key)
        except (BotoCoreError, ClientError) as failed:
            log.warning("results below %s were not deleted; delete them: %s", place, type(failed).__name__)


def unload_statement(
    sql: str,
    inputs: Mapping[str, Input],
    columns: Mapping[str, ColumnType],
    *,
    catalog: str,
    place: str,
    today: date | None = None,
    only: DayFilter | KeyFilter | None = None,
) -> str:
    """Return the UNLOAD of a query's text to Parquet below `place`, with timestamps as text.

    Raises MartError for a timestamp inside another type, and for a statement that is too long.
    """
    for name, kind in columns.items():
        if kind.kind != "timestamp" and _has_timestamp(kind):
            raise MartError(
                f"{name} is {kind}: Athena's UNLOAD cannot write a timestamp inside another type; expected a column of "
                "its own, or another engine"
            )
    select = select_statement(sql, inputs, columns, catalog=catalog, today=today, only=only, output=_written)
    unload = f"UNLOAD (\n{select}\n) TO {literal(place)} WITH (format = 'PARQUET', compression = 'SNAPPY')"
    if len(unload.encode()) > MAX_STATEMENT_BYTES:
        raise MartError(
            f"The statement has {len(unload.encode()):,} bytes, and Athena takes {MAX_STATEMENT_BYTES:,}. Make "
            "query.sql shorter, for example with a second mart."
        )
    return unload


def _written(name: str, kind: ColumnType) -> str:
    column = identifier(name)
    if kind.kind != "timestamp":
        return column
    return f"CAST({column} AT TIME ZONE 'UTC' AS varchar) AS {column}"


def _has_timestamp(kind: ColumnType) -> bool:
    parts = [*(type_ for _, _, type_ in kind.fields), *([kind.element] if kind.element is not None else [])]
    return kind.kind == "timestamp" or any(map(_has_timestamp, parts))


def _require_columns(found: pa.Schema, columns: Mapping[str, ColumnType]) -> None:
    """Raise MartError if a file does not have the declared columns with their types."""
    declared = {name: pa.string() if kind.kind == "timestamp" else kind.arrow() for name, kind in columns.items()}
    given = {field.name: field.type for field in found}
    wrong = [name for name in [*declared, *given] if name not in given or name not in declared]
    wrong += [name for name in declared if name in given and _shape(given[name]) != _shape(declared[name])]
    if wrong:
        raise MartError(
            "; ".join(
                f"Athena gives the column {name} as {given.get(name, 'nothing')}, expected "
                f"{declared.get(name, 'no such column')}"
                for name in dict.fromkeys(wrong)
            )
            + ". CAST it in query.sql to the type that mart.yaml declares."
        )


def _shape(kind: pa.DataType) -> object:
    """Return a type without the names that Parquet gives to the parts of lists and maps."""
    if pa.types.is_list(kind):
        return ("list", _shape(kind.value_type))
    if pa.types.is_map(kind):
        return ("map", _shape(kind.key_type), _shape(kind.item_type))
    if pa.types.is_struct(kind):
        return ("struct", *((kind.field(at).name, _shape(kind.field(at).type)) for at in range(kind.num_fields)))
    return kind


def _conform(batch: pa.RecordBatch, columns: Mapping[str, ColumnType]) -> pa.RecordBatch:
    """Return the batch with the declared Arrow types, in the declared order."""
    schema = arrow_schema(columns)
    arrays = []
    for field, kind in zip(schema, columns.values(), strict=True):
        array = batch.column(field.name)
        if kind.kind == "timestamp":
            array = pc.replace_substring_regex(array, pattern=" UTC$", replacement="Z")
        arrays.append(array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _split(place: str) -> tuple[str, str]:
    """Return bucket and key of s3://bucket/key."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def _translate_aws_errors(settings: AthenaSettings) -> Iterator[None]:
    """Raise our errors for those of boto3 in calls to Athena and to the bucket of its results."""
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as missing:
        raise SettingsError(f"Athena needs AWS credentials: {missing}. Set them or choose a profile.") from missing
    except ClientError as answer:
        code, status = answer.response["Error"]["Code"], _status(answer.response)
        if code in _REFUSED or status in (401, 403):
            raise SettingsError(
                f"AWS refused us ({answer}). Let this role run queries in the workgroup {settings.workgroup}, read the "
                f"lake, and read, write, list and delete below {settings.output}."
            ) from answer
        if code in _BUSY or status >= 500:
            raise LakeUnavailable(f"Athena failed: {answer}. Try again later.") from answer
        raise SettingsError(
            f"Athena does not take the query as it is asked for: {answer}. Check MEDALLION_ATHENA_WORKGROUP, "
            "MEDALLION_ATHENA_OUTPUT and MEDALLION_ATHENA_CATALOG."
        ) from answer
    except BotoCoreError as unreachable:
        raise LakeUnavailable(f"Athena or S3 did not answer: {unreachable}. Try again later.") from unreachable


def _status(response: Any) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
