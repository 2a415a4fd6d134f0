"""The ingest API: requests on items, as an application that runs behind API Gateway and in `medallion serve`.

A request is an event of an HTTP API (payload 2.0) with what its authorizer found out about the caller.

Belongs here: paths, headers, statuses. Does not belong here: what a request does in DynamoDB (items), who may do it
(policy), what an item may be (validate).
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast, get_args
from urllib.parse import quote, unquote

import orjson
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.contracts.loader import Domain
from medallion_assets.ingest.item_body import DYNAMODB_JSON, dynamodb_body, plain_body, read_json
from medallion_assets.ingest.item_key import key_of_path, path_of_key
from medallion_assets.ingest.items import Items, Precondition, Written, items_of
from medallion_assets.ingest.mismatch import Mismatch, NotAnItem
from medallion_assets.ingest.once import Once
from medallion_assets.ingest.openapi import openapi
from medallion_assets.ingest.operation import WriteVerb, read_operation, write
from medallion_assets.ingest.policy import Claims, Policy, Verb
from medallion_assets.ingest.refusal import Refused, mismatched

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)

JSON: Final = "application/json"
MOST_OPERATIONS: Final = 100
_MOST_ITEMS, _USUAL_ITEMS = 1000, 100
_VERSION: Final = re.compile(r'"([0-9]{1,18})"')


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body as JSON text."""

    status: int
    body: str = ""
    headers: Mapping[str, str] | None = None

    def as_data(self) -> dict[str, Any]:
        """Return it as it is kept for repeated requests."""
        return {"status": self.status, "body": self.body, "headers": dict(self.headers or {})}


class IngestApp:
    """The application. It answers one request at a time, as a function on AWS does; others wait."""

    def __init__(
        self,
        client: DynamoDBClient,
        domain: Domain,
        policy: Policy,
        *,
        requests_table: str,
        names: SourceNames = SAME_NAMES,
    ) -> None:
        """`requests_table` keeps the answers of requests with an Idempotency-Key for a day."""
        self._title = f"Items of {domain.name}"
        self._policy = policy
        self._items = items_of(client, domain, policy, names)
        self._once = Once(client, requests_table)
        self._resolver = APIGatewayHttpResolver()
        self._resolver.not_found(lambda _: _refused(Refused(404, "not_found", "There is no such path.")))
        self._one_at_a_time = Lock()
        self._add_routes()

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Return the answer to a request as API Gateway takes it. `context` has get_remaining_time_in_millis."""
        # Powertools' routes know few characters; every one that is not plain becomes an escape, and comes back later.
        escaped = {**event, "rawPath": quote(event["rawPath"], safe="/", errors="replace")}
        with self._one_at_a_time:
            return self._resolver.resolve(escaped, context)

    def _add_routes(self) -> None:
        route = self._resolver
        route.get("/v1/items")(lambda: self._answer("describe"))
        route.post("/v1/items")(lambda: self._answer("batch"))
        route.get("/v1/items/<table>")(lambda table: self._answer("list", table))
        route.post("/v1/items/<table>")(lambda table: self._answer("post", table))
        for verb in ("get", "put", "patch", "delete"):
            add = getattr(route, verb)
            add("/v1/items/<table>/<first>")(self._on_key(verb))
            add("/v1/items/<table>/<first>/<second>")(self._on_key(verb))

    def _on_key(self, verb: str) -> Callable[..., Response[str]]:
        def act(table: str, first: str, second: str | None = None) -> Response[str]:
            return self._answer(verb, table, *([first] if second is None else [first, second]))

        return act

    def _answer(self, verb: str, table: str = "", *parts: str) -> Response[str]:
        try:
            request = _Request.of(self._resolver.current_event.raw_event, verb, table, parts)
            answer = self._answered(request)
        except Refused as refused:
            if refused.status >= 500:
                log.error("%s: %s: %s", verb, refused.code, refused)
            return _refused(refused)
        headers: dict[str, Any] = dict(answer.headers or {})
        return Response(answer.status, headers.pop("Content-Type", JSON), answer.body, headers=headers)

    def _answered(self, request: _Request) -> Answer:
        if request.verb == "describe":
            return self._describe(request)
        if request.verb in {"get", "list"}:
            return self._read(request)
        if request.content_type not in {JSON, DYNAMODB_JSON} and request.verb != "delete":
            raise Refused(415, "wrong_content_type", f"Expected Content-Type {JSON} or {DYNAMODB_JSON}.")
        key = request.headers.get("idempotency-key")
        if key is None:
            return self._write(request)
        subject = request.claims.get("sub") or request.claims.get("client_id")
        if not isinstance(subject, str) or not 1 <= len(key) <= 255:
            raise Refused(
                400,
                "wrong_idempotency_key",
                "Expected 1 to 255 characters, of a caller with the claim sub or client_id.",
            )
        found = self._once.do(
            ["request", subject, key],
            request.digest(),
            lambda: self._write(request).as_data(),
            self._resolver.lambda_context,
        )
        return Answer(found["status"], found["body"], found["headers"])

    def _allowed(self, request: _Request, verb: Verb, table: str) -> Items:
        """Return the table's items if the caller may use the verb; a table that is not there looks the same."""
        if table not in self._items or not self._policy.allows(request.claims, verb, table):
            raise Refused(403, "forbidden", f"The caller may not {verb} items of this table.")
        return self._items[table]

    def _describe(self, request: _Request) -> Answer:
        """Return the OpenAPI document of what the caller may do."""
        may = {
            name: frozenset(verb for verb in get_args(Verb) if self._policy.allows(request.claims, verb, name))
            for name in self._items
        }
        tables = [(self._items[name].contract, verbs) for name, verbs in may.items() if verbs]
        return Answer(200, orjson.dumps(openapi(self._title, tables)).decode())

    def _read(self, request: _Request) -> Answer:
        composite = len(request.parts) == 1 and request.verb == "get" and request.table in self._items
        is_list = request.verb == "list" or (
            composite and len(self._items[request.table].contract.key_columns) > len(request.parts)
        )
        items = self._allowed(request, "list" if is_list else "get", request.table)
        key = key_of_path(items.contract, request.parts)
        text = dynamodb_body if DYNAMODB_JSON in request.headers.get("accept", "") else plain_body
        type_ = {"Content-Type": DYNAMODB_JSON if text is dynamodb_body else JSON}
        if not is_list:
            item = items.read(key)
            return Answer(200, text(item).decode(), type_ | {"ETag": _etag(items.version_of(item))})
        limit = request.query.get("limit", str(_USUAL_ITEMS))
        if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= _MOST_ITEMS:
            raise Refused(400, "wrong_limit", f"`limit` is a number from 1 to {_MOST_ITEMS}.")
        page = items.page(key, limit=int(limit), after=request.query.get("next"))
        body = {"items": [orjson.Fragment(text(item)) for item in page.items], "next": page.next}
        return Answer(200, orjson.dumps(body).decode(), type_)

    def _write(self, request: _Request) -> Answer:
        if request.verb == "batch":
            return self._batch(request)
        items = self._allowed(request, request.verb, request.table)  # type: ignore[arg-type]
        key = key_of_path(items.contract, request.parts) if request.parts else {}
        if request.parts and len(key) < len(items.contract.key_columns):
            raise Refused(404, "not_found", f"The key of {request.table} has two parts.")
        body = None if request.verb == "delete" else _read_body(request.body)
        verb = cast(WriteVerb, request.verb)
        expected, dynamodb_json = request.precondition(), request.content_type == DYNAMODB_JSON
        return _answer_of(items, write(items, verb, key, body, expected=expected, dynamodb_json=dynamodb_json))

    def _batch(self, request: _Request) -> Answer:
        body = _read_body(request.body)
        operations = body.get("operations") if isinstance(body, Mapping) else None
        if not isinstance(operations, list) or not 1 <= len(operations) <= MOST_OPERATIONS:
            expected = f"an object with `operations`, a list of 1 to {MOST_OPERATIONS}"
            raise mismatched([Mismatch("body", "something else", expected)])
        results = [self._one_of_batch(request, one) for one in operations]
        return Answer(200, orjson.dumps({"results": results}).decode())

    def _one_of_batch(self, request: _Request, written: Any) -> dict[str, Any]:
        try:
            operation = read_operation(written, dynamodb_json=request.content_type == DYNAMODB_JSON)
            items = self._allowed(request, operation.verb, operation.table)
            answer = _answer_of(items, operation.do(items))
        except Refused as refused:
            return {"status": refused.status, **refused.body}
        return {"status": answer.status, **(orjson.loads(answer.body) if answer.body else {})}


@dataclass(frozen=True)
class _Request:
    """What a request asks for. `parts` are those of the key in the path; names of headers are in lower case."""

    verb: str
    table: str
    parts: tuple[str, ...]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    claims: Claims
    body: bytes

    @classmethod
    def of(cls, event: Mapping[str, Any], verb: str, table: str, parts: tuple[str, ...]) -> _Request:
        """Return the request of an event. Raises Refused for a body that is not what it says."""
        text = event.get("body") or ""
        try:
            body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
        except ValueError:
            raise Refused(400, "wrong_body", "The body is no text and no base64.") from None
        authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
        claims = (authorizer.get("jwt") or {}).get("claims") or authorizer.get("lambda") or {}
        return cls(
            verb,
            # Once for the escapes of `resolve`, once for those that a gateway leaves in the path.
            unquote(unquote(table)),
            tuple(unquote(unquote(part)) for part in parts),
            {name.lower(): value for name, value in (event.get("headers") or {}).items()},
            event.get("queryStringParameters") or {},
            claims,
            body,
        )

    @property
    def content_type(self) -> str:
        """The media type of the body."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def precondition(self) -> Precondition:
        """Return what If-Match and If-None-Match say. An ETag that is none of ours matches no item."""
        match, none_match = self.headers.get("if-match"), self.headers.get("if-none-match")
        exists = True if match == "*" else False if none_match == "*" else None
        if none_match not in {None, "*"}:
            raise Refused(400, "wrong_precondition", "If-None-Match is * on a write.")
        versions = None if match in {None, "*"} else frozenset(int(one) for one in _VERSION.findall(match or ""))
        return Precondition(versions, exists)

    def digest(self) -> str:
        """Return a digest of everything that the request says."""
        said = [self.verb, self.table, *self.parts, self.content_type, self.headers.get("if-match", "")]
        said += [self.headers.get("if-none-match", ""), hashlib.sha256(self.body).hexdigest()]
        return hashlib.sha256(orjson.dumps(said)).hexdigest()


def _refused(refused: Refused) -> Response[str]:
    more: dict[str, Any] = {"Retry-After": "1"} if refused.status == 503 else {}
    return Response(refused.status, JSON, orjson.dumps(refused.body).decode(), headers=more)


def _read_body(body: bytes) -> Any:
    try:
        return read_json(body)
    except NotAnItem as wrong:
        raise Refused(400, "wrong_body", "The body is no JSON.", wrong.mismatches) from None


def _answer_of(items: Items, written: Written) -> Answer:
    if written.version is None:
        return Answer(204)
    path = f"/v1/items/{path_of_key(items.contract, written.key)}"
    headers = {"ETag": _etag(written.version)} | ({"Location": path} if written.created else {})
    body = {"version": written.version, "path": path}
    return Answer(201 if written.created else 200, orjson.dumps(body).decode(), headers)


def _etag(version: int) -> str:
    return f'"{version}"'
