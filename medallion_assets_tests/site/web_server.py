"""A web server over a directory, with ETags and If-None-Match, as S3 and CloudFront have them."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from medallion_assets.site.files import site_file


class WebServer:
    """Serves `root` on `port`; counts its answers by path and status."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = 0
        self.answers: Counter[tuple[str, int]] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve while inside; on the same port each time."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0].lstrip("/") or "index.html"
                status, content = server._answer(path, self.headers.get("If-None-Match"))
                self.send_response(status)
                if status != HTTPStatus.NOT_FOUND:
                    file = site_file(path, content, changes=path in {"index.html", "data/latest.json"})
                    self.send_header("ETag", _etag(content))
                    self.send_header("Content-Type", file.media_type)
                    self.send_header("Cache-Control", file.cache_control)
                body = content if status == HTTPStatus.OK else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as http:
            self.port = http.server_port
            thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield
            finally:
                http.shutdown()
                thread.join()

    def _answer(self, path: str, known: str | None) -> tuple[HTTPStatus, bytes]:
        try:
            content = (self.root / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            status, content = HTTPStatus.NOT_FOUND, b""
        else:
            status = HTTPStatus.NOT_MODIFIED if known == _etag(content) else HTTPStatus.OK
        self.answers[path, status] += 1
        return status, content


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'
