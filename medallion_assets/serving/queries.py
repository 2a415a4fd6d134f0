"""`GET /v1/queries` and `GET /v1/queries/<name>`: saved queries, computed once for each state of their tables.

Belongs here: the two operations, the entity tag, one computation for callers who ask at the same time. Does not belong
here: what a saved query is (saved_query), running it (runner), keeping answers (result_cache).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from medallion_assets.serving.answer import MEDIA_TYPES, Format, with_age
from medallion_assets.serving.caller import Caller
from medallion_assets.serving.refusal import Refusal
from medallion_assets.serving.result_cache import AskedFor, Kept, ResultCache
from medallion_assets.serving.runner import Runner
from medallion_assets.serving.saved_query import SavedQuery
from medallion_assets.serving.service import Service
from medallion_assets.serving.versions import Versions


class DescribedParameter(BaseModel):
    """A parameter of a saved query."""

    name: str
    type: str
    description: str
    default: str | None = Field(description="Its value where none is given.")
    required: bool


class DescribedQuery(BaseModel):
    """A saved query."""

    name: str
    description: str
    version: str
    tables: list[str]
    parameters: list[DescribedParameter]


class QueryList(BaseModel):
    """The saved queries that the caller may call."""

    queries: list[DescribedQuery]


class Queries:
    """Answers the two operations. Used by one event loop."""

    def __init__(self, service: Service, runner: Runner) -> None:
        self._service = service
        self._runner = runner
        self._versions = Versions(service.lake)
        self._cache = ResultCache(service.limits.cache_bytes)
        self._computing: dict[AskedFor, asyncio.Task[Kept]] = {}

    async def list(self, request: Request, caller: Caller) -> Response:
        """Answer with the saved queries."""
        found = [describe(query) for name, query in self._service.queries.items() if caller.may_call(name)]
        return Response(QueryList(queries=found).model_dump_json(), media_type="application/json")

    async def call(self, query: SavedQuery, request: Request, caller: Caller) -> Response:
        """Answer with the rows of one, or with 304 if the caller has them. Raises Refusal, and what the reader does."""
        if not caller.may_call(query.name):
            raise Refusal(404, "not_found", f"No {request.url.path}, or none that you may ask.")
        given = _given(request)
        format_ = _format(given.pop("format", "json"))
        asked = (query.name, query.version, format_, tuple(sorted(given.items())), f"{datetime.now(UTC):%Y-%m-%d}")
        kept = self._cache.find(asked, await self._versions.of(query.tables))
        if kept is None:
            kept = await self._compute(query, given, asked, caller)
        answer = kept.answer.at(datetime.now(UTC), self._service.status.latest())
        headers = {**answer.headers(), "ETag": kept.etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        if kept.etag in {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}:
            return Response(status_code=304, headers=headers)
        body = with_age(answer, kept.body) if format_ == "json" else kept.body
        return Response(body, media_type=MEDIA_TYPES[format_], headers=headers)

    async def _compute(self, query: SavedQuery, given: Mapping[str, str], asked: AskedFor, caller: Caller) -> Kept:
        """Compute it, or wait for another caller's computation of the same."""
        task = self._computing.get(asked)
        if task is None:
            sql = query.bind(given)
            task = asyncio.create_task(self._run(query, sql, asked, caller))
            self._computing[asked] = task
            task.add_done_callback(lambda _: self._computing.pop(asked))
        return await asyncio.shield(task)

    async def _run(self, query: SavedQuery, sql: str, asked: AskedFor, caller: Caller) -> Kept:
        answer, body = await self._runner.run(
            lambda: sql,
            shown=query.sql,
            caller=caller.name,
            may_read=lambda schema, name: True,
            then=lambda answer: answer.rows_json() if asked[2] == "json" else answer.body(asked[2]),
            request=None,
        )
        self._versions.saw(answer.result.tables)
        by_name = {table.name: table.snapshot_id for table in answer.tables}
        snapshots = tuple(by_name[name] for name in query.tables)
        digest = hashlib.sha256(repr((asked, snapshots)).encode()).hexdigest()[:32]
        # Weak: the age in the body is another one in each answer.
        kept = Kept(answer.without_rows(), body, snapshots, f'W/"{digest}"')
        self._cache.keep(asked, kept)
        return kept


def describe(query: SavedQuery) -> DescribedQuery:
    """Return what a caller sees of a saved query."""
    return DescribedQuery(
        name=query.name,
        description=query.file.description,
        version=query.version,
        tables=list(query.tables),
        parameters=[
            DescribedParameter(
                name=name,
                type=str(one.type),
                description=one.description,
                default=None if one.default is None else str(one.default),
                required=one.default is None and not one.optional,
            )
            for name, one in query.file.parameters.items()
        ],
    )


def _given(request: Request) -> dict[str, str]:
    items = request.query_params.multi_items()
    given = dict(items)
    if len(given) != len(items):
        raise Refusal(400, "wrong_request", "A parameter stands more than once in the query string; expected it once.")
    return given


def _format(text: Any) -> Format:
    for known in get_args(Format):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise Refusal(400, "wrong_request", f"format: expected one of {', '.join(get_args(Format))}.")
