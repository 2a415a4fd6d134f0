"""Saved queries: typed parameters, one computation for each state of the tables, and what a mistake in a file says."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from medallion_assets.capture.file_store import FileStore
from medallion_assets.contracts.loader import domain_folder, load_domain
from medallion_assets.errors import ContractError
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.serving import versions
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.reader import Reader
from medallion_assets.serving.result_cache import Kept, ResultCache
from medallion_assets.serving.saved_query import load_saved_queries
from medallion_assets.serving.service import Service
from medallion_assets_tests.gold.shop import TODAY, Shop, order
from medallion_assets_tests.serving.conftest import LIMITS, Served, run_server, shop_settings

COUNT = "SELECT count(*) AS n FROM silver.orders"
PATH = "/v1/queries/sales_by_region"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server over a shop that nobody else asks, which asks the catalog at every request."""
    monkeypatch.setattr(versions, "SECONDS", 0.0)
    settings = shop_settings(tmp_path)
    with Lake.open(settings.lake()) as lake:
        shop = Shop(lake)
        shop.write("orders", *(order(number) for number in range(1, 6)))
        shop.refresh("daily_sales_by_region")
        with (
            Service(settings, LIMITS, None) as service,
            run_server(service) as url,
            httpx.Client(base_url=url) as client,
        ):
            yield Served(shop, service, client)


def test_values_are_typed_and_defaults_hold(served: Served) -> None:
    found = served.client.get(PATH, params={"since": "2026-03-15"}).json()
    assert found["rows"] == [["north", 40, "400.00"]] and found["tables"][0]["name"] == "gold.daily_sales_by_region"
    assert served.client.get(PATH, params={"since": "2026-03-16"}).json()["rows"] == []
    assert served.client.get(PATH, params={"region": "south"}).json()["row_count"] == 0
    assert served.client.get(PATH, params={"region": "north' OR '1'='1"}).json()["rows"] == []
    as_csv = served.client.get(PATH, params={"format": "csv"})
    assert as_csv.text.splitlines() == ["region,orders,revenue", "north,40,400.00"]
    arrow = pa.ipc.open_stream(served.client.get(PATH, params={"format": "arrow"}).content).read_all()
    assert arrow.column("revenue").to_pylist() == [Decimal("400.00")]
    for wrong in ({"since": "yesterday"}, {"sinse": "2026-03-15"}, {"since": ["2026-03-15", "2026-03-16"]}):
        assert served.client.get(PATH, params=wrong).status_code == 400
    assert served.client.get(PATH, params={"format": "xml"}).json()["error"]["code"] == "wrong_request"
    missing = served.client.get("/v1/queries/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    [listed] = served.client.get("/v1/queries").json()["queries"]
    assert [(one["name"], one["type"], one["required"]) for one in listed["parameters"]] == [
        ("since", "date", False),
        ("region", "string", False),
    ]
    assert PATH in served.client.get("/v1/openapi.json").json()["paths"]


def test_it_is_computed_once_for_each_state_of_its_tables(alone: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []
    run = Reader.run

    def counted(self: Reader, sql: str, **more: Any) -> Any:
        computed.append(sql)
        return run(self, sql, **more)

    monkeypatch.setattr(Reader, "run", counted)
    answers: list[httpx.Response] = []
    callers = [threading.Thread(target=lambda: answers.append(alone.client.get(PATH))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len(computed) == 1, "eight callers at once, one computation"
    etag = answers[0].headers["etag"]

    same = alone.client.get(PATH, headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert same.headers["medallion-tables"] == answers[0].headers["medallion-tables"]
    assert len(computed) == 1
    assert alone.client.get(PATH, params={"region": "north"}).headers["etag"] != etag
    assert alone.client.get(PATH, params={"format": "csv"}).headers["etag"] != etag

    before = len(computed)
    alone.shop.write("orders", order(6, TODAY - timedelta(days=1)))
    alone.shop.refresh("daily_sales_by_region")
    newer = alone.client.get(PATH, headers={"If-None-Match": etag})
    assert (newer.status_code, newer.json()["rows"]) == (200, [["north", 6, "60.00"]])
    assert newer.headers["etag"] != etag
    assert len(computed) == before + 1


def test_a_key_calls_the_queries_of_its_scope(served: Served, tmp_path: Path) -> None:
    ring, now = KeyRing(FileStore(tmp_path / "keys")), datetime.now(UTC)
    _, caller = ring.make("a", reads=[], queries=["sales_by_region"], now=now, lasts=None)
    _, reader = ring.make("b", reads=["gold"], queries=["other"], now=now, lasts=None)
    with Service(served.service.settings, LIMITS, ring) as service, run_server(service) as url:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {caller}"}) as client:
            assert client.get(PATH).status_code == 200
            assert client.post("/v1/sql", json={"sql": "SELECT count(*) AS n FROM gold.key_metrics"}).status_code == 400
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {reader}"}) as client:
            assert client.get(PATH).status_code == 404
            assert client.get("/v1/queries").json() == {"queries": []}
        assert httpx.get(f"{url}{PATH}").status_code == 401


def test_the_cache_keeps_so_many_bytes() -> None:
    cache = ResultCache(limit_bytes=25)

    def asked(name: str) -> tuple[str, str, Any, tuple[()], str]:
        return name, "1", "json", (), "2026-03-15"

    kept = Kept(None, b"x" * 10, ("1",), "e")  # type: ignore[arg-type]
    for name in ("a", "b"):
        cache.keep(asked(name), kept)
    assert cache.find(asked("a"), ("1",)) is kept
    assert cache.find(asked("a"), ("2",)) is None
    cache.keep(asked("c"), kept)
    assert [cache.find(asked(name), ("1",)) is kept for name in "abc"] == [True, False, True]
    cache.keep(asked("large"), Kept(None, b"x" * 26, ("1",), "e"))  # type: ignore[arg-type]
    assert [cache.find(asked(name), ("1",)) for name in ("a", "c", "large")] == [None] * 3


@pytest.mark.parametrize(
    ("sql", "described", "message"),
    [
        ("SELECT 1 AS a FROM silver.nothing", "description: x", "no such table"),
        ("SELECT nothing FROM silver.orders", "description: x", "nothing"),
        ("SELECT count(*) AS n FROM silver.orders WHERE order_id = :id", "description: x", "no value for :id"),
        (COUNT, "{description: x, parameters: {id: {type: string}}}", "no :id"),
        (
            COUNT,
            "{description: x, parameters: {Id: {type: string}}}",
            "small letters",
        ),
        (
            "SELECT :a AS n FROM silver.orders",
            "{description: x, parameters: {a: {type: 'list<int>'}}}",
            "expected one of",
        ),
        ("SELECT :a AS n FROM silver.orders", "{description: x, parameters: {a: {type: int, default: b}}}", "default"),
        ("SELECT current_timestamp AS n FROM silver.orders", "description: x", "current_timestamp"),
        ("SELECT random() AS n FROM silver.orders", "description: x", "differs in every run"),
        ("SELECT 1 AS n", "description: x", "reads no table"),
        ("DROP TABLE silver.orders", "description: x", "expected one SELECT"),
        ("SELECT 1 AS a FROM silver.orders", "parameters: {}", "description"),
    ],
)
def test_a_mistake_names_its_file(tmp_path: Path, sql: str, described: str, message: str) -> None:
    domain = Path(shutil.copytree(domain_folder("ecommerce"), tmp_path / "shop"))
    (domain / "queries" / "mine.sql").write_text(sql)
    (domain / "queries" / "mine.yaml").write_text(described)
    loaded = load_domain(str(domain))
    with pytest.raises(ContractError, match=r"queries.mine\.(sql|yaml)") as wrong:
        load_saved_queries(loaded, load_marts(loaded))
    assert message in str(wrong.value)


def test_a_file_that_is_not_read_is_a_mistake(tmp_path: Path) -> None:
    domain = Path(shutil.copytree(domain_folder("ecommerce"), tmp_path / "shop"))
    (domain / "queries" / "lonely.sql").write_text("SELECT 1 AS a FROM silver.orders")
    (domain / "queries" / "other.yml").write_text("description: x")
    loaded = load_domain(str(domain))
    with pytest.raises(ContractError, match=r"lonely\.yaml: no such file") as wrong:
        load_saved_queries(loaded, load_marts(loaded))
    assert "other.yml: not read" in str(wrong.value)
