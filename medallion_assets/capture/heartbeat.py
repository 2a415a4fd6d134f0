"""The heartbeat of the poller in Bronze: up to when it has read the stream of a table.

Belongs here: the heartbeat, its path, writing and reading it. Does not belong here: how the poller infers the time
(poller/progress), and what follows from it (ledger). There is one object per table, `_heartbeat/<table>.json` below the
Bronze root, and the poller overwrites it every 30 seconds. An idle shard writes no Bronze object; without a heartbeat
it could not be distinguished from a shard that is not read.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject

_TIMES: Final = ("started_at", "written_at", "read_up_to")

FINISHED_SHARDS_LISTED_FOR: Final = timedelta(hours=24)
"""How long the heartbeat still lists a shard that has ended, so that a ledger that runs seldom sees its last object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardHeartbeat:
    """One shard of the stream.

    `up_to` is the end of the coverage of the newest Bronze object from the shard, None before the first object.
    `dead_lettered` counts the records after that object that have dead letters.
    `finished`: the shard is closed and delivered to its end.
    """

    shard_id: str
    up_to: str | None
    dead_lettered: int
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerHeartbeat:
    """One table. Times are aware UTC.

    `started_at` is when this capture of the table started.
    `read_up_to`: every change that the stream shows as made before this time was read, and is in a Bronze object or has
    a dead letter. None until all shards have answered.
    `shards` are those not yet read to their end, and those that ended within FINISHED_SHARDS_LISTED_FOR.
    """

    table: str
    stream_arn: str
    started_at: datetime
    written_at: datetime
    read_up_to: datetime | None
    shards: tuple[ShardHeartbeat, ...]


def write_heartbeat(store: BronzeStore, heartbeat: PollerHeartbeat) -> None:
    """Write the heartbeat in place of the last one. Raises what the store raises."""
    fields = asdict(heartbeat)
    for name in _TIMES:
        time: datetime | None = fields[name]
        fields[name] = time.astimezone(UTC).isoformat() if time else None
    store.put(_path(heartbeat.table), json.dumps(fields).encode())


def read_heartbeat(store: BronzeStore, table: str, *, now: datetime) -> PollerHeartbeat | None:
    """Return the heartbeat of a table, None if no poller ever wrote one.

    `read_up_to` is never later than `now`, aware UTC: a poller whose clock is ahead writes a time in the future, and
    changes can still be made until then.

    Raises CorruptObject for a file that is not a heartbeat, and what the store raises when it does not answer.
    """
    path = _path(table)
    try:
        data = store.read(path)
    except CorruptObject:
        return None
    try:
        fields = json.loads(data)
        times = {name: datetime.fromisoformat(fields[name]) for name in _TIMES if fields[name] is not None}
        if "read_up_to" in times:
            times["read_up_to"] = min(times["read_up_to"], now)
        shards = tuple(ShardHeartbeat(**shard) for shard in fields["shards"])
        return PollerHeartbeat(**{**fields, **times, "shards": shards})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptObject(
            f"{store.uri(path)} is not a heartbeat of the poller ({error}); delete it, the poller writes it again"
        ) from error


def _path(table: str) -> str:
    return f"_heartbeat/{table}.json"
