"""Redrive: dead letters, and the batches that Lambda gave up, become Bronze objects with the code of today.

Belongs here: reading both, writing their records in source order, and removing what was written. Does not belong here:
what a dead letter is (dead_letter), where a batch that was given up is (given_up), what Silver does with a change that
comes late (it orders by stream and number).
"""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from medallion_assets.capture.dead_letter import (
    UNKNOWN_TABLE,
    DeadLetter,
    list_dead_letters,
    read_dead_letter,
    source_table,
    write_dead_letter,
)
from medallion_assets.capture.envelope import refusal
from medallion_assets.capture.given_up import FOLDER
from medallion_assets.capture.kinesis import NO_KINESIS, KinesisTables, is_of_kinesis, receive
from medallion_assets.capture.sequence import parse_sequence, stream_created_at
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.capture.store import BronzeStore
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import CorruptObject

log = logging.getLogger(__name__)

REDRIVE_WITHIN: Final = timedelta(days=15)
"""A change older than this is not redriven: the tombstone of its key may be gone, and the change would bring a deleted
row back. A repair brings what it lacks."""

_AT_ONCE: Final = 100
"""Objects that are read before their records are written: a batch of Lambda has at most 6 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What a redrive did.

    - records: changes that are in Bronze by it
    - removed: dead letters and given up batches that were removed, because all of their records are in Bronze or have a
      dead letter of their own
    - left: the reason of each object that stays, by its address
    """

    records: int
    removed: int
    left: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Parked:
    """An object with records that are not in Bronze; `why` it cannot be used, if so."""

    store: BronzeStore
    path: str
    records: Sequence[Mapping[str, Any]]
    why: str | None = None
    is_letter: bool = True


def redrive(
    store: BronzeStore,
    tables: Collection[str],
    *,
    given_up: BronzeStore | None,
    now: Callable[[], datetime],
    names: SourceNames = SAME_NAMES,
    kinesis: KinesisTables = NO_KINESIS,
) -> Redriven:
    """Write the parked records of some tables, named as in their contracts, to Bronze, in source order per shard.

    `given_up` is the bucket of Lambda's on-failure destination; None where no Lambda function captures. An object is
    removed only after its records are stored. So a redrive that dies is run again, and a second one changes nothing but
    Bronze objects that Silver knows already. A record that still cannot be written stays; one of a given up batch gets
    a dead letter, so that the batch can go. So does a change that is older than REDRIVE_WITHIN. Raises
    LakeUnavailable, SettingsError.
    """
    records, removed, left = 0, 0, dict[str, str]()
    found = _find(store, tables, given_up, names, kinesis)
    while parked := list(islice(found, _AT_ONCE)):
        good: list[Mapping[str, Any]] = []
        done: list[_Parked] = []
        for one in parked:
            refused = [(record, why) for record in one.records if (why := _refusal(record, now())) is not None]
            if one.why is not None or (refused and one.is_letter):
                left[one.store.uri(one.path)] = one.why or refused[0][1]
                continue
            for record, why in refused:
                path = write_dead_letter(store, DeadLetter(failed_at=now(), reason=why, record=record), names)
                left[store.uri(path)] = why
            bad = {id(record) for record, _ in refused}
            good += [record for record in one.records if id(record) not in bad]
            done.append(one)
        write_bronze(sorted(good, key=_source_order), store=store, captured_at=now(), names=names)
        for one in done:
            one.store.remove(one.path)
        records, removed = records + len(good), removed + len(done)
        log.info("redrove %d records of %d objects, %d objects stay", records, removed, len(left))
    return Redriven(records=records, removed=removed, left=left)


def _find(
    store: BronzeStore,
    tables: Collection[str],
    given_up: BronzeStore | None,
    names: SourceNames,
    kinesis: KinesisTables,
) -> Iterator[_Parked]:
    """Yield what is parked of the tables. The objects of one shard come in the order of its records."""
    for table, paths in list_dead_letters(store).items():
        if table in tables or table == UNKNOWN_TABLE:
            yield from (_letter(store, path, names, kinesis) for path in paths)
    if given_up is not None:
        for path in list(given_up.list(FOLDER, suffix="")):
            batch = _batch(given_up, path, names, kinesis)
            if batch.why is not None or any(source_table(record, names) in tables for record in batch.records):
                yield batch


def _letter(store: BronzeStore, path: str, names: SourceNames, kinesis: KinesisTables) -> _Parked:
    try:
        record = read_dead_letter(store, path).record
        return _Parked(store, path, [_change(record, names, kinesis) or record])
    except CorruptObject as error:
        return _Parked(store, path, [], str(error))


def _batch(store: BronzeStore, path: str, names: SourceNames, kinesis: KinesisTables) -> _Parked:
    document: Any = None
    try:
        document = json.loads(store.read(path))
        records = [_change(record, names, kinesis) for record in json.loads(document["payload"])["Records"]]
        return _Parked(store, path, [record for record in records if record is not None], is_letter=False)
    except (ValueError, TypeError, KeyError) as error:
        about = (
            document.get("DDBStreamBatchInfo", document.get("KinesisBatchInfo")) if isinstance(document, dict) else None
        )
        why = f"its payload has no records ({type(error).__name__}); Lambda says of it: {about}. Run a repair"
        return _Parked(store, path, [], why, is_letter=False)


def _change(record: Mapping[str, Any], names: SourceNames, kinesis: KinesisTables) -> Mapping[str, Any] | None:
    """Return the change in a record; one of Kinesis that is refused as it was sent, None for one of another table."""
    if not is_of_kinesis(record):
        return record
    received = receive(record, kinesis, names)
    return received.record if received is not None else None


def _refusal(record: Mapping[str, Any], now: datetime) -> str | None:
    """Return why a record cannot be redriven, None if it can."""
    if is_of_kinesis(record):
        return "it came by Kinesis and is no change that can be ordered; run a repair of the table"
    if (why := refusal(record)) is not None:
        return why
    created = record["dynamodb"].get("ApproximateCreationDateTime")
    if created is not None and created < (now - REDRIVE_WITHIN).timestamp():
        return f"the change was made more than {REDRIVE_WITHIN.days} days ago; run a repair of the table"
    return None


def _source_order(record: Mapping[str, Any]) -> tuple[datetime, int]:
    return stream_created_at(record["eventSourceARN"]), parse_sequence(record["dynamodb"]["SequenceNumber"])
