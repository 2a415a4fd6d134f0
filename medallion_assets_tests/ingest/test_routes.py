"""The API inside the server: the same answers, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
from starlette.applications import Starlette
from starlette.requests import Request

from medallion_assets.ingest.routes import MOST_BYTES, ingest_routes
from medallion_assets_tests.ingest.conftest import WRITER, Api


def test_an_item_is_written_and_read_over_http(api: Api) -> None:
    async def claims_of(request: Request) -> Mapping[str, str]:
        return WRITER if request.headers.get("authorization") == "Bearer w" else {}

    async def ask() -> None:
        transport = httpx.ASGITransport(Starlette(routes=ingest_routes(api.app, claims_of)))
        headers = {"Authorization": "Bearer w"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            item = {"PK": "ORDER#1/2", "SK": "ä", "Pieces": 1}
            made = await client.post("/v1/items/lines", json=item)
            assert (made.status_code, made.headers["etag"]) == (201, '"1"')
            read = await client.get(made.headers["location"])
            assert read.json() == {**item, "_version": 1}
            assert (await client.get("/v1/items/lines?limit=1")).json()["items"] == [read.json()]
            gone = await client.delete(made.headers["location"], headers={"If-Match": '"1"'})
            assert gone.status_code == 204
            assert (await client.get("/v1/items/lines", headers={"Authorization": "no"})).status_code == 403
            assert (await client.post("/v1/items/lines", content=b"x" * (MOST_BYTES + 1))).status_code == 413

    asyncio.run(ask())
