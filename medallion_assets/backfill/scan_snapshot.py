"""A snapshot that is a scan: each segment is a part.

A segment is read to its end, into a local file, before the first of its items is written: by then the changes made
while it was read can be merged. Belongs here: reading segments side by side, and files of bounded size. Does not belong
here: the calls to DynamoDB (reconciliation.scan).
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import orjson

from medallion_assets.backfill.snapshot import Kind, Page, Part

SEGMENT_BYTES: Final = 256 * 1024 * 1024
"""About the size of a segment: what is read again after a crash, and what waits on the local disk per thread."""


class SegmentedTable(Protocol):
    """A table that can be scanned by segments."""

    def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
        """Yield the items of a segment, consistently read, in JSON documents `{"Items": [...]}`."""


@dataclass(frozen=True)
class ScanSnapshot:
    """The items of a table, read now. `at` is when the scan began first, `threads` how many segments it reads at once.

    `now` is the clock.
    """

    id: str
    at: datetime
    items: int
    segments: int
    table: SegmentedTable
    now: Callable[[], datetime]
    threads: int = 4
    kind: Kind = "scan"
    since: None = None

    @property
    def parts(self) -> Sequence[str]:
        """The names of the segments."""
        return [f"{segment:06d}" for segment in range(self.segments)]

    def check(self, parts: Collection[str]) -> None:
        """Check nothing: a table is read as it is."""

    @contextmanager
    def read(self, parts: Sequence[str]) -> Iterator[Iterator[Part]]:
        """Read these segments, some ahead of the one that is loaded. Raises botocore's errors."""
        with (
            tempfile.TemporaryDirectory(prefix="medallion-backfill-") as folder,
            ThreadPoolExecutor(self.threads) as pool,
        ):
            ahead: deque[Future[Part]] = deque()

            def read() -> Iterator[Part]:
                for name in parts:
                    ahead.append(pool.submit(self._segment, name, Path(folder)))
                    if len(ahead) > self.threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()

            try:
                yield read()
            finally:
                for one in ahead:
                    one.cancel()

    def _segment(self, name: str, folder: Path) -> Part:
        path, at = folder / name, self.now()
        reading = f"{name}-{at:%Y%m%dT%H%M%S%fZ}"
        with path.open("wb") as file:
            before = at
            for page in self.table.scan_segment(int(name), self.segments):
                items = orjson.loads(page)["Items"]
                lines = [orjson.dumps({"Item": item}).decode() for item in items]
                file.write(orjson.dumps([before.isoformat(), lines]) + b"\n")
                before = self.now()
        return Part(name, reading, self.now(), _pages(path))


def _pages(path: Path) -> Iterator[Page]:
    with path.open("rb") as file:
        for line in file:
            at, lines = orjson.loads(line)
            if lines:
                yield Page(datetime.fromisoformat(at), lines)
    path.unlink()
