"""An amendment: a row of Bronze that comes from the table itself, not from its stream.

Its sequence number is that of the newest known change of its key, plus the time it was made. So it is newer than that
change and older than every later one. A rerun of its day therefore never brings back an older row. Its stream is the
one that the table has now; if the table was deleted and created again, that is later than the stream of any change
before. Belongs here: what an amendment says. Does not belong here: which keys need one (reconciliation), writing it
(repair).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from medallion_assets.capture.envelope import Row
from medallion_assets.capture.sequence import pad_sequence, stream_created_at
from medallion_assets.contracts.model import Contract
from medallion_assets.reconciliation.reconcile import Difference, Kind

EVENT_PREFIX: Final = "repair-"
"""How the event id of an amendment begins. Event ids of streams are hexadecimal."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EVENTS: Final[Mapping[Kind, str]] = {"missing": "INSERT", "different": "MODIFY", "extra": "REMOVE"}


def amended_sequence(newest: tuple[datetime, str] | None, at: datetime, *, stream_arn: str) -> str:
    """Return the sequence number of an amendment that is made at `at`, in a table that has this stream now.

    `newest` is the version of the newest known change of the key; None: none is known. Its number is as Silver stores
    it: 40 digits, and `+` with microseconds if it is an amendment itself. The amendment is later than that change even
    if the clock went back. If that change came from an earlier stream, the amendment comes before every number of the
    stream of now: no change of this stream is known for the key.
    """
    same_stream = newest is not None and newest[0] >= stream_created_at(stream_arn)
    number, _, before = (newest[1] if newest is not None and same_stream else pad_sequence(0)).partition("+")
    microseconds = (at - _EPOCH) // (datetime.resolution)
    return f"{number}+{max(microseconds, int(before or 0) + 1):016d}"


def amendment(
    contract: Contract,
    difference: Difference,
    *,
    sequence: str,
    event_id: str,
    key_tags: Mapping[str, str],
    stream_arn: str,
) -> Row:
    """Return the Bronze row that makes Silver's row equal to the source's item; a deletion where there is no item.

    It has no creation time: nobody knows when the change happened.
    """
    keys = _keys(contract, difference, key_tags)
    # An item that is there and should have no row is soft-deleted or of another entity, and its image says so. All
    # contracts of the table read the amendment.
    event_name = "MODIFY" if difference.kind == "extra" and difference.item is not None else _EVENTS[difference.kind]
    return Row(
        event_id=event_id,
        event_name=event_name,
        table_name=contract.table,
        sequence_number=sequence,
        approximate_creation_us=None,
        keys=orjson.dumps(keys).decode(),
        new_image=orjson.dumps(difference.item).decode() if difference.item is not None else None,
        old_image=None,
        user_identity=None,
        stream_arn=stream_arn,
    )


def _keys(contract: Contract, difference: Difference, key_tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the key in DynamoDB JSON: as the item has it or, without an item, by the table's key types."""
    attributes = [column.attribute for column in contract.key_columns]
    if difference.item is not None:
        return {attribute: difference.item[attribute] for attribute in attributes}
    return {attribute: {key_tags[attribute]: text} for attribute, text in zip(attributes, difference.key, strict=True)}
