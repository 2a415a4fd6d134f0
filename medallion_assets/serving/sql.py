"""`POST /v1/sql`: one SELECT, answered within limits while its caller waits.

Belongs here: the request, running it off the event loop, stopping it. Does not belong here: running SQL (reader).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import sqlglot
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlglot import exp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from medallion_assets.errors import MedallionError
from medallion_assets.serving.answer import MEDIA_TYPES, Answer, Format
from medallion_assets.serving.caller import Caller
from medallion_assets.serving.execution import Execution
from medallion_assets.serving.gate import Gate
from medallion_assets.serving.parameters import bind
from medallion_assets.serving.refusal import Refusal, refusal_of
from medallion_assets.serving.service import Service

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOP_AGAIN_SECONDS: Final = 0.1


class SqlRequest(BaseModel):
    """One SELECT in Trino's dialect."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: str = Field(min_length=1, description="One SELECT; :name is the place of a parameter.")
    parameters: dict[str, str | int | Decimal | bool | None] = Field(
        default={}, description="Values by name. They are never read as SQL."
    )
    freshness: Literal["published"] = Field(default="published", description="published: what was audited.")
    format: Format = Field(default="json", description="json, csv, or arrow: the stream format of Apache Arrow.")


class AnsweredTable(BaseModel):
    """A table that an answer was computed from; times are UTC, null if not known."""

    name: str
    snapshot_id: str | None
    published_at: datetime | None
    complete_to: datetime | None
    blocked_by: str | None


class AnsweredColumn(BaseModel):
    """A column of an answer, with Trino's type."""

    name: str
    type: str


class SqlAnswer(BaseModel):
    """Rows, what they were computed from, and how old they are."""

    columns: list[AnsweredColumn]
    rows: list[list[Any]] = Field(description="Decimals are text with all digits, times ISO 8601 in UTC, binary hex.")
    row_count: int
    freshness: Literal["published"]
    audited: bool
    answered_at: datetime
    complete_to: datetime | None = Field(description="Every change up to then is in the rows; null if not known.")
    age_seconds: float | None
    tables: list[AnsweredTable]


class SqlEndpoint:
    """Answers `POST /v1/sql`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._gate = Gate(service.limits)
        self._pool = ThreadPoolExecutor(service.limits.running, thread_name_prefix="query")

    async def handle(self, request: Request, caller: Caller) -> Response:
        """Answer a request. Raises Refusal and what the reader raises."""
        asked = await self._read(request)
        began, execution = time.monotonic(), Execution()

        def run() -> Answer:
            sql = bind(asked.sql, asked.parameters)
            result = self._service.reader.run(
                sql, today=datetime.now(UTC).date(), execution=execution, may_read=caller.may_read
            )
            return Answer.of(result, self._service.status.read(), answered_at=datetime.now(UTC))

        outcome, rows = "failed", 0
        try:
            async with self._gate.enter(caller.name):
                answer = await self._run(request, run, execution)
            rows = answer.result.rows.num_rows
            body = await asyncio.to_thread(answer.body, asked.format)
            outcome = "answered"
        except MedallionError as refused:
            outcome = refusal_of(refused).code
            raise
        finally:
            shape = _without_values(asked.sql, readable=outcome != "wrong_query")
            log.info("%s: %d rows in %.3f s for %s: %s", outcome, rows, time.monotonic() - began, caller.name, shape)
        return Response(body, media_type=MEDIA_TYPES[asked.format], headers=answer.headers())

    async def _read(self, request: Request) -> SqlRequest:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "not_json", "The body is not application/json; send the query as JSON.")
        body = bytearray()
        limit = self._service.limits.body_bytes
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise Refusal(413, "body_too_large", f"The body is longer than {limit:,} bytes, which is the limit.")
        try:
            return SqlRequest.model_validate_json(bytes(body))
        except ValidationError as invalid:
            lines = [
                f"{'.'.join(map(str, mistake['loc'])) or 'body'}: {mistake['msg']}"
                for mistake in invalid.errors(include_url=False, include_input=False)
            ]
            raise Refusal(400, "wrong_request", "\n".join(lines)) from None

    async def _run(self, request: Request, run: Callable[[], T], execution: Execution) -> T:
        """Run it in a thread; stop it when its time is over or its caller is gone."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, run)
        gone = asyncio.ensure_future(_until_gone(request))
        seconds = self._service.limits.seconds
        try:
            first: set[asyncio.Future[Any]] = {running, gone}
            await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                why = Refusal(499, "caller_gone", "The caller has closed the connection.")
            else:
                why = Refusal(
                    422, "time_limit", f"The query has run for {seconds:g} s, which is the limit. Let it read less."
                )
            while not running.done():
                execution.stop(why)
                await asyncio.wait({running}, timeout=_STOP_AGAIN_SECONDS)
            return await running
        finally:
            gone.cancel()


async def _until_gone(request: Request) -> None:
    """Return when the caller has closed the connection. The body has been read."""
    with contextlib.suppress(ClientDisconnect):
        while (await request.receive())["type"] != "http.disconnect":
            pass


def _without_values(sql: str, *, readable: bool) -> str:
    """Return a query for the log: its literals are question marks; of one that was refused only its length."""
    if not readable:
        return f"{len(sql)} characters"
    tree = sqlglot.parse_one(sql, dialect="trino")
    return tree.transform(lambda node: exp.Placeholder() if isinstance(node, exp.Literal) else node).sql(
        "trino", comments=False
    )
