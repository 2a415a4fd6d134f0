"""`medallion serve`: answer SELECTs over HTTP."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from medallion_assets.serving.service import Service


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")] = 8080,
    without_keys: Annotated[
        bool,
        typer.Option("--open", help="Ask for no key; only on 127.0.0.1, where every account may read all."),
    ] = False,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long one query may run.")] = 30.0,
    rows: Annotated[int, typer.Option(min=1, help="How many rows one answer may have.")] = 100_000,
    result_mb: Annotated[int, typer.Option(min=1, help="How many MiB one answer may have.")] = 64,
    memory_mb: Annotated[int, typer.Option(min=128, help="MiB of DuckDB's memory for all queries together.")] = 1024,
    running: Annotated[int, typer.Option(min=1, max=64, help="How many queries run at the same time.")] = 4,
    waiting: Annotated[int, typer.Option(min=0, help="How many more may wait; others are refused.")] = 64,
    ingest: Annotated[
        bool, typer.Option("--ingest", help="Take writes, too: /v1/items, as the domain's ingest.yaml allows.")
    ] = False,
    per_key: Annotated[int, typer.Option(min=1, help="How many of one key may run or wait.")] = 32,
) -> None:
    """Answer SELECTs over HTTP: POST /v1/sql.

    Serves what is published in Silver and Gold as JSON, CSV or Arrow, with how old it is. GET /v1/openapi.json
    describes every path. Callers send a key that `medallion keys make` made.

    \b
    Examples:
      medallion serve --open
      curl -s 127.0.0.1:8080/v1/sql --json '{"sql": "SELECT * FROM gold.key_metrics"}'
    """
    from medallion_assets.errors import ExtraMissing

    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ExtraMissing("medallion serve needs starlette and uvicorn: pip install 'medallion-assets[serve]'")
    from medallion_assets.cli.environment import settings
    from medallion_assets.serving.limits import Limits
    from medallion_assets.serving.server import serve as run

    limits = Limits(
        seconds=seconds,
        rows=rows,
        result_bytes=result_mb * 2**20,
        memory_mb=memory_mb,
        running=running,
        waiting=waiting,
        per_caller=per_key,
    )
    more = _ingest_routes if ingest else (lambda _: ())
    run(settings(), host=host, port=port, without_keys=without_keys, limits=limits, more=more)


def _ingest_routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the ingest API. Its policy knows a caller by the id of its key, `anyone` without keys."""
    from medallion_assets.errors import ExtraMissing

    if find_spec("aws_lambda_powertools") is None:
        raise ExtraMissing("--ingest needs Powertools for AWS Lambda: pip install 'medallion-assets[ingest]'")
    from medallion_assets.ingest.handler import open_app
    from medallion_assets.ingest.routes import ingest_routes
    from medallion_assets.serving.caller import identify

    async def claims_of(request: Request) -> dict[str, str]:
        caller = await identify(request, service.keys)
        return {"sub": caller.name, "key": caller.name}

    return ingest_routes(open_app(), claims_of)
