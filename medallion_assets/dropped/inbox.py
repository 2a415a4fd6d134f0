"""Where files are dropped: `<root>/<table>/…`, an S3 prefix or a directory; taken and rejected ones lie beside it.

Belongs here: listing, fetching and moving dropped files, with the same meaning in both places. Does not belong here:
the two places (file_inbox, s3_inbox), what is in the files (read, check).

A file moves to `<root>/taken/<table>/<hash>/…` or `<root>/rejected/<table>/<hash>/…` under its own name, where `hash`
is the beginning of its content's SHA-256. So no file ever takes the place of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Protocol

from medallion_assets.contracts.dropped_files import OUTCOMES
from medallion_assets.errors import SettingsError

Outcome = Literal["taken", "rejected"]

_UNFINISHED: Final = (".partial", ".part", ".tmp", ".crdownload", ".filepart")
_S3: Final = re.compile(r"s3://([^/\s]+)/?(\S*)")


@dataclass(frozen=True)
class DroppedFile:
    """A file that waits. `name` is its path below the folder of its `table`; `tag` changes when it is written again."""

    table: str
    name: str
    bytes: int
    tag: str
    modified_at: datetime

    @property
    def path(self) -> str:
        """Its path below the root."""
        return f"{self.table}/{self.name}"

    def moved_path(self, outcome: Outcome, hash_: str) -> str:
        """Return its path below the root once it is taken or rejected."""
        return f"{outcome}/{self.table}/{hash_[:16]}/{self.name}"


class Inbox(Protocol):
    """A place for dropped files. Methods raise what the file system and boto3 raise; see lake.outage."""

    def waiting(self, table: str) -> Iterator[DroppedFile]:
        """Yield the files of a table that are written completely, in any order."""

    def folders(self) -> list[str]:
        """Return the names of the folders in which files may have been dropped."""

    def fetch(self, file: DroppedFile, folder: Path) -> Path | None:
        """Return a local copy of the file, below `folder` or where it lies; None if it is gone or was written again."""

    def is_same(self, file: DroppedFile) -> bool:
        """Return whether the file is there as it was listed."""

    def move(self, file: DroppedFile, path: str) -> None:
        """Move the file to a path below the root; of one that is gone, nothing."""

    def put(self, path: str, data: bytes) -> None:
        """Write an object below the root, whole or not at all."""

    def uri(self, path: str) -> str:
        """Return the address of a path below the root."""


def open_inbox(url: str) -> Inbox:
    """Return the inbox at `s3://bucket/prefix` or in a directory. Raises SettingsError for any other URL."""
    from medallion_assets.dropped.file_inbox import FileInbox
    from medallion_assets.dropped.s3_inbox import S3Inbox

    if found := _S3.fullmatch(url):
        return S3Inbox(found[1], found[2].strip("/"))
    if "://" in url or not Path(url).is_absolute():
        raise SettingsError(f"MEDALLION_RAW is {url!r}; expected s3://bucket/prefix or an absolute directory")
    return FileInbox(Path(url))


def is_waiting(name: str) -> bool:
    """Return whether a name is that of a file to take; hidden and unfinished ones, and other tools' marks, are not."""
    hidden = any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)
    return not hidden and not name.endswith("/") and not name.lower().endswith(_UNFINISHED)


def is_folder(name: str) -> bool:
    """Return whether a folder of the root is one in which files are dropped."""
    return name not in OUTCOMES and not name.startswith((".", "_"))
