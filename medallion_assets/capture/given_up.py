"""The bucket of batches that Lambda gave up: what waits in it for a redrive, by table.

Belongs here: where Lambda puts a batch, and counting what is there. Does not belong here: bringing the records back
(redrive), and when Lambda gives up (mapping).

Lambda's on-failure destination is a bucket. An object in it is a JSON document, whose `payload` is the text of the
event, at `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/<time>-<id>` (AWS Lambda developer guide, "Retain discarded records
for a DynamoDB event source in Lambda").
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from medallion_assets.capture.dead_letter import UNKNOWN_TABLE, source_table
from medallion_assets.capture.kinesis import NO_KINESIS, KinesisTables, receive
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject

log = logging.getLogger(__name__)

VARIABLE: Final = "MEDALLION_GIVEN_UP"
"""The environment variable that says where the bucket is."""

FOLDER: Final = "aws/lambda"

MAX_COUNTED: Final = 1_000
"""Batches that are counted of one mapping: what S3 lists in one request."""

_STAMP: Final = "%Y-%m-%dT%H.%M.%S"
_STAMP_LENGTH: Final = len("2026-01-01T00.00.00")


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """The batches of one table that wait for a redrive.

    `batches` is their number, of each mapping at most MAX_COUNTED. `oldest` and `newest` are when the first and the
    last of those was given up, aware UTC, and `last_name` is the name of the last one.
    """

    batches: int
    oldest: datetime
    newest: datetime
    last_name: str


def find_given_up(
    store: BronzeStore | None, names: SourceNames = SAME_NAMES, kinesis: KinesisTables = NO_KINESIS
) -> dict[str, GivenUp]:
    """Return what waits in the bucket by table, named as in its contract; nothing where there is no bucket.

    Costs one request while nothing waits, and two more for each mapping with batches, however many they are. A mapping
    of Kinesis has several tables: its batches are counted for each table of the first one. Batches of which no table is
    known are only logged. Raises LakeUnavailable, SettingsError.
    """
    if store is None:
        return {}
    found: dict[str, list[str]] = {}
    for paths in _by_mapping(store):
        tables = _tables(store, paths, names, kinesis)
        if not tables:
            log.warning("%d objects in %s name no table", len(paths), store.uri(_mapping(paths[0])))
        for table in tables:
            found.setdefault(table, []).extend(paths)
    return {table: _describe(paths) for table, paths in found.items()}


def _by_mapping(store: BronzeStore) -> Iterator[Sequence[str]]:
    """Yield the first MAX_COUNTED batches of each mapping."""
    after, is_last = None, False
    while not is_last:
        page = list(islice(store.list(FOLDER, after=after, suffix=""), MAX_COUNTED))
        is_last = len(page) < MAX_COUNTED
        mappings: dict[str, list[str]] = {}
        for path in page:
            mappings.setdefault(_mapping(path), []).append(path)
        if not is_last and len(mappings) > 1:
            mappings.popitem()  # The page may end within this mapping: the next one begins with it.
        for mapping, paths in mappings.items():
            after = f"{mapping}0"  # "0" follows "/".
            if of_lambda := [path for path in paths if _given_up_at(path) is not None]:
                yield of_lambda


def _mapping(path: str) -> str:
    return "/".join(path.split("/")[:3])


def _given_up_at(path: str) -> datetime | None:
    """Return the time that a name of Lambda's begins with; None for another name."""
    try:
        return datetime.strptime(path.rpartition("/")[2][:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _tables(store: BronzeStore, paths: Sequence[str], names: SourceNames, kinesis: KinesisTables) -> set[str]:
    """Return the tables that a mapping reads: the first batch that is still there says it."""
    for path in paths:
        try:
            document = json.loads(store.read(path))
            if "KinesisBatchInfo" in document:
                sent = [receive(record, kinesis, names) for record in json.loads(document["payload"])["Records"]]
                found = {source_table(each.record, names) for each in sent if each is not None}
            else:
                found = {source_table({"eventSourceARN": document["DDBStreamBatchInfo"]["streamArn"]}, names)}
            return found - {UNKNOWN_TABLE}
        except CorruptObject:
            continue  # A redrive has taken it.
        except (ValueError, TypeError, KeyError):
            return set()
    return set()


def _describe(paths: Sequence[str]) -> GivenUp:
    times = {path: at for path in paths if (at := _given_up_at(path)) is not None}
    last = max(times, key=lambda path: (times[path], path))
    return GivenUp(
        batches=len(times), oldest=min(times.values()), newest=times[last], last_name=last.rpartition("/")[2]
    )
