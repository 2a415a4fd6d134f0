"""The HTTP application: every route is added here, to one list.

Belongs here: the list of operations, and how errors become responses. Does not belong here: what an operation does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from medallion_assets.errors import MedallionError
from medallion_assets.serving.caller import ANYONE, Caller, identify
from medallion_assets.serving.live import EVENT_STREAM, LiveAnswer
from medallion_assets.serving.operation import Operation, Parameter, openapi
from medallion_assets.serving.page import page_routes
from medallion_assets.serving.queries import Queries, QueryList, describe
from medallion_assets.serving.refusal import Refusal, refusal_of
from medallion_assets.serving.runner import Runner
from medallion_assets.serving.saved_query import SavedQuery
from medallion_assets.serving.service import Service
from medallion_assets.serving.sql import SqlAnswer, SqlEndpoint, SqlRequest
from medallion_assets.serving.status_lines import StatusLines, status_lines
from medallion_assets.serving.tables import TableDescription, TableSummary

log = logging.getLogger(__name__)


class TableList(BaseModel):
    """The tables that the caller may read."""

    tables: list[TableSummary]


class Health(BaseModel):
    """The server answers, and so does its lake."""

    status: Literal["ok"]
    version: str


def create_app(service: Service, *, hosts: Sequence[str], more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the application.

    `hosts` are the names by which it may be asked, so that a page on another host cannot ask through a browser by a
    name that it makes mean this machine. `more` are routes that are tried after its own.
    """
    operations = _operations(service)
    document = openapi(operations, title=f"Medallion: {service.domain.name}", version=version("medallion-assets"))

    async def describe(request: Request) -> Response:
        return JSONResponse(document)

    routes: list[BaseRoute] = [Route(one.path, _endpoint(one, service), methods=[one.method]) for one in operations]
    routes += [Route("/v1/openapi.json", describe), *page_routes(service), *more]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={MedallionError: _refuse, HTTPException: _no_route},
    )
    app.router.redirect_slashes = False  # another path is another question, and no answer
    return app


def _endpoint(operation: Operation, service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        caller = await identify(request, service.keys) if operation.needs_key else ANYONE
        return await operation.handle(request, caller)

    return answer


def _operations(service: Service) -> list[Operation]:
    async def health(request: Request, caller: Caller) -> Response:
        await asyncio.to_thread(service.lake.tables, "silver")
        return _json(Health(status="ok", version=version("medallion-assets")))

    async def list_tables(request: Request, caller: Caller) -> Response:
        found = await asyncio.to_thread(lambda: service.tables.list(service.status.read(), caller.may_read))
        return _json(TableList(tables=found))

    async def describe_table(request: Request, caller: Caller) -> Response:
        schema, _, name = request.path_params["name"].partition(".")
        found = await asyncio.to_thread(
            lambda: service.tables.describe(schema, name, service.status.read(), caller.may_read)
        )
        return _json(found)

    async def status(request: Request, caller: Caller) -> Response:
        found = await asyncio.to_thread(service.status.read)
        return _json(status_lines(found, caller.may_read, dagster_url=service.settings.dagster_url))

    runner = Runner(service)
    queries = Queries(service, runner)
    name = Parameter("name", "path", "The table with its schema: gold.daily_sales.")
    return [
        Operation(
            "health",
            "GET",
            "/v1/health",
            "Whether the server and its lake answer.",
            health,
            answer=Health,
            needs_key=False,
        ),
        Operation("status", "GET", "/v1/status", "What is wrong with each table.", status, answer=StatusLines),
        Operation("listTables", "GET", "/v1/tables", "The tables and their age.", list_tables, answer=TableList),
        Operation(
            "describeTable",
            "GET",
            "/v1/tables/{name}",
            "A table: its columns, and how old it is.",
            describe_table,
            answer=TableDescription,
            parameters=[name],
            errors=[404],
        ),
        Operation(
            "runSql",
            "POST",
            "/v1/sql",
            "The rows of one SELECT.",
            SqlEndpoint(runner).handle,
            answer=SqlAnswer,
            body=SqlRequest,
            other_media_types=["text/csv", "application/vnd.apache.arrow.stream"],
            errors=[400, 413, 415, 422, 429],
        ),
        Operation(
            "readCounter",
            "GET",
            "/v1/live/{name}",
            "A live counter; as an event stream, again whenever it changes.",
            partial(service.live.handle, keys=service.keys),
            answer=LiveAnswer,
            other_media_types=[EVENT_STREAM],
            parameters=[Parameter("name", "path", "The counter: the name of its file in live/.")],
            errors=[404],
        ),
        Operation("listQueries", "GET", "/v1/queries", "The saved queries.", queries.list, answer=QueryList),
        *(_saved(query, queries) for query in service.queries.values()),
    ]


def _saved(query: SavedQuery, queries: Queries) -> Operation:
    described = describe(query)
    parameters = [
        Parameter(one.name, "query", f"{one.description} ({one.type})", required=one.required)
        for one in described.parameters
    ]
    formats = Parameter("format", "query", "How rows are written.", {"enum": ["json", "csv", "arrow"]}, required=False)
    return Operation(
        f"query_{query.name}",
        "GET",
        f"/v1/queries/{query.name}",
        query.file.description,
        partial(queries.call, query),
        answer=SqlAnswer,
        other_media_types=["text/csv", "application/vnd.apache.arrow.stream"],
        parameters=[*parameters, formats],
        errors=[400, 404, 413, 422, 429],
    )


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, MedallionError)  # noqa: S101 - what it is registered for
    refusal: Refusal = refusal_of(error)
    if refusal.status >= 500:
        log.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return JSONResponse(refusal.body, status_code=refusal.status, headers=dict(refusal.headers))


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "refused")
    message = f"{request.method} {request.url.path}: {error.detail}, or none that you may ask; see /v1/openapi.json"
    return JSONResponse(Refusal(error.status_code, code, message).body, error.status_code, dict(error.headers or {}))
