"""Live counters over HTTP: their groups as JSON, or as server-sent events whenever they change.

Belongs here: who may read a counter, how often its store is asked, and the two forms of the answer. Does not belong
here: the counters and their stores (live).

Everybody who watches a counter shares one read of it, however many there are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Self

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from medallion_assets.contracts.loader import Domain
from medallion_assets.errors import MedallionError
from medallion_assets.live.counter import Counter
from medallion_assets.live.counter_file import load_counters
from medallion_assets.live.store import LiveStore, open_store
from medallion_assets.serving.caller import Caller, identify
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.refusal import Refusal, refusal_of
from medallion_assets.settings import Settings

log = logging.getLogger(__name__)

EVENT_STREAM: Final = "text/event-stream"
_READ_SECONDS: Final = 0.25
_SILENCE_SECONDS: Final = 15.0
"""Something is sent after so long, so that neither side takes a quiet connection for a dead one."""


class LiveAnswer(BaseModel):
    """A counter when it was read. A group has its parts and measures by name; a decimal is text, so it stays exact."""

    counter: str
    read_at: datetime
    groups: list[dict[str, Any]]


class LiveCounters:
    """The counters of a domain, in their store."""

    def __init__(self, counters: dict[str, Counter], store: LiveStore | None) -> None:
        self._counters = counters
        self._store = store
        self._kept: dict[str, tuple[float, LiveAnswer]] = {}
        self._locks = {name: asyncio.Lock() for name in counters}

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, domain: Domain) -> Iterator[Self]:
        """Open the store that MEDALLION_LIVE names, if the domain has counters. Raises ContractError, SettingsError."""
        counters = {counter.name: counter for counter in load_counters(domain)}
        if settings.live is None or not counters:
            yield cls({}, None)
            return
        with open_store(settings.live) as store:
            yield cls(counters, store)

    async def handle(self, request: Request, caller: Caller, keys: KeyRing | None) -> Response:
        """Answer with the counter that the path names. Raises Refusal (404), LakeUnavailable.

        An event stream asks `keys` again, so it ends with the key of its caller.
        """
        counter = self._find(request.path_params["name"], caller)
        answer = await self._read(counter)
        headers = {"Cache-Control": "no-store"}
        if EVENT_STREAM in request.headers.get("accept", ""):
            return StreamingResponse(
                self._events(request, counter, answer, keys), media_type=EVENT_STREAM, headers=headers
            )
        return Response(answer.model_dump_json(), media_type="application/json", headers=headers)

    def _find(self, name: str, caller: Caller) -> Counter:
        counter = self._counters.get(name)
        if counter is None or not caller.may_read("silver", counter.silver):
            mine = [one.name for one in self._counters.values() if caller.may_read("silver", one.silver)]
            raise Refusal(
                404,
                "no_such_counter",
                f"No live counter {name!r:.80} that you may read; expected {', '.join(mine) or 'none'}.",
            )
        return counter

    async def _read(self, counter: Counter) -> LiveAnswer:
        """Return the counter, read within the last quarter of a second."""
        assert self._store is not None  # noqa: S101 - there are no counters without a store
        async with self._locks[counter.name]:
            at, answer = self._kept.get(counter.name, (0.0, None))
            if answer is None or time.monotonic() - at >= _READ_SECONDS:
                began, read_at = time.monotonic(), datetime.now(UTC)
                totals = await asyncio.to_thread(self._store.totals, counter.name)
                groups = [counter.described(json.loads(group), one) for group, one in sorted(totals.items())]
                answer = LiveAnswer(counter=counter.name, read_at=read_at, groups=groups)
                self._kept[counter.name] = began, answer
        return answer

    async def _events(
        self, request: Request, counter: Counter, answer: LiveAnswer, keys: KeyRing | None
    ) -> AsyncIterator[str]:
        """Yield the counter, and again whenever it has changed, while the caller may read it."""
        yield _event("counter", answer.model_dump_json())
        said, sent_at = answer.groups, time.monotonic()
        while not await request.is_disconnected():
            await asyncio.sleep(_READ_SECONDS)
            try:
                self._find(counter.name, await identify(request, keys))
                answer = await self._read(counter)
            except MedallionError as error:
                log.warning("counter %s: %s", counter.name, error)
                yield _event("refused", json.dumps(refusal_of(error).body))
                return
            if answer.groups != said:
                yield _event("counter", answer.model_dump_json())
                said, sent_at = answer.groups, time.monotonic()
            elif time.monotonic() - sent_at >= _SILENCE_SECONDS:
                yield ": nothing changed\n\n"
                sent_at = time.monotonic()


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
