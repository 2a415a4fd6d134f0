"""How far the poller has read a table, told beside Bronze: "read up to then, and there was no more".

Belongs here: the marker, where it lies, writing and reading it. Does not belong here: how far is far (poller), or what
follows (ledger). One object per table, `_polled/<table>.json` below the Bronze root, written again every half minute:
an idle shard writes no Bronze object, and without this nobody could tell it from one that is not read.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject

_TIMES: Final = ("began_at", "written_at", "read_to")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledShard:
    """One shard: what the newest Bronze object from it claims, None before the first one, and the records since then
    that went to the on-failure queue."""

    shard_id: str
    upto: str | None
    given_up: int
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """One table. Times are aware UTC.

    Every change that the stream shows as made before `read_to` was read, and is in a Bronze object or given up; None
    until all shards have answered. `began_at` is when this capture of the table began, None for one that has gone on
    since before that was noted. `shards` are those that are not
    read to their end, and those that ended in the last 24 hours.
    """

    table: str
    stream_arn: str
    began_at: datetime | None
    written_at: datetime
    read_to: datetime | None
    shards: tuple[PolledShard, ...]


def put_polled(store: BronzeStore, polled: Polled) -> None:
    """Write the marker in place of the last one. Raises what the store raises."""
    fields = asdict(polled)
    for name in _TIMES:
        time: datetime | None = fields[name]
        fields[name] = time.astimezone(UTC).isoformat() if time else None
    store.put(_path(polled.table), json.dumps(fields).encode())


def read_polled(store: BronzeStore, table: str) -> Polled | None:
    """Return the marker of a table, None if no poller ever wrote one. Raises CorruptObject for something else there."""
    path = _path(table)
    try:
        data = store.read(path)
    except CorruptObject:
        return None
    try:
        fields = json.loads(data)
        times = {name: datetime.fromisoformat(fields[name]) for name in _TIMES if fields[name] is not None}
        shards = tuple(PolledShard(**shard) for shard in fields["shards"])
        return Polled(**{**fields, **times, "shards": shards})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptObject(
            f"{store.uri(path)} is not what the poller writes ({error}); delete it, the poller writes it again"
        ) from error


def _path(table: str) -> str:
    return f"_polled/{table}.json"
