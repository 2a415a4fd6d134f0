"""A server in front of the local AWS: it records which actions are asked for, and refuses some as IAM would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Front(ThreadingHTTPServer):
    """The server. `refused` may be changed at any time; `asked` are the actions of DynamoDB and its streams."""

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.refused: set[str] = set()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, _, action = self.headers.get("X-Amz-Target", "").partition(".")
        if service.startswith("DynamoDB"):
            self.server.asked.append(action)
        if action in self.server.refused:
            text = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": f"not authorized: {action}"}
            self._answer(400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(text).encode())
            return
        request = urllib.request.Request(self.server.behind + self.path, body or None, method=self.command)
        for name, value in self.headers.items():
            if name.lower() not in {"host", "content-length", "connection"}:
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, dict(error.headers), error.read())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def in_front_of(behind: str) -> Iterator[Front]:
    """Serve while inside."""
    with Front(behind) as front:
        thread = Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield front
        finally:
            front.shutdown()
            thread.join()
