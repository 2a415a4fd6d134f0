"""An operation of the HTTP interface: its path, what it takes, what it gives, and what it does.

Belongs here: one operation as data, from which the routes and the OpenAPI document are made. Does not belong here: the
operations (app, sql).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from medallion_assets.serving.caller import Caller


class ErrorDetail(BaseModel):
    """Why a request was not answered."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """The body of every response whose status is 400 or more."""

    error: ErrorDetail


@dataclass(frozen=True)
class Parameter:
    """A parameter in the path or the query."""

    name: str
    place: Literal["path", "query"]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = True


@dataclass(frozen=True)
class Operation:
    """An operation.

    - answer, body: the models of its answer and of what it takes, as JSON
    - other_media_types: what its answer can be besides JSON
    - errors: the statuses with which it refuses, besides 401 and 503
    - needs_key: whether only a caller who is known may ask
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    summary: str
    handle: Callable[[Request, Caller], Awaitable[Response]]
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    other_media_types: Sequence[str] = ()
    parameters: Sequence[Parameter] = ()
    errors: Sequence[int] = ()
    needs_key: bool = True


def openapi(operations: Sequence[Operation], *, title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of these operations."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for one in operations:
        content: dict[str, Any] = {media: {"schema": {"type": "string"}} for media in one.other_media_types}
        if one.answer is not None:
            content["application/json"] = {"schema": _reference(one.answer, schemas)}
        written: dict[str, Any] = {
            "operationId": one.name,
            "summary": one.summary,
            "parameters": [
                {
                    "name": parameter.name,
                    "in": parameter.place,
                    "required": parameter.required,
                    "description": parameter.description,
                    "schema": dict(parameter.schema),
                }
                for parameter in one.parameters
            ],
            "responses": {
                "200": {"description": "The answer.", **({"content": content} if content else {})},
                **{
                    str(status): {
                        "description": "Refused.",
                        "content": {"application/json": {"schema": _reference(ErrorBody, schemas)}},
                    }
                    for status in sorted({*one.errors, *([401] if one.needs_key else []), 503})
                },
            },
        }
        if one.needs_key:
            written["security"] = [{"key": []}]
        if one.body is not None:
            written["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": _reference(one.body, schemas)}},
            }
        paths.setdefault(one.path, {})[one.method.lower()] = written
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _reference(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, str]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    schemas[model.__name__] = schema
    return {"$ref": f"#/components/schemas/{model.__name__}"}
