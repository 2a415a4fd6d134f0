"""The spans of the pipeline. Without an endpoint in the environment they do nothing, and OpenTelemetry is not imported.

Belongs here: one function per kind of span. Does not belong here: the SDK (sdk).

Processes do not hand a trace on to each other. Ids are made from names that both sides know: those of the span of a
Bronze object from its path, those of a run's span from the run's id. So a step links the objects that it reads to the
invocation that wrote them, and nothing is stored for that.
"""

import logging
import os
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Final

log = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The variables of OpenTelemetry's specification that switch traces on."""

MAX_LINKS: Final = 128
"""Objects that a step links: what the specification allows a span by default."""

Counts = MutableMapping[str, int]
"""What a span says at its end, by name."""


@contextmanager
def span(name: str, *, table: str | None = None) -> Iterator[Counts]:
    """Trace what happens inside, as a part of the span around it; yield the counts to fill in."""
    counts: Counts = {}
    if (sdk := _sdk()) is None:
        yield counts
        return
    with sdk.record(name, {"table": table} if table else {}, counts=counts):
        yield counts


@contextmanager
def object_span(path: str, *, table: str) -> Iterator[Counts]:
    """Trace the writing of a Bronze object in a trace of its own, linked to the span around it."""
    counts: Counts = {}
    if (sdk := _sdk()) is None:
        yield counts
        return
    with sdk.record("write object", {"table": table}, counts=counts, ids=sdk.derive("object", path)):
        yield counts


@contextmanager
def run_span(run_id: str) -> Iterator[None]:
    """Trace a run, and send what was traced at its end. It may be entered in a generator."""
    if (sdk := _sdk()) is None:
        yield
        return
    try:
        with sdk.record("run", ids=sdk.derive("run", run_id), is_current=False):
            yield
    finally:
        flush()


@contextmanager
def step_span(run_id: str, key: str) -> Iterator[Counts]:
    """Trace a step of a run, as a part of the run's span."""
    counts: Counts = {}
    if (sdk := _sdk()) is None:
        yield counts
        return
    with sdk.record("step", {"step": key}, counts=counts, parent=sdk.derive("run", run_id)):
        yield counts


def link_objects(paths: Iterable[str]) -> None:
    """Link the current span to those in which these Bronze objects were written, to the first MAX_LINKS."""
    if (sdk := _sdk()) is not None:
        sdk.link([sdk.derive("object", path) for path, _ in zip(paths, range(MAX_LINKS), strict=False)])


def flush() -> None:
    """Send what was traced. If that fails it is logged, and nothing else happens."""
    if (sdk := _sdk()) is not None:
        sdk.flush()


def _sdk() -> ModuleType | None:
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    return _load()


@cache
def _load() -> ModuleType | None:
    """Return the module that has the SDK; None without the extra: a trace must not stop a change."""
    try:
        from medallion_assets.telemetry import sdk
    except ModuleNotFoundError as error:
        log.warning("no traces are sent: %s. Install medallion-assets[telemetry], or unset %s", error, ENDPOINTS[1])
        return None
    return sdk
