"""The source as a person's command reads it: page by page, by a scan or from an export, while it changes.

Belongs here: reading a simulated table. Does not belong here: the calls to AWS (reconciliation.scan), what reads
(repair, verify, backfill).
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import orjson

from medallion_assets.backfill.export_files import ExportFiles, open_export_files
from medallion_assets.backfill.local_export import write_export
from medallion_assets.errors import LakeUnavailable
from medallion_assets.reconciliation.scan import Description
from medallion_assets.simulation.faults import Faults
from medallion_assets.simulation.items import Item
from medallion_assets.simulation.table import Table

_ITEMS_A_FILE: Final = 2


class SourceReader:
    """A table as a scan reads it. `wait` lets `page_seconds` pass after each page; a page is a fault point."""

    units = 0.0

    def __init__(
        self, table: Table, wait: Callable[[float], None], *, page_seconds: float = 1.0, faults: Faults | None = None
    ) -> None:
        self._table = table
        self._wait = wait
        self._page_seconds = page_seconds
        self._faults = faults

    def scan(self) -> Iterator[bytes]:
        """Yield pages of three items."""
        items = iter(list(self._table))
        while page := list(itertools.islice(items, 3)):
            yield document(page)
            self._wait(self._page_seconds)

    def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
        """Yield pages of two items of a segment, as they are when each is read."""
        items = self._table.scan(segment=segment, segments=of)
        while page := self._read(lambda: list(itertools.islice(items, 2))):
            yield document(page)
            self._wait(self._page_seconds)

    def get(self, keys: Iterable[Mapping[str, Mapping[str, str]]]) -> Iterator[bytes]:
        """Yield all of them in one document."""
        found = [item for key in keys if (item := self._table.get(of_json(key))) is not None]
        if found:
            yield document(found)

    def describe(self) -> Description:
        """Return the table's ARN and key, and the ARN of its stream."""
        streams = self._table.streams
        return Description(self._table.arn, dict(self._table.key), streams[-1].arn if streams else None)

    def _read(self, act: Callable[[], list[Item]]) -> list[Item]:
        if self._faults is None:
            return act()
        return self._faults.call("scan.page", act, error=lambda kind: LakeUnavailable(f"simulated: {kind}"))


class SlowExport:
    """The files of an export; `wait` lets `page_seconds` pass before each is opened."""

    def __init__(self, folder: Path, wait: Callable[[float], None], *, page_seconds: float) -> None:
        self._files: ExportFiles = open_export_files(str(folder))
        self._wait = wait
        self._page_seconds = page_seconds

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file after a while."""
        if self._page_seconds and path.startswith("data/"):
            self._wait(self._page_seconds)
        return self._files.open(path)

    def uri(self, path: str) -> str:
        """Return where a file is."""
        return self._files.uri(path)


def export_table(table: Table, folder: Path, *, at: datetime, number: int) -> Path:
    """Export a table as it is now, two items in a file. Return the export's folder; `number` makes its id."""
    return write_export(
        [document(list(table))],
        folder,
        table_arn=table.arn,
        at=at,
        export_id=f"{number:014d}-simulate",
        items_per_file=_ITEMS_A_FILE,
    )


def document(items: Sequence[Item]) -> bytes:
    """Return a page as DynamoDB's JSON."""
    return orjson.dumps({"Items": items}, default=lambda raw: base64.b64encode(raw).decode())


def of_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of a history in the form of boto3: binary as bytes."""
    return {name: _tagged(value) for name, value in data.items()}


def _tagged(value: Mapping[str, Any]) -> dict[str, Any]:
    ((tag, raw),) = value.items()
    match tag:
        case "B":
            return {"B": base64.b64decode(raw)}
        case "BS":
            return {"BS": [base64.b64decode(one) for one in raw]}
        case "M":
            return {"M": of_json(raw)}
        case "L":
            return {"L": [_tagged(one) for one in raw]}
        case _:
            return {tag: raw}
