"""`POST /v1/sql`: what it takes and gives.

Belongs here: the request and the answer as models, and reading the request. Does not belong here: running SQL (runner).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from medallion_assets.serving.answer import MEDIA_TYPES, Format
from medallion_assets.serving.caller import Caller
from medallion_assets.serving.parameters import bind, literal
from medallion_assets.serving.refusal import Refusal
from medallion_assets.serving.runner import Runner


class SqlRequest(BaseModel):
    """One SELECT in Trino's dialect."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: str = Field(min_length=1, description="One SELECT; :name is the place of a parameter.")
    parameters: dict[str, str | int | Decimal | bool | None] = Field(
        default={}, description="Values by name. They are never read as SQL."
    )
    freshness: Literal["published", "fresh"] = Field(
        default="published",
        description="published: what was audited. fresh: Silver tables with the changes that are not merged yet.",
    )
    format: Format = Field(default="json", description="json, csv, or arrow: the stream format of Apache Arrow.")


class AnsweredTable(BaseModel):
    """A table that an answer was computed from; times are UTC, null if not known."""

    name: str
    snapshot_id: str | None
    published_at: datetime | None
    complete_to: datetime | None
    captured_to: datetime | None = Field(description="With fresh: every change captured up to then is in it.")
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
    freshness: Literal["published", "fresh"]
    audited: bool
    answered_at: datetime
    complete_to: datetime | None = Field(description="Every change up to then is in the rows; null if not known.")
    age_seconds: float | None
    tables: list[AnsweredTable]


class SqlEndpoint:
    """Answers `POST /v1/sql`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def handle(self, request: Request, caller: Caller) -> Response:
        """Answer a request. Raises Refusal and what the reader raises."""
        asked = await self._read(request)
        values = {name: literal(value) for name, value in asked.parameters.items()}
        answer, body = await self._runner.run(
            lambda: bind(asked.sql, values),
            shown=asked.sql,
            caller=caller.name,
            may_read=caller.may_read,
            fresh=asked.freshness == "fresh",
            then=lambda answer: answer.body(asked.format),
            request=request,
        )
        return Response(body, media_type=MEDIA_TYPES[asked.format], headers=answer.headers())

    async def _read(self, request: Request) -> SqlRequest:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "not_json", "The body is not application/json; send the query as JSON.")
        body = bytearray()
        limit = self._runner.limits.body_bytes
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
