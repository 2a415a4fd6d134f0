"""A table in memory that is read like one of DynamoDB, and a clock that advances whenever it is read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from medallion_assets.contracts.model import Contract
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.scan import Description, Keys
from medallion_assets_tests.silver.changes import NOON

Item = dict[str, dict[str, Any]]


@dataclass
class Items:
    """The items of one table by key. `after_scan` is called once, when a scan has read everything."""

    contract: Contract
    items: dict[str, Item] = field(default_factory=dict)
    units: float = 0.0
    reads: int = 0
    after_scan: Callable[[], None] | None = None

    def put(self, item: Item) -> None:
        self.items[self._key(item)] = item

    def delete(self, keys: Keys) -> None:
        self.items.pop(self._key(keys), None)

    def describe(self) -> Description:
        tags = {column.attribute: next(iter(self._tag(column.attribute))) for column in self.contract.key_columns}
        arn = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{self.contract.table}"
        return Description(arn, tags, f"{arn}/stream/2026-03-01T00:00:00.000")

    def scan(self) -> Iterator[bytes]:
        for item in list(self.items.values()):
            yield json.dumps({"Items": [item]}).encode()
        called, self.after_scan = self.after_scan, None
        if called is not None:
            called()

    def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
        for item in [one for key, one in self.items.items() if zlib.crc32(key.encode()) % of == segment]:
            yield json.dumps({"Items": [item]}).encode()

    def get(self, keys: Iterable[Keys]) -> Iterator[bytes]:
        for key in keys:
            self.reads += 1
            if (item := self.items.get(self._key(key))) is not None:
                yield json.dumps({"Items": [item]}).encode()

    def _key(self, item: Mapping[str, Any]) -> str:
        return json.dumps([item[column.attribute] for column in self.contract.key_columns])

    def _tag(self, attribute: str) -> Iterable[str]:
        kind = self.contract.columns[attribute].type.kind
        return ["S" if kind == "string" else "B" if kind == "binary" else "N"]


class Clock:
    """A clock that starts at noon, a tenth of a second later at each reading; waiting calls `waited`."""

    def __init__(self, waited: Callable[[], None] = lambda: None) -> None:
        self.time = NOON
        self.waited = waited

    def now(self) -> datetime:
        self.time += timedelta(seconds=0.1)
        return self.time

    def catch_up(self, *, limit: float = 20, capture_delay: float = 0) -> CatchUp:
        return CatchUp(capture_delay_seconds=capture_delay, limit_seconds=limit, now=self.now, wait=self._wait)

    def _wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.waited()
