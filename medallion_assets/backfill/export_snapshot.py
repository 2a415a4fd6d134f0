"""A snapshot that is an export: each data file is a part.

Belongs here: an export as a Snapshot. Does not belong here: its layout (export).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from medallion_assets.backfill.export import DataFile, Export, read_lines, require_intact
from medallion_assets.backfill.export_files import ExportFiles
from medallion_assets.backfill.snapshot import Kind, Page, Part

_READ_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class ExportSnapshot:
    """The items of a full export, or the changes of an incremental one. All its parts are of one point in time."""

    export: Export
    files: ExportFiles
    kind: Kind = "export"

    @property
    def id(self) -> str:
        """The export's id."""
        return self.export.id

    @property
    def at(self) -> datetime:
        """The export's point in time."""
        return self.export.at

    @property
    def since(self) -> datetime | None:
        """From when on an incremental export has changes; None for a full one."""
        return self.export.since

    @property
    def items(self) -> int:
        """How many items the export has."""
        return self.export.items

    @property
    def parts(self) -> Sequence[str]:
        """The names of the data files."""
        return list(self._data_files)

    def check(self, parts: Collection[str]) -> None:
        """Check MD5 and number of items of these files. Raises SettingsError, and botocore's errors."""
        for name in parts:
            require_intact(self.files, self._data_files[name])

    @contextmanager
    def read(self, parts: Sequence[str]) -> Iterator[Iterator[Part]]:
        """Read these files one after the other."""
        yield (Part(name, name, self.export.ended_at, self._pages(self._data_files[name])) for name in parts)

    def _pages(self, one: DataFile) -> Iterator[Page]:
        changes = self.since is not None
        return (Page(self.at, lines, changes) for lines in read_lines(self.files, one, max_bytes=_READ_BYTES))

    @cached_property
    def _data_files(self) -> dict[str, DataFile]:
        return {one.path.rpartition("/")[2].partition(".")[0]: one for one in self.export.files}
