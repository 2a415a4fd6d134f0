"""Dead letters in Bronze: a record that capture cannot write, with its bytes and the reason.

Belongs here: the letter, its path, writing, listing, reading and removing it. Does not belong here: when a record is
dead-lettered (handler, poller/delivery), and how it comes back (redrive). A letter is at
`_dead_letters/<table>/<failed_at>_<sequence number>_<hash>.json` below the Bronze root; readers of Bronze list Parquet
files only, so they do not see it. The record in it has the shape of a Lambda event's record, as ASCII JSON: text that
is not valid UTF-8 is escaped.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from medallion_assets.capture.envelope import sequence_number, table_of
from medallion_assets.capture.sequence import pad_sequence
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CaptureError, CorruptObject

FOLDER: Final = "_dead_letters"

UNKNOWN_TABLE: Final = "_unknown"
"""The folder of records that name no stream."""

_SUFFIX: Final = ".json"
_STAMP: Final = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that is not in Bronze, and why. `failed_at` is aware UTC; `reason` holds no value of the record."""

    failed_at: datetime
    reason: str
    record: Mapping[str, Any]


def source_table(record: Mapping[str, Any], names: SourceNames = SAME_NAMES) -> str:
    """Return the table that a record's stream belongs to, as its contract names it; UNKNOWN_TABLE if it names none."""
    try:
        return names.in_contract(table_of(record["eventSourceARN"]))
    except (CaptureError, KeyError, TypeError):
        return UNKNOWN_TABLE


def write_dead_letter(store: BronzeStore, letter: DeadLetter, names: SourceNames = SAME_NAMES) -> str:
    """Store a letter durably and return its path; after this the shard may go on. Raises what the store raises."""
    fields = {**asdict(letter), "failed_at": letter.failed_at.astimezone(UTC).isoformat()}
    data = json.dumps(fields, default=_as_lambda_sends).encode()
    stamp, digest = letter.failed_at.astimezone(UTC).strftime(_STAMP), hashlib.sha256(data).hexdigest()[:16]
    path = f"{FOLDER}/{source_table(letter.record, names)}/{stamp}_{_padded_number(letter.record)}_{digest}{_SUFFIX}"
    store.put(path, data)
    return path


def list_dead_letters(store: BronzeStore) -> dict[str, list[str]]:
    """Return the paths of all letters by table, the oldest failure of a table first."""
    found: dict[str, list[str]] = {}
    for path in store.list(FOLDER, suffix=_SUFFIX):
        found.setdefault(path.split("/")[1], []).append(path)
    return found


def failed_at(path: str) -> datetime:
    """Return when the letter at a listed path failed, by its name; aware UTC. Raises CorruptObject for another name."""
    name = path.rpartition("/")[2]
    try:
        return datetime.strptime(name.partition("_")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise CorruptObject(
            f"{path} is not named as a dead letter; expected <time>_<number>_<hash>.json. Move it out of Bronze."
        ) from error


def read_dead_letter(store: BronzeStore, path: str) -> DeadLetter:
    """Return the letter at a path. Raises CorruptObject for an object that is no letter, and if it is gone."""
    try:
        fields = json.loads(store.read(path))
        return DeadLetter(**{**fields, "failed_at": datetime.fromisoformat(fields["failed_at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptObject(
            f"{store.uri(path)} is not a dead letter ({type(error).__name__}); expected the JSON that capture writes. "
            "Restore the object, or move it out of Bronze."
        ) from error


def _padded_number(record: Mapping[str, Any]) -> str:
    """Return the record's padded sequence number, zeros if it has none."""
    try:
        return pad_sequence(sequence_number(record))
    except CaptureError:
        return pad_sequence(0)


def _as_lambda_sends(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} in a stream record; boto3 returns no such type")
