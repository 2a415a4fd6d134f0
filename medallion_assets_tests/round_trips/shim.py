"""A shim in front of the local AWS: it counts requests by operation, delays them, and fails some of them.

`python -m medallion_assets_tests.round_trips.shim PORT URL` serves on 127.0.0.1 and forwards to the local AWS at URL;
`run_shim` runs that as a process of its own, so that neither side waits for the other's interpreter. Belongs here: one
request's way through. Does not belong here: which acts are counted (acts).
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import httpx
import uvicorn

from medallion_assets.local.processes import Child, free_port, port_is_open

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONTROL: Final = "/_shim"
_HOP_BY_HOP: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})
_KINDS: Final = (
    (re.compile(r"\.metadata\.json$"), "metadata"),
    (re.compile(r"/snap-[^/]*\.avro$"), "manifest list"),
    (re.compile(r"\.avro$"), "manifest"),
    (re.compile(r"-deletes\.parquet$"), "deletes"),
    (re.compile(r"/data/[^?]*\.parquet$"), "data"),
    (re.compile(r"\.parquet$"), "bronze"),
)


@dataclass(frozen=True)
class Weather:
    """What happens to a request of S3 and Glue on its way.

    - delay_ms, jitter_ms: it waits `delay_ms` plus or minus up to `jitter_ms`
    - slow_down: the share, 0 to 1, that is answered with 503 and S3's code SlowDown
    - reset: the share whose connection ends within the answer
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    slow_down: float = 0.0
    reset: float = 0.0


@dataclass(frozen=True)
class Shim:
    """A running shim."""

    port: int

    @property
    def endpoint(self) -> str:
        """What clients take for the endpoint of AWS."""
        return f"http://127.0.0.1:{self.port}"

    def take(self) -> Counter[str]:
        """Return the requests since the last call, by operation, and start again from zero."""
        return Counter(json.loads(self._call("take", {})))

    def set(self, weather: Weather) -> None:
        """Let this weather begin."""
        self._call("weather", asdict(weather))

    def _call(self, act: str, body: dict[str, Any]) -> bytes:
        request = urllib.request.Request(f"{self.endpoint}{CONTROL}/{act}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: bytes = answer.read()
        return found


@contextmanager
def run_shim(target: str, *, folder: Path) -> Iterator[Shim]:
    """Run a shim in front of the local AWS at `target` while inside; its log goes into `folder`."""
    port = free_port()
    command = [sys.executable, "-m", __name__, str(port), target]
    with Child("the shim", command, log=folder / "shim.log") as child:
        child.wait_until(lambda: port_is_open(port), seconds=30)
        yield Shim(port)


def operation(method: str, path: str, query: str, target: str | None) -> str:
    """Return what a request asks for: `glue GetTable`, `s3 GET manifest`, `s3 LIST`.

    `target` is the header X-Amz-Target, which every service but S3 sends.
    """
    if target is not None:
        service, _, call = target.partition(".")
        return f"{_service(service)} {call}"
    asked = parse_qs(query, keep_blank_values=True)
    kind = next((name for pattern, name in _KINDS if pattern.search(path)), "other")
    if "list-type" in asked:
        return "s3 LIST"
    if "uploads" in asked or "uploadId" in asked:
        return f"s3 multipart {method} {kind}"
    if "delete" in asked:
        return "s3 DELETE many"
    return f"s3 {method} {kind}"


def _service(target: str) -> str:
    return {"AWSGlue": "glue", "DynamoDB_20120810": "dynamodb", "DynamoDBStreams_20120810": "streams"}.get(
        target, target
    )


class _App:
    """The ASGI application."""

    def __init__(self, target: str) -> None:
        self._target = httpx.URL(target)
        self._client = httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=200), trust_env=False)
        self._counts: Counter[str] = Counter()
        self._weather = Weather()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"the shim got {scope['type']}, and answers only http")
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"].startswith(f"{CONTROL}/"):
            await self._control(scope["path"].removeprefix(f"{CONTROL}/"), body, send)
        else:
            await self._forward(scope, body, send)

    async def _control(self, act: str, body: bytes, send: Send) -> None:
        answer: object = {}
        if act == "take":
            answer, self._counts = self._counts, Counter()
        else:
            self._weather = Weather(**json.loads(body))
        await _answer(send, 200, [], json.dumps(answer).encode())

    async def _forward(self, scope: Scope, body: bytes, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _HOP_BY_HOP]
        target = dict(scope["headers"]).get(b"x-amz-target")
        query = scope["query_string"].decode()
        asked = operation(scope["method"], scope["path"], query, target.decode() if target else None)
        self._counts[asked] += 1
        if asked.startswith(("s3 ", "glue ")) and await self._weathered(send):
            return
        raw_path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        request = httpx.Request(
            scope["method"], self._target.copy_with(raw_path=raw_path), headers=headers, content=body
        )
        answer = await self._client.send(request, stream=True)
        try:
            content = b"".join([part async for part in answer.aiter_raw()])
        finally:
            await answer.aclose()
        kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in _HOP_BY_HOP]
        length = answer.headers.get("content-length", str(len(content))) if scope["method"] == "HEAD" else None
        await _answer(send, answer.status_code, kept, content, length=length)

    async def _weathered(self, send: Send) -> bool:
        """Delay the request; return whether it ends here."""
        weather = self._weather
        if weather.delay_ms:
            await asyncio.sleep((weather.delay_ms + random.uniform(-weather.jitter_ms, weather.jitter_ms)) / 1000)
        chance = random.random()
        if chance < weather.slow_down:
            text = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            await _answer(send, 503, [(b"content-type", b"application/xml")], text)
            return True
        if chance < weather.slow_down + weather.reset:
            # An application that ends within its answer makes the server close the connection.
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})
            return True
        return False


async def _answer(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes, *, length: str | None = None
) -> None:
    sized = [*headers, (b"content-length", (length or str(len(content))).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": content})


def main(port: str, target: str) -> None:
    """Serve until the process is stopped."""
    uvicorn.run(_App(target), host="127.0.0.1", port=int(port), log_level="warning", lifespan="off", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
