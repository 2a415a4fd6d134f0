"""A snapshot of a table, in parts that are read and loaded one by one: an export's data files, or segments of a scan.

Belongs here: what every snapshot has. Does not belong here: the two kinds (export_snapshot, scan_snapshot).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Kind = Literal["export", "scan"]


@dataclass(frozen=True)
class Page:
    """Lines `{"Item": {...}}` with items as they were at `at` or, in a scan, up to `Part.read_at`.

    `changes`: lines of an incremental export instead: `{"Metadata": ..., "Keys": ..., "NewImage": ...}`, where a key
    without a NewImage was deleted.
    """

    at: datetime
    lines: Sequence[str]
    changes: bool = False


@dataclass(frozen=True)
class Part:
    """A part whose items can be written as soon as every change made before `read_at` is merged.

    - name: which part it is
    - reading: a name of this reading of the part: equal only if it gives the same items in the same order
    - pages: the items
    """

    name: str
    reading: str
    read_at: datetime
    pages: Iterator[Page]


class Snapshot(Protocol):
    """Where the items come from."""

    @property
    def id(self) -> str:
        """What the backfill is called; equal only if it is the same snapshot."""

    @property
    def kind(self) -> Kind:
        """Whether it is an export or a scan."""

    @property
    def at(self) -> datetime:
        """A time before which no item was read; aware UTC."""

    @property
    def since(self) -> datetime | None:
        """None: the snapshot has every item. Else it has the keys that changed from this time to `at`, once each."""

    @property
    def items(self) -> int:
        """How many items there are: exactly in an export, by DynamoDB's estimate in a scan."""

    @property
    def parts(self) -> Sequence[str]:
        """The names of all parts."""

    def check(self, parts: Collection[str]) -> None:
        """Check these parts before the first of them is read. Raises SettingsError."""

    def read(self, parts: Sequence[str]) -> AbstractContextManager[Iterator[Part]]:
        """Read these parts in this order."""
