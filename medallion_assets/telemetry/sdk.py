"""OpenTelemetry's SDK, with ids that are chosen and a provider of its own.

Belongs here: everything that imports OpenTelemetry. Does not belong here: which spans there are (spans). The provider
is not the process's global one, so traces of the user's own code in the same process are left alone.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Final, NamedTuple

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

SECONDS_PER_EXPORT: Final = 2
"""A collector that does not answer holds up an invocation or a run for this long, unless OpenTelemetry's variables say
another time."""

_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")


class Ids(NamedTuple):
    """The ids of a span that another process knows, too."""

    trace: int
    span: int


_chosen: ContextVar[Ids | None] = ContextVar("chosen", default=None)


class _Generator(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        ids = _chosen.get()
        return ids.trace if ids else super().generate_trace_id()

    def generate_span_id(self) -> int:
        ids = _chosen.get()
        return ids.span if ids else super().generate_span_id()


def derive(kind: str, name: str) -> Ids:
    """Return the ids of the span of a thing with this name; they are as good as random ones."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).digest()
    return Ids(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]))


@contextmanager
def record(
    name: str,
    about: Mapping[str, str] = {},
    *,
    counts: Mapping[str, int] = {},
    ids: Ids | None = None,
    parent: Ids | None = None,
    is_current: bool = True,
) -> Iterator[None]:
    """Record a span while the block runs; an error is noted by its type only.

    With `ids` the span is the root of a trace, linked to the current span; otherwise it is a part of the current span,
    or of `parent`. `about` has names of things; `counts` are read at the end. A span that is not current may end in
    another context.
    """
    around = trace.get_current_span().get_span_context()
    within = contexts.get_current()
    if ids is not None:
        within = trace.set_span_in_context(trace.INVALID_SPAN)
    elif parent is not None:
        within = trace.set_span_in_context(NonRecordingSpan(_context(parent)))
    token = _chosen.set(ids)
    try:
        links = [Link(around)] if ids is not None and around.is_valid else []
        attributes = {f"medallion.{key}": value for key, value in about.items()}
        recorded = _tracer().start_span(name, context=within, attributes=attributes, links=links)
    finally:
        _chosen.reset(token)
    attached = contexts.attach(trace.set_span_in_context(recorded)) if is_current else None
    try:
        yield
    except BaseException as error:
        recorded.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        if attached is not None:
            contexts.detach(attached)
        recorded.set_attributes({f"medallion.{key}": value for key, value in counts.items()})
        recorded.end()


def link(others: Sequence[Ids]) -> None:
    """Link the current span to others."""
    current = trace.get_current_span()
    for ids in others:
        current.add_link(_context(ids))


def flush() -> None:
    """Send what was recorded."""
    _provider().force_flush()


def _context(ids: Ids) -> SpanContext:
    """Return the context of a span of another process, sampled as the sampler decides for its trace."""
    decision = _provider().sampler.should_sample(None, ids.trace, "").decision
    flags = TraceFlags(TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
    return SpanContext(ids.trace, ids.span, is_remote=True, trace_flags=flags)


@cache
def _provider() -> TracerProvider:
    resource = Resource({SERVICE_NAME: "medallion"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, id_generator=_Generator())
    timeout = None if any(os.environ.get(name) for name in _TIMEOUTS) else SECONDS_PER_EXPORT
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    return provider


def _tracer() -> trace.Tracer:
    return _provider().get_tracer("medallion_assets")
