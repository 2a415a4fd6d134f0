"""The service: the domain, its lake and what serves them, opened once for a process.

Belongs here: opening and closing these. Does not belong here: HTTP (app), what they do.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.limits import Limits
from medallion_assets.serving.live import LiveCounters
from medallion_assets.serving.reader import Reader
from medallion_assets.serving.saved_query import load_saved_queries
from medallion_assets.serving.status_reader import StatusReader
from medallion_assets.serving.tables import Tables
from medallion_assets.settings import Settings
from medallion_assets.silver.tail import Tail


class Service:
    """What answers requests. A context manager. Raises what loading the domain and opening the lake raise.

    With `keys` it answers only to a caller with one of them, without to anyone.
    """

    def __init__(self, settings: Settings, limits: Limits, keys: KeyRing | None) -> None:
        self.settings = settings
        self.limits = limits
        self.keys = keys
        self.domain = load_domain(settings.domain)
        self.marts = load_marts(self.domain)
        self.queries = load_saved_queries(self.domain, self.marts)
        self._opened = ExitStack()
        self.lake = self._opened.enter_context(Lake.open(settings.lake()))
        store = open_store(settings.bronze)
        tails = {one.lake_name: Tail(self.lake, store, one, self.domain) for one in self.domain.tables}
        self.reader = Reader(self.lake, limits, tails)
        self._opened.callback(self.reader.close)
        self.live = self._opened.enter_context(LiveCounters.open(settings, self.domain))
        self.status = StatusReader(self.lake, store, self.domain, self.marts)
        self.tables = Tables(self.lake, self.domain, self.marts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
