"""The panels of a domain as they are published now: read when somebody asks, and kept until a mart changes.

Belongs here: reading them once for many callers, and leaving out what a caller may not read. Does not belong here: the
values (panels), HTTP (page).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from medallion_assets.gold.dashboard_file import DashboardFile
from medallion_assets.panels.default_dashboard import all_dashboards
from medallion_assets.panels.document import Document, read_document
from medallion_assets.panels.query import titled
from medallion_assets.panels.state import mart_states
from medallion_assets.serving.service import Service

_KEPT: Final = 20
"""Documents: a caller who has an old pointer still gets what it names."""

Readable = frozenset[str]


@dataclass(frozen=True)
class Panels:
    """The panels of the marts that a caller may read, and the state of these marts (panels.state) at a time."""

    document: Document
    states: Mapping[str, Mapping[str, Any]]
    at: datetime


class PanelReader:
    """Reads panels. Threads may share it: one reads, the others wait for what it finds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._marts = {mart.name: mart for mart in service.marts}
        self._dashboards = all_dashboards(service.domain, self._marts)
        self._lock = threading.Lock()
        self._published: object = None
        self._newest: dict[Readable, Document] = {}
        self._kept: OrderedDict[tuple[Readable, str], Document] = OrderedDict()

    def readable(self, may_read: Callable[[str, str], bool]) -> Readable:
        """Return the names of the marts that a caller may read."""
        return frozenset(name for name in self._marts if may_read("gold", name))

    def read(self, readable: Readable) -> Panels:
        """Return the panels over these marts; their state is at most five seconds old.

        Raises MartError, LakeUnavailable, SettingsError.
        """
        found = self._service.status.read()
        states = mart_states(found.status, self._marts, dagster_url=self._service.settings.dagster_url)
        published = (found.at.date(), *((mart.mart, mart.published_at) for mart in found.status.marts))
        with self._lock:
            if published != self._published:
                self._newest.clear()
                self._published = published
            if (document := self._newest.get(readable)) is None:
                document = self._newest[readable] = self._read(readable, found.at)
                self._kept[readable, document.version] = document
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return Panels(document, {name: one for name, one in states.items() if name in readable}, found.at)

    def kept(self, readable: Readable, version: str) -> Document | None:
        """Return a document that was read for such a caller, if it is still kept."""
        return self._kept.get((readable, version))

    def _read(self, readable: Readable, now: datetime) -> Document:
        dashboards = {
            name: part for name, file in self._dashboards.items() if (part := _part(file, readable)) is not None
        }
        title = titled(self._service.domain.name)
        return read_document(self._service.lake, self._marts, dashboards, title=title, now=now)


def _part(file: DashboardFile, readable: Readable) -> DashboardFile | None:
    """Return a dashboard with the panels of these marts; None without any."""
    rows = []
    for row in file.rows:
        if panels := tuple(panel for panel in row.panels if panel.mart in readable):
            rows.append(row.model_copy(update={"panels": panels}))
    return file.model_copy(update={"rows": tuple(rows)}) if rows else None
