"""The envelope: a stream record becomes a Bronze row, and rows become the bytes of one Parquet file.

Belongs here: the columns of Bronze, and how the two shapes of a stream record (Lambda's event, boto3's `get_records`)
fill them. Does not belong here: names and paths of objects, and the content of an image.
"""

import base64
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from arro3.core import Array, DataType, Field, Schema, Table
from arro3.io import write_parquet

from medallion_assets.capture.coverage import COVERAGE_KEY, ShardCoverage
from medallion_assets.capture.naming import TABLE_NAME
from medallion_assets.capture.sequence import SEQUENCE_DIGITS, is_sequence
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.errors import CaptureError

_TIMESTAMP: Final = DataType.timestamp("us", tz="UTC")

BRONZE_SCHEMA: Final = Schema(
    [
        Field("event_id", DataType.utf8(), nullable=False),
        Field("event_name", DataType.utf8(), nullable=False),
        Field("table_name", DataType.utf8(), nullable=False),
        Field("sequence_number", DataType.utf8(), nullable=False),
        Field("approximate_creation_time", _TIMESTAMP, nullable=True),
        Field("keys", DataType.utf8(), nullable=False),
        Field("new_image", DataType.utf8(), nullable=True),
        Field("old_image", DataType.utf8(), nullable=True),
        Field("user_identity", DataType.utf8(), nullable=True),
        Field("stream_arn", DataType.utf8(), nullable=False),
        Field("captured_at", _TIMESTAMP, nullable=False),
    ]
)

BRONZE_COLUMNS: Final[tuple[str, ...]] = tuple(BRONZE_SCHEMA.names)

# Level 1 is the fastest, and on images of orders its files are as small as those of level 6. Images do not repeat, so a
# dictionary costs time and saves nothing.
_COMPRESSION: Final = "zstd(1)"

# Two thirds of capture's time are spent in this call, so no function of our own wraps it.
_json: Final = orjson.dumps

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND: Final = timedelta(microseconds=1)
_YEAR_10000_US: Final = 253_402_300_800_000_000

_STREAM_ARN: Final = re.compile(rf"arn:[a-z-]+:dynamodb:[^:]*:[^:]*:table/({TABLE_NAME})/stream/\S+")


class Row(NamedTuple):
    """One row of Bronze without `captured_at`, which is the same for the whole file. Images are DynamoDB JSON text."""

    event_id: str
    event_name: str
    table_name: str
    sequence_number: str
    approximate_creation_us: int | None
    keys: str
    new_image: str | None
    old_image: str | None
    user_identity: str | None
    stream_arn: str


class MalformedRecord(dict[str, Any]):
    """A stream record, as sent, that is not DynamoDB JSON. `reason` says why; it gets no envelope."""

    reason: str = ""


def envelope(record: Mapping[str, Any], names: SourceNames = SAME_NAMES) -> Row:
    """Return the Bronze row of one stream record; its table has the name that `names` says the contract has.

    The record has the shape of a Lambda event's record, or of boto3's `dynamodbstreams.get_records` with
    `eventSourceARN` added: in that shape binary values are `bytes`, the time is a `datetime`, and the names in
    `userIdentity` are capitalised. Both shapes of one change give the same row.

    Raises CaptureError for a MalformedRecord, and when a field is missing or cannot be written as UTF-8 JSON; the
    message holds no values.
    """
    if isinstance(record, MalformedRecord):
        raise CaptureError(
            f"stream record is not DynamoDB JSON ({record.reason}); expected attribute values with one type tag each. "
            "Inspect it in its dead letter."
        )
    try:
        change = record["dynamodb"]
        stream_arn = record["eventSourceARN"]
        return Row(
            _text(record["eventID"]),
            _text(record["eventName"]),
            names.in_contract(table_of(stream_arn)),
            sequence_number(record),
            _microseconds(change.get("ApproximateCreationDateTime")),
            _json(change["Keys"], _base64).decode(),
            _json(image, _base64).decode() if (image := change.get("NewImage")) is not None else None,
            _json(image, _base64).decode() if (image := change.get("OldImage")) is not None else None,
            _identity(who) if (who := record.get("userIdentity")) is not None else None,
            stream_arn,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CaptureError(
            f"stream record cannot be enveloped ({type(error).__name__}: {error}); expected the shape that DynamoDB "
            "Streams documents, with text that is valid UTF-8. Inspect it in its dead letter."
        ) from error


def refusal(record: Mapping[str, Any]) -> str | None:
    """Return why a record has no envelope, None if it has one."""
    try:
        envelope(record)
    except CaptureError as error:
        return str(error)
    return None


def sequence_number(record: Mapping[str, Any]) -> str:
    """Return the sequence number of a stream record, as sent.

    Raises CaptureError when there is none: such a record cannot be reported alone, only its whole batch can.
    """
    try:
        text = record["dynamodb"]["SequenceNumber"]
    except (KeyError, TypeError) as error:
        raise CaptureError(
            "stream record without dynamodb.SequenceNumber; expected text of digits, no failure can be reported without"
        ) from error
    if not is_sequence(text):
        raise CaptureError(f"stream record whose dynamodb.SequenceNumber is not text of 1 to {SEQUENCE_DIGITS} digits")
    number: str = text
    return number


@lru_cache(maxsize=1024)
def table_of(stream_arn: str) -> str:
    """Return the table name, as DynamoDB has it, in the ARN of a stream. Raises CaptureError for anything else."""
    match = _STREAM_ARN.fullmatch(stream_arn)
    if match is None:
        raise CaptureError(
            f"{stream_arn!r} is not a DynamoDB stream ARN; expected "
            "arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>"
        )
    return match[1]


def content_hash(rows: Sequence[Row]) -> str:
    """Return 16 hex digits: a hash of the rows, which does not depend on the time of capture."""
    digest = hashlib.sha256()
    for column in zip(*rows, strict=True):
        # A line feed separates the values: JSON escapes it, the others have none. No image is the text None.
        digest.update("\n".join(map(str, column)).encode())
        digest.update(b"\n\n")
    return digest.hexdigest()[:16]


def to_parquet(rows: Sequence[Row], *, captured_at: datetime, coverage: ShardCoverage | None = None) -> bytes:
    """Return one Parquet file (zstd) of `rows` with the columns of `BRONZE_SCHEMA`, in the order given.

    `coverage` is stored in its key-value metadata; None when the shard of the rows is not known.
    """
    columns: list[Sequence[object]] = [*zip(*rows, strict=True), [(captured_at - _EPOCH) // _MICROSECOND] * len(rows)]
    types: list[DataType] = BRONZE_SCHEMA.types
    arrays = [
        Array(values, DataType.int64()).cast(_TIMESTAMP) if kind == _TIMESTAMP else Array(values, kind)
        for values, kind in zip(columns, types, strict=True)
    ]
    file = io.BytesIO()
    write_parquet(
        Table.from_arrays(arrays, schema=BRONZE_SCHEMA),
        file,
        compression=_COMPRESSION,
        dictionary_enabled=False,
        key_value_metadata={COVERAGE_KEY: coverage.to_json()} if coverage else None,
    )
    return file.getvalue()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, saw {type(value).__name__}")
    value.encode()
    return value


def _base64(value: object) -> str:
    """Return binary as Lambda's events carry it. Raises TypeError for anything else that JSON cannot hold."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in an image")


def _identity(who: Mapping[str, Any]) -> str:
    lowered = {name[0].lower() + name[1:]: value for name, value in who.items()}
    return orjson.dumps(lowered, option=orjson.OPT_SORT_KEYS).decode()


def _microseconds(time: datetime | float | None) -> int | None:
    """Return microseconds since 1970. Lambda sends seconds since 1970, boto3 an aware datetime."""
    if time is None:
        return None
    since_epoch = (time - _EPOCH) // _MICROSECOND if isinstance(time, datetime) else round(time * 1_000_000)
    if not 0 <= since_epoch < _YEAR_10000_US:
        raise ValueError("ApproximateCreationDateTime is outside the years 1970 to 9999")
    return since_epoch
