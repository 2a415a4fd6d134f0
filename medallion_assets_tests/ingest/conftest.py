"""The API over tables of the local AWS, asked with events of an HTTP API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.ingest.app import IngestApp
from medallion_assets.ingest.deployed import REQUEST_KEY
from medallion_assets.ingest.policy import load_policy
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.tables import create_tables

FILES = {
    "domain.yaml": "since: 2026-01-01\n",
    "tables/orders.yaml": """
table: Orders
owner: team:tests
key: {hash: Id}
shape: freeze
drop: [_version]
columns:
  Id: string
  Amount: {type: 'decimal(12,2)', rules: [{required: true}, {min: 0}]}
  Code: {type: string, rules: [{pattern: '[A-Z]{2}[0-9]+'}]}
  Tags: set<string>
""",
    "tables/lines.yaml": """
table: App
name: lines
owner: team:tests
key: {hash: PK, range: SK}
where: {PK: 'ORDER#*'}
columns: {PK: string, SK: string, Pieces: {type: int, rules: [{required: true}]}, Big: 'decimal(38,0)'}
""",
    "tables/users.yaml": """
table: App
name: users
owner: team:tests
key: {hash: PK, range: SK}
where: {PK: 'USER#*'}
columns: {PK: string, SK: string}
""",
    "ingest.yaml": """
version_attribute: _version
allow:
  - claim: cognito:groups
    value: writers
    tables: [orders, lines, users]
    verbs: [get, list, post, put, patch, delete]
  - {claim: scope, value: orders/read, tables: [orders], verbs: [get]}
inbox: [orders]
""",
}
WRITER = {"sub": "w-1", "cognito:groups": "[readers writers]"}


class Context:
    """What Powertools asks of a function's context."""

    function_name = "ingest"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Api:
    """The application, asked as API Gateway asks it."""

    app: IngestApp
    domain: Domain
    claims: Mapping[str, str] = field(default_factory=lambda: WRITER)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): one for name, one in headers.items()}
        path, _, query = path.partition("?")
        text = body if isinstance(body, str | None) else json.dumps(body)
        event = event_of(method, path, text, sent, dict(self.claims))
        event["queryStringParameters"] = dict(pair.split("=") for pair in query.split("&")) if query else None
        return reply_of(self.app.resolve(event, Context()))


def event_of(
    method: str, path: str, body: str | None, headers: Mapping[str, str], claims: Mapping[str, Any]
) -> dict[str, Any]:
    """An event of an HTTP API, payload 2.0, with the claims of a JWT authorizer."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(headers),
        "requestContext": {
            "http": {"method": method, "path": path},
            "stage": "$default",
            "authorizer": {"jwt": {"claims": dict(claims), "scopes": None}},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def reply_of(answer: Mapping[str, Any]) -> Reply:
    body = json.loads(answer["body"]) if answer["body"] else None
    return Reply(answer["statusCode"], {name.lower(): one for name, one in answer["headers"].items()}, body)


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_domain(str(tmp_path / "shop"))


@pytest.fixture
def api(aws: Emulator, domain: Domain) -> Api:
    client = boto3.client("dynamodb")
    create_tables(client, domain)
    client.create_table(
        TableName="requests",
        AttributeDefinitions=[{"AttributeName": REQUEST_KEY, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": REQUEST_KEY, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return Api(IngestApp(client, domain, load_policy(domain), requests_table="requests"), domain)
