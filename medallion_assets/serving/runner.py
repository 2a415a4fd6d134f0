"""The runner: a query of a request runs in a thread, while the event loop keeps its limits.

Belongs here: waiting for a place, running off the event loop, stopping, the log. Does not belong here: SQL (reader),
HTTP (sql, queries).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import sqlglot
from sqlglot import TokenType
from sqlglot.errors import SqlglotError
from starlette.requests import ClientDisconnect, Request

from medallion_assets.errors import MedallionError
from medallion_assets.serving.answer import Answer
from medallion_assets.serving.execution import Execution
from medallion_assets.serving.gate import Gate
from medallion_assets.serving.refusal import Refusal, refusal_of
from medallion_assets.serving.service import Service

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOP_AGAIN_SECONDS: Final = 0.1

_WAS_READ: Final = {"answered", "time_limit", "too_many_rows", "too_many_bytes", "query_failed", "lagging"}
"""How a query ends whose text is SQL. Any other text may be anything, so the log has only its length."""

_VALUES: Final = {
    *(TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.RAW_STRING, TokenType.HEREDOC_STRING),
    *(TokenType.UNICODE_STRING, TokenType.HEX_STRING, TokenType.BIT_STRING, TokenType.BYTE_STRING),
    TokenType.NUMBER,
}


class Runner:
    """Runs queries within the service's limits. Used by one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._gate = Gate(service.limits)
        self._pool = ThreadPoolExecutor(service.limits.running, thread_name_prefix="query")
        self.limits = service.limits

    async def run(
        self,
        sql: Callable[[], str],
        *,
        shown: str,
        caller: str,
        may_read: Callable[[str, str], bool],
        fresh: bool = False,
        then: Callable[[Answer], T],
        request: Request | None,
    ) -> tuple[Answer, T]:
        """Return the answer of the SELECT that `sql` gives, and what `then` makes of it; both are called in a thread.

        `shown` is the SQL for the log, where its values become question marks. With a `request` the query is stopped
        when its caller is gone. Raises Refusal and what the reader raises.
        """
        began, execution = time.monotonic(), Execution()

        def work() -> tuple[Answer, T]:
            result = self._service.reader.run(
                sql(), today=datetime.now(UTC).date(), execution=execution, may_read=may_read, fresh=fresh
            )
            answer = Answer.of(result, self._service.status.read(), answered_at=datetime.now(UTC))
            return answer, then(answer)

        outcome, rows = "failed", 0
        try:
            async with self._gate.enter(caller):
                done = await self._watch(work, execution, request)
            outcome, rows = "answered", done[0].result.row_count
            return done
        except MedallionError as refused:
            outcome = refusal_of(refused).code
            raise
        finally:
            shape = _without_values(shown) if outcome in _WAS_READ else f"{len(shown)} characters"
            log.info("%s: %d rows in %.3f s for %s: %s", outcome, rows, time.monotonic() - began, caller, shape)

    async def _watch(self, work: Callable[[], T], execution: Execution, request: Request | None) -> T:
        """Do it in a thread; stop it when its time is over or its caller is gone."""
        working = asyncio.get_running_loop().run_in_executor(self._pool, work)
        gone = asyncio.ensure_future(_until_gone(request) if request is not None else asyncio.Event().wait())
        seconds = self.limits.seconds
        try:
            first: set[asyncio.Future[Any]] = {working, gone}
            await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                why = Refusal(499, "caller_gone", "The caller has closed the connection.")
            else:
                why = Refusal(
                    422, "time_limit", f"The query has run for {seconds:g} s, which is the limit. Let it read less."
                )
            while not working.done():
                execution.stop(why)
                await asyncio.wait({working}, timeout=_STOP_AGAIN_SECONDS)
            return await working
        finally:
            gone.cancel()


async def _until_gone(request: Request) -> None:
    """Return when the caller has closed the connection. The body has been read."""
    with contextlib.suppress(ClientDisconnect):
        while (await request.receive())["type"] != "http.disconnect":
            pass


def _without_values(sql: str) -> str:
    """Return the tokens of a query with question marks in place of its values. It has no comments."""
    try:
        tokens = sqlglot.tokenize(sql, read="trino")
    except SqlglotError:
        return f"{len(sql)} characters"
    return " ".join("?" if token.token_type in _VALUES else token.text for token in tokens)
