"""The position of a reader among a table's Bronze objects.

Belongs here: which names are new, how a position advances, and its JSON. Does not belong here: where it is stored (the
sensor's cursor, a property of the Silver table).

A writer names its object before it writes it, and a Lambda function runs for at most 15 minutes. A name can therefore
appear up to 15 minutes after the time that it carries, and after newer names. So a reader lists again from 15 minutes
before the newest name that it knows, and leaves out the names that it has seen. The cost depends on the last 15
minutes, not on the size of the bucket.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Final, Self

from medallion_assets.capture.naming import ObjectName, floor
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CaptureError

# The longest time that a Lambda function can run. Our poller repeats a write that took 10 minutes.
LATEST_WRITE: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader of one table has read: the newest name, and all names of the 15 minutes up to it."""

    newest: str | None
    seen: frozenset[str]

    @classmethod
    def start(cls) -> Self:
        """Return the position before the first object."""
        return cls(None, frozenset())

    @property
    def list_after(self) -> str | None:
        """Text after which the next listing starts: names up to it are read or skipped for good. None at the start."""
        return _list_after(self.newest) if self.newest else None

    def pending(self, store: BronzeStore, table: str, *, through: date | None = None) -> list[str]:
        """Return the names of `table` not read yet, oldest first; of no later capture day than `through`.

        The listing ends with that day. Raises CaptureError for a foreign name.
        """
        listed = store.list(table, after=self.list_after)
        if through is not None:
            end = floor(table, datetime.combine(through + timedelta(days=1), time(), UTC))
            listed = takewhile(lambda name: name < end, listed)
        names = [name for name in listed if name not in self.seen]
        for name in names:
            ObjectName.parse(name)
        return names

    def advance(self, names: Iterable[str]) -> Self:
        """Return the position after `names` of the same table were read."""
        known = self.seen.union(names)
        if not known:
            return self
        newest = max(known)
        list_after = _list_after(newest)
        return type(self)(newest, frozenset(name for name in known if name > list_after))

    def to_json(self) -> str:
        """Return the position as JSON. The names are compressed: a busy table has thousands in 15 minutes."""
        packed = zlib.compress("\n".join(sorted(self.seen)).encode(), 9)
        return json.dumps({"newest": self.newest, "seen": base64.b85encode(packed).decode()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the position that `to_json` wrote. Raises CaptureError for anything else."""
        try:
            fields = json.loads(text)
            seen = zlib.decompress(base64.b85decode(fields["seen"])).decode()
            position = cls(fields["newest"], frozenset(seen.split("\n")) if seen else frozenset())
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise CaptureError(
                f"{text[:80]!r} is not a position among Bronze objects ({error}); expected the JSON that to_json writes"
            ) from error
        if position.newest is not None:
            ObjectName.parse(position.newest)
        return position


def _list_after(newest: str) -> str:
    name = ObjectName.parse(newest)
    return floor(name.table, name.captured_at - LATEST_WRITE)
