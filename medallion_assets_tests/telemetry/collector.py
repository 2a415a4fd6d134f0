"""A collector of OpenTelemetry on 127.0.0.1: it takes spans by OTLP over HTTP and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Collector:
    """What was received: every span, and the attributes of the processes that sent them."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def about(span: Any) -> dict[str, str | int]:
    """Return the attributes of a span, which are text and whole numbers only."""
    found: dict[str, str | int] = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value")
        assert kind in {"string_value", "int_value"}, each
        found[each.key.removeprefix("medallion.")] = getattr(each.value, kind)
    return found


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free port."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in sent.resource_spans:
                attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
                found.resources.append(attributes)
                found.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
