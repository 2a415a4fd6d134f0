"""A stream record as a counter sees it: which item, where in the stream, and what the item added before and adds after.

Belongs here: reading a record, of Lambda's event or of `get_records`. Does not belong here: which changes are applied
(step).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from medallion_assets.capture.envelope import MalformedRecord, sequence_number
from medallion_assets.capture.sequence import pad_sequence, stream_created_at
from medallion_assets.errors import CaptureError
from medallion_assets.live.contribution import EXACT, Contribution, contribution
from medallion_assets.live.counter import Counter

Key = str
"""The key of an item: the texts of its values as a JSON list."""

Place = str
"""Where a change is among those of its item, as text whose order is that of the changes: see `place_of`."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Change(NamedTuple):
    """One change of one item, for one counter."""

    key: Key
    place: Place
    before: Contribution | None
    after: Contribution | None


def change_of(counter: Counter, record: Mapping[str, Any]) -> Change:
    """Return the change in a stream record. Raises CaptureError for a record without both images or of another form."""
    if isinstance(record, MalformedRecord):
        raise CaptureError(f"stream record is not DynamoDB JSON ({record.reason}); no counter can count it")
    try:
        change, name = record["dynamodb"], record["eventName"]
        old, new = change.get("OldImage"), change.get("NewImage")
        if (old is None) != (name == "INSERT") or (new is None) != (name == "REMOVE"):
            raise CaptureError(
                f"stream record {name} without the images that counters need; expected the stream's view type "
                "NEW_AND_OLD_IMAGES. Set it, and rebuild the counters of the table."
            )
        return Change(
            key_of(change["Keys"]),
            place_of(stream_created_at(record["eventSourceARN"]), pad_sequence(sequence_number(record))),
            contribution(counter, old),
            contribution(counter, new),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaptureError(f"stream record cannot be read ({type(error).__name__}: {error})") from error


def place_of(stream_created: datetime, sequence: str) -> Place:
    """Return the place of a change: by its stream, then by its number, padded, also of an amendment."""
    return f"{(stream_created - _EPOCH) // _MICROSECOND:017d} {sequence}"


def key_of(keys: Mapping[str, Mapping[str, Any]]) -> Key:
    """Return an item's key, in the order of its attributes' names."""
    return orjson.dumps([_key_text(keys[name]) for name in sorted(keys)]).decode()


def _key_text(tagged: Mapping[str, Any]) -> str:
    ((tag, inside),) = tagged.items()
    if tag == "N":
        return f"{Decimal(inside).normalize(EXACT):f}"
    return base64.b64encode(inside).decode() if isinstance(inside, bytes) else str(inside)
