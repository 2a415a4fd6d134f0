"""How far a reader has come among a table's Bronze objects.

Belongs here: which names are new, and how a position moves and is written down. Does not belong here: who keeps it
(the sensor's cursor, the Silver table's property).

A writer names its object before it writes it, and a function runs at most 15 minutes: so a name can appear up to
15 minutes after the time it carries, and behind newer ones. A reader therefore lists again from 15 minutes before
the newest name it knows, and leaves out those it has seen. The cost follows the last 15 minutes, not the bucket.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from medallion_assets.capture.naming import ObjectName, floor
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CaptureError

# The longest a Lambda function may run; our poller abandons a write well before.
LATEST_WRITE: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Position:
    """The newest object name handed out, and all those handed out of the 15 minutes up to it. One table each."""

    newest: str | None
    seen: frozenset[str]

    @classmethod
    def start(cls) -> Self:
        """Return the position before the first object."""
        return cls(None, frozenset())

    @property
    def reach(self) -> str | None:
        """Text that sorts after every name that is handed out or passed over for good; None at the start."""
        return _reach(self.newest) if self.newest else None

    def pending(self, store: BronzeStore, table: str) -> list[str]:
        """Return the names of `table` not handed out yet, oldest first. Raises CaptureError for a foreign name."""
        names = [name for name in store.list(table, after=self.reach) if name not in self.seen]
        for name in names:
            ObjectName.parse(name)
        return names

    def advanced(self, names: Iterable[str]) -> Self:
        """Return the position after `names` of the same table were handed out."""
        known = self.seen.union(names)
        if not known:
            return self
        newest = max(known)
        reach = _reach(newest)
        return type(self)(newest, frozenset(name for name in known if name > reach))

    def to_json(self) -> str:
        """Return the position as JSON. The names are packed: a busy table has thousands in 15 minutes."""
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
            raise CaptureError(f"not a position among Bronze objects: {text[:80]!r} ({error})") from error
        if position.newest is not None:
            ObjectName.parse(position.newest)
        return position


def _reach(newest: str) -> str:
    name = ObjectName.parse(newest)
    return floor(name.table, name.captured_at - LATEST_WRITE)
