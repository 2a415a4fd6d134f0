"""Whatever is sent, the answer is one that the OpenAPI document names, and says why as JSON."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import hypothesis.strategies as st
from hypothesis import HealthCheck, example, given, settings

from medallion_assets_tests.serving.conftest import Served

FRAGMENTS = [
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "UNION",
        "WITH",
        "AS",
        "(",
        ")",
        ",",
        "*",
        "'",
        '"',
        ";",
        "--",
        "/*",
        "\\",
    ),
    *("silver.orders", "gold.key_metrics", "order_id", "count(*)", "CAST(1 AS", "CASE WHEN", "END", ":a", "?", "1e999"),
    *(
        "FOR DATE '2026-01-31'",
        "FOR VERSION AS OF",
        "UNNEST(",
        "ARRAY[",
        "OVER (",
        "INTERVAL '1' DAY",
        "\x00",
        "\ud800",
    ),
]
SQL = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(" ".join))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
BODIES = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"sql": SQL},
        optional={
            "parameters": VALUES,
            "format": st.sampled_from(["json", "csv", "arrow", "xml"]),
            "freshness": st.sampled_from(["published", "fresh", "now"]),
        },
    ),
)
fuzzed = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def require_described(served: Served, method: str, path: str, **request: Any) -> None:
    url, _, query = path.partition("?")
    answer = served.client.request(method, url, params=query or None, **request)
    assert answer.status_code in {200, 400, 404, 405, 413, 415, 422}, (path, answer.status_code)
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"code", "message"}


@fuzzed
@given(body=BODIES)
@example(body={"sql": "SELECT :a AS x FROM silver.orders", "parameters": {"a": 10**400}})
@example(body={"sql": "SELECT :a AS x FROM silver.orders", "parameters": {"a": "\ud800"}})
@example(body={"sql": "SELECT 1e999 AS x FROM silver.orders"})
def test_bodies(served: Served, body: Any) -> None:
    content = json.dumps(body).encode()
    require_described(served, "POST", "/v1/sql", content=content, headers={"Content-Type": "application/json"})


@fuzzed
@given(content=st.binary(max_size=50))
def test_bytes(served: Served, content: bytes) -> None:
    require_described(served, "POST", "/v1/sql", content=content, headers={"Content-Type": "application/json"})


@fuzzed
@given(name=st.text(max_size=30), since=st.text(max_size=15), method=st.sampled_from(["GET", "POST", "DELETE"]))
@example(name="silver.a/b", since="0001-01-01", method="GET")
@example(name="silver.\x00", since="9999-12-31", method="GET")
def test_paths_and_query_strings(served: Served, name: str, since: str, method: str) -> None:
    encoded = quote(name.encode("utf-8", "surrogatepass"), safe="")
    require_described(served, method, f"/v1/tables/silver.{encoded}")
    require_described(served, method, f"/v1/tables/{encoded or 'x'}")
    value = quote(since.encode("utf-8", "surrogatepass"), safe="")
    require_described(served, "GET", f"/v1/queries/sales_by_region?since={value}")
    require_described(served, "GET", f"/v1/queries/sales_by_region?region={value}")
