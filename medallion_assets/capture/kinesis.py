"""Kinesis Data Streams for DynamoDB: its records become records of a stream of their table.

Belongs here: the record's format, which tables come this way since when, and the stream that their changes are of. Does
not belong here: what Lambda calls with it (handler), and what a record becomes in Bronze (write_bronze).

From the Amazon DynamoDB Developer Guide, "Using Kinesis Data Streams to capture changes to DynamoDB": a record may come
more than once and in another order than the changes were made; `ApproximateCreationDateTime` identifies order and
duplicates; it has milliseconds or, if so configured, microseconds; binary values are encoded in base64 twice. A record
has no number of its own, so its number is that time in microseconds. Two changes of one item within a millisecond
could not be ordered, so records with milliseconds are refused. Within a microsecond the change that is captured first
stays.

The times of a table go on when it is deleted and made anew, so all its changes are of one stream. It has the ARN of a
stream of DynamoDB whose label is the time since when the table comes by Kinesis: its changes follow those of an earlier
stream of DynamoDB.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

import orjson

from medallion_assets.capture.naming import require_table_name
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.errors import CaptureError, SettingsError

VARIABLE: Final = "MEDALLION_KINESIS_TABLES"
"""The environment variable that says which tables come by Kinesis."""

_SOURCE: Final = "aws:kinesis"
_ARN: Final = re.compile(r"arn:([a-z-]+):(?:kinesis|dynamodb):([a-z0-9-]+):([0-9]{12}):\S+")


class KinesisTables:
    """The tables whose changes come by Kinesis, as their contracts name them, and since when, in UTC."""

    def __init__(self, since: Mapping[str, datetime] = {}) -> None:
        self._since = dict(since)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the tables in a text such as `Orders=2026-12-01T00:00:00,Users=…`. Raises SettingsError."""
        found: dict[str, datetime] = {}
        for pair in filter(None, text.split(",")):
            table, _, since = pair.partition("=")
            try:
                require_table_name(table)
                at = datetime.fromisoformat(since)
            except ValueError as error:
                raise SettingsError(f"{pair!r}: expected <table of a contract>=<time in UTC>; {error}") from error
            if table in found:
                raise SettingsError(f"{pair!r}: the table was given before; expected each table once")
            found[table] = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return cls(found)

    @classmethod
    def load(cls) -> Self:
        """Return the tables in this process's MEDALLION_KINESIS_TABLES. Raises SettingsError."""
        return cls.parse(os.environ.get(VARIABLE, ""))

    def stream_arn(self, table: str, *, source: str, arn: str) -> str | None:
        """Return the ARN of the stream that the changes of a table are of; None for one that comes another way.

        `source` is its name in DynamoDB, `arn` that of something in its account and region.
        """
        since, place = self._since.get(table), _ARN.fullmatch(arn)
        if since is None or place is None:
            return None
        partition, region, account = place.groups()
        label = since.replace(tzinfo=None).isoformat(timespec="milliseconds")
        return f"arn:{partition}:dynamodb:{region}:{account}:table/{source}/stream/{label}"

    def latest_stream(self, table: str, *, table_arn: str, own: str | None) -> str | None:
        """Return the ARN of the stream that a table's changes are of now: that of Kinesis, or else its own."""
        return self.stream_arn(table, source=table_arn.partition(":table/")[2], arn=table_arn) or own


NO_KINESIS: Final = KinesisTables()


class Received(NamedTuple):
    """What a record of Kinesis is: a change, in the shape of a record of DynamoDB Streams, or why it is none."""

    record: Mapping[str, Any]
    refused: str | None


def is_of_kinesis(record: Mapping[str, Any]) -> bool:
    """Return whether a record of a Lambda event came by Kinesis."""
    return record.get("eventSource") == _SOURCE


def receive(record: Mapping[str, Any], tables: KinesisTables, names: SourceNames = SAME_NAMES) -> Received | None:
    """Return the change in a record of Kinesis; None for a table that is none of `tables`: others may write there, too.

    One that is refused stays as it was sent, but says its table's stream, as far as its table is known.
    """
    try:
        sent = orjson.loads(base64.b64decode(record["kinesis"]["data"], validate=True))
        source = sent["tableName"]
        arn = tables.stream_arn(names.in_contract(source), source=source, arn=record["eventSourceARN"])
    except (KeyError, TypeError, ValueError) as error:
        return Received(record, f"a record of Kinesis that is no change of a table ({type(error).__name__})")
    if arn is None:
        return None
    try:
        return Received(_as_stream_record(sent, arn), None)
    except CaptureError as error:
        refused = str(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        refused = f"a record of Kinesis without the documented format ({type(error).__name__})"
    return Received({**record, "eventSourceARN": arn}, refused)


def _as_stream_record(sent: Mapping[str, Any], arn: str) -> dict[str, Any]:
    change = sent["dynamodb"]
    if change.get("ApproximateCreationDateTimePrecision") != "MICROSECOND":
        raise CaptureError(
            "its time has milliseconds, which do not order the changes of an item; expected the table's "
            "ApproximateCreationDateTimePrecision MICROSECOND. Set it, and repair the table."
        )
    microseconds = change["ApproximateCreationDateTime"]
    if type(microseconds) is not int or microseconds < 0:
        raise CaptureError(f"its time is {type(microseconds).__name__}; expected whole microseconds since 1970")
    images = {name: _decode_once(image) for name in ("Keys", "NewImage", "OldImage") if (image := change.get(name))}
    identity = {"userIdentity": who} if (who := sent.get("userIdentity")) is not None else {}
    return {
        "eventID": sent["eventID"],
        "eventName": sent["eventName"],
        "eventSourceARN": arn,
        "dynamodb": {
            **images,
            "ApproximateCreationDateTime": microseconds / 1_000_000,
            "SequenceNumber": str(microseconds),
        },
        **identity,
    }


def _decode_once(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image whose binary values are encoded once, as DynamoDB Streams sends them."""
    return {name: _value(tagged) for name, tagged in image.items()}


def _value(tagged: Mapping[str, Any]) -> Mapping[str, Any]:
    ((tag, value),) = tagged.items()
    match tag:
        case "B":
            return {tag: _binary(value)}
        case "BS":
            return {tag: [_binary(each) for each in value]}
        case "M":
            return {tag: _decode_once(value)}
        case "L":
            return {tag: [_value(each) for each in value]}
        case _:
            return tagged


def _binary(twice: str) -> str:
    try:
        once = base64.b64decode(twice, validate=True).decode("ascii")
        base64.b64decode(once, validate=True)
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CaptureError("a binary value is not encoded in base64 twice, as Kinesis's are documented") from error
    return once
