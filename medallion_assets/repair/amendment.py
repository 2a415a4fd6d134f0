"""An amendment: a row of Bronze that was not sent by a stream, but read from the table itself.

It carries the sequence number of the newest change that is known of its key, and when it was made. So it is newer than
that change, older than every later one, and stays so whenever its day is run again: no key goes back. Belongs here:
what an amendment says. Does not belong here: what needs one (quality), writing it (repair).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from medallion_assets.capture.envelope import Row
from medallion_assets.capture.sequence import pad_sequence
from medallion_assets.contracts.model import Contract
from medallion_assets.reconciliation.reconcile import Difference, Kind
from medallion_assets.reconciliation.scan import Description

EVENT_PREFIX: Final = "repair-"
"""The event ids of amendments begin so; those of streams are hexadecimal."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EVENTS: Final[Mapping[Kind, str]] = {"missing": "INSERT", "different": "MODIFY", "extra": "REMOVE"}


def amended_sequence(newest: str | None, at: datetime) -> str:
    """The number of an amendment made at `at` of the change `newest`, which may be one; None: no change is known.

    `newest` is as Silver has it: 40 digits, and what an amendment adds. A clock that went back makes no older one.
    """
    number, _, before = (newest or pad_sequence(0)).partition("+")
    microseconds = (at - _EPOCH) // (datetime.resolution)
    return f"{number}+{max(microseconds, int(before or 0) + 1):016d}"


def amendment(
    contract: Contract,
    difference: Difference,
    *,
    sequence: str,
    event_id: str,
    about: Description,
) -> Row:
    """The Bronze row that makes Silver's row what the source's item is; a deletion where there is none.

    When the change happened nobody knows: it has no creation time.
    """
    keys = _keys(contract, difference, about.key_tags)
    return Row(
        event_id=event_id,
        event_name=_EVENTS[difference.kind],
        table_name=contract.table,
        sequence_number=sequence,
        approximate_creation_us=None,
        keys=orjson.dumps(keys).decode(),
        new_image=orjson.dumps(difference.item).decode() if difference.item is not None else None,
        old_image=None,
        user_identity=None,
        stream_arn=about.arn,
    )


def _keys(contract: Contract, difference: Difference, key_tags: Mapping[str, str]) -> dict[str, Any]:
    """The key in DynamoDB JSON, as the item has it, or by the types of the table's key attributes."""
    attributes = [column.attribute for column in contract.key_columns]
    if difference.item is not None:
        return {attribute: difference.item[attribute] for attribute in attributes}
    return {attribute: {key_tags[attribute]: text} for attribute, text in zip(attributes, difference.key, strict=True)}
