"""Sequence numbers of DynamoDB Streams: their width, their order, and how long a stream keeps its records.

Belongs here: everything the package knows about the form of a sequence number. Does not belong here: what a number
identifies (envelope), and ranges of numbers (ledger).

DynamoDB sends 21 to 40 digits of varying width. Compare them as integers, or as text after `pad_sequence`; never as the
text that was sent. A row that a repair writes carries an amended number: the padded number of the change that it
corrects, a plus sign, and 16 digits of microseconds since 1970. As text it sorts after that change and before every
later one.

A table that was created again, or whose stream was switched off and on, has a new stream, and its numbers may begin
lower than those of the old one. So numbers order the changes of one stream only; changes of a later stream come after
all of those. The label at the end of a stream's ARN is the time at which the stream was created (Amazon DynamoDB API
Reference, StreamDescription, StreamLabel).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

SEQUENCE_DIGITS: Final = 40
"""The longest sequence number, and the width to which all are padded."""

SEQUENCE_START: Final = ""
"""Text that sorts before every padded sequence number."""

AMENDED_SEQUENCE: Final = rf"[0-9]{{{SEQUENCE_DIGITS}}}\+[0-9]{{16}}"
"""Regular expression (Python and RE2) of an amended sequence number."""

STREAM_RETENTION: Final = timedelta(hours=24)
"""How long a stream keeps a record (DynamoDB Developer Guide, "Change data capture for DynamoDB Streams")."""

STREAM_LABEL: Final = (
    r"/stream/([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]{1,6})?)[0-9]*(?:Z|[+]00:?00)?$"
)
"""Regular expression (Python and RE2) whose group is the time in the label of a stream's ARN, in UTC."""

UNLABELLED_STREAM: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a stream whose label is no time, which DynamoDB does not make: before every other stream."""


def stream_created_at(stream_arn: str) -> datetime:
    """Return when a stream was created, by the label in its ARN; UNLABELLED_STREAM if that is no time."""
    found = re.search(STREAM_LABEL, stream_arn)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else UNLABELLED_STREAM
    except ValueError:
        return UNLABELLED_STREAM


def is_sequence(value: object) -> bool:
    """Return whether `value` is a sequence number as DynamoDB sends it: text of 1 to 40 digits."""
    return isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= SEQUENCE_DIGITS


def pad_sequence(number: str | int) -> str:
    """Return a sequence number as text of 40 digits, whose order is the order of the integers."""
    return str(number).rjust(SEQUENCE_DIGITS, "0")


def parse_sequence(text: str) -> int:
    """Return a sequence number as an integer; of an amended number, that of the change it corrects.

    Raises ValueError for anything else.
    """
    return int(text.partition("+")[0])
