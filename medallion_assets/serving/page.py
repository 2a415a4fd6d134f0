"""The page with the numbers, on a server: the same files as a static site has, made when somebody asks.

Belongs here: its routes, their ETags, and the events that say that something changed. Does not belong here: the page
(site), what a panel shows (panels), who may read what (caller).

Whoever asks for the page itself needs no key: it holds no numbers. With a key it asks for `data/...`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from medallion_assets.errors import MedallionError
from medallion_assets.serving.caller import identify
from medallion_assets.serving.panel_reader import PanelReader, Panels
from medallion_assets.serving.refusal import Refusal
from medallion_assets.serving.service import Service
from medallion_assets.site.files import SiteFile, page_files, site_file
from medallion_assets.site.write import pointer

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
"""How often the page asks, as its status is read again after so long. Events come in between."""

_FOLDER: Final = Path(__file__).parent

EVENTS: Final = "v1/panels/events"
_LOOK_SECONDS: Final = 1.0
_SILENCE_SECONDS: Final = 15.0
"""Something is sent after so long, so that neither side takes a quiet connection for a dead one."""


def page_routes(service: Service) -> Sequence[BaseRoute]:
    """Return the routes of the page."""
    reader = PanelReader(service)

    async def panels(request: Request) -> Panels:
        caller = await identify(request, service.keys)
        return await asyncio.to_thread(reader.read, reader.readable(caller.may_read))

    async def latest(request: Request) -> Response:
        found = await panels(request)
        file = pointer(found.document, found.states, now=found.at, poll_seconds=POLL_SECONDS, events=EVENTS)
        return _answer(request, file, private=True)

    async def document(request: Request) -> Response:
        caller = await identify(request, service.keys)
        found = reader.kept(reader.readable(caller.may_read), request.path_params["version"])
        if found is None:
            raise Refusal(404, "no_such_document", "This version is not kept. Expected the one of data/latest.json.")
        return _answer(request, site_file("x.json", found.content, changes=False), private=True)

    async def events(request: Request) -> Response:
        await panels(request)  # a caller without a key is refused before the stream begins
        return StreamingResponse(
            _events(request, panels), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return [
        Route("/data/latest.json", latest),
        Route("/data/{version}.json", document),
        Route(f"/{EVENTS}", events),
        *(_page_route(path, file) for path, file in page_files().items()),
        _page_route("", page_files()["index.html"]),
        *(_page_route(path, file) for path, file in _operators_files()),
    ]


def _operators_files() -> Iterator[tuple[str, SiteFile]]:
    """Yield the files of /status and /console, which only a server has."""
    assets = list(page_files())[-1].removesuffix("/index.html")
    for page in ("status", "console"):
        for path, name in ((page, f"{page}.html"), (f"{page}.js", f"{page}.js")):
            text = (_FOLDER / page / name).read_text(encoding="utf-8").replace("{assets}", assets)
            yield path, site_file(name, text.encode(), changes=True)


def _page_route(path: str, file: SiteFile) -> BaseRoute:
    async def page(request: Request) -> Response:
        return _answer(request, file, private=False)

    return Route(f"/{path}", page)


def _answer(request: Request, file: SiteFile, *, private: bool) -> Response:
    """Return a file, or 304 if the caller has it. `private`: only the caller may keep it."""
    tag = f'"{hashlib.sha256(file.content).hexdigest()[:16]}"'
    kept = file.cache_control.replace("public", "private") if private else file.cache_control
    headers = {"ETag": tag, "Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    if private:
        headers["Vary"] = "Authorization"  # another key of the same browser is another caller
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


async def _events(request: Request, panels: Callable[[Request], Awaitable[Panels]]) -> AsyncIterator[str]:
    """Yield an event when other numbers are published, or a table is held or free again. Ages are no event."""
    sent: Any = None
    silent = 0.0
    while not await request.is_disconnected():
        try:
            found = await panels(request)
        except MedallionError as error:  # the stream ends; who asks again is told why
            log.warning("events: %s: %s", type(error).__name__, error)
            return
        now = (found.document.version, [state["held"] for state in found.states.values()])
        if now != sent:
            yield f"data: {json.dumps({'panels': found.document.version})}\n\n"
            sent, silent = now, 0.0
        elif silent >= _SILENCE_SECONDS:
            yield ": nothing new\n\n"
            silent = 0.0
        await asyncio.sleep(_LOOK_SECONDS)
        silent += _LOOK_SECONDS
