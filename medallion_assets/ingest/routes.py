"""The ingest API inside `medallion serve`: each request becomes an event as API Gateway sends it.

Belongs here: HTTP to events and back. Does not belong here: who the caller is, which the server knows.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from medallion_assets.ingest.app import IngestApp
from medallion_assets.ingest.policy import Claims
from medallion_assets.ingest.refusal import Refused

MOST_BYTES: Final = 6 * 2**20
"""What Lambda takes as a request."""


def ingest_routes(app: IngestApp, claims_of: Callable[[Request], Awaitable[Claims]]) -> list[BaseRoute]:
    """Return the routes of the API. `claims_of` returns what the policy is asked with, or raises what refuses."""

    async def answer(request: Request) -> Response:
        claims = await claims_of(request)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                too_large = Refused(413, "too_large", f"The body has more than {MOST_BYTES:,} bytes.")
                return JSONResponse(too_large.body, status_code=too_large.status)
        event = _event(request, body, claims)
        answered = await asyncio.to_thread(app.resolve, event, _Context())
        return Response(answered["body"], status_code=answered["statusCode"], headers=answered["headers"])

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [Route(path, answer, methods=methods) for path in ("/v1/items", "/v1/items/{rest:path}")]


def _event(request: Request, body: bytes, claims: Claims) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.scope["path"],
        "rawQueryString": request.url.query,
        "headers": dict(request.headers),
        "queryStringParameters": dict(request.query_params),
        "requestContext": {
            "http": {"method": request.method, "path": request.scope["path"]},
            "stage": "$default",
            "authorizer": {"lambda": dict(claims)},
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


class _Context:
    """What Powertools asks of a function's context."""

    function_name = "ingest"

    def get_remaining_time_in_millis(self) -> int:
        """Return for how long a request with an Idempotency-Key may run before it may be repeated."""
        return 30_000
