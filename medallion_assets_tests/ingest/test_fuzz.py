"""Whatever is sent, the API answers: no request makes it fail, and what it takes Silver takes."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets_tests.ingest.conftest import WRITER, Api, Context, event_of
from medallion_assets_tests.silver.values import anything

_ODD = st.sampled_from(
    ["", "/", "%", "%2F", "~", "~!", "~YQ", "#", "\x00", "\ud800", "ä", "..", "o-1", "ORDER#1", "a" * 2100]
)
_TABLES = st.sampled_from(["orders", "lines", "users", "nothing", ""])
_PATHS = st.one_of(
    st.builds(lambda table, parts: "/".join(["/v1/items", table, *parts]), _TABLES, st.lists(_ODD, max_size=3)),
    st.sampled_from(["/v1/items", "/v1/items/", "/", ""]),
    st.text(max_size=20),
)
_PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), _ODD),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["Id", "PK", "SK", "Amount", "Code", "Tags", "Pieces", "Big", "_version", "More", "", "\ud800"]
)
_ITEMS = st.dictionaries(_NAMES, st.one_of(_PLAIN, anything, st.sampled_from(["o-1", "ORDER#1", 1, -1])), max_size=6)
_OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "verb": st.one_of(st.sampled_from(["post", "put", "patch", "delete", "get"]), _PLAIN),
        "table": st.one_of(_TABLES, _PLAIN),
        "item": st.one_of(_ITEMS, _PLAIN),
        "key": st.one_of(_ITEMS, _PLAIN),
        "if_match": _PLAIN,
        "\ud800": _PLAIN,
    },
)
_BODIES = st.one_of(
    _ITEMS.map(json.dumps),
    st.lists(_OPERATIONS, max_size=4).map(lambda operations: json.dumps({"operations": operations})),
    _PLAIN.map(json.dumps),
    st.text(max_size=20),
    st.none(),
)
_HEADERS = st.fixed_dictionaries(
    {
        "content-type": st.sampled_from(
            ["application/json", "application/x-amz-json-1.0", "APPLICATION/JSON; charset=x"]
        )
    },
    optional={
        "if-match": st.one_of(st.sampled_from(['"1"', "*", 'W/"1"', '"' + "9" * 30 + '"']), st.text(max_size=5)),
        "if-none-match": st.sampled_from(["*", '"1"', ""]),
        "idempotency-key": st.text(max_size=4),
        "accept": st.text(max_size=5),
    },
)
_QUERIES = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"limit": st.text(max_size=5), "next": st.one_of(_ODD, st.text(max_size=9))}),
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
    path=_PATHS,
    body=_BODIES,
    headers=_HEADERS,
    query=_QUERIES,
    encoded=st.booleans(),
)
def test_no_request_makes_it_fail(
    api: Api, method: str, path: str, body: str | None, headers: dict[str, str], query: Any, encoded: bool
) -> None:
    event = event_of(method, path, body, headers, WRITER)
    event["queryStringParameters"] = query
    if encoded and body is not None:
        event |= {"isBase64Encoded": True, "body": base64.b64encode(body.encode(errors="ignore")).decode()}
    answer = api.app.resolve(event, Context())
    assert answer["statusCode"] < 500, (answer, event)
    assert answer["body"] == "" or json.loads(answer["body"]) is not None
