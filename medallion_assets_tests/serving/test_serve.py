"""`POST /v1/sql` and the tables, asked of a real server as a program asks them."""

from __future__ import annotations

import csv
import io
import logging
import threading
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from medallion_assets.lake.catalog import Lake
from medallion_assets.serving.limits import Limits
from medallion_assets.serving.service import Service
from medallion_assets_tests.gold.shop import Shop, order
from medallion_assets_tests.serving.conftest import Served, run_server, shop_settings

ENDLESS = (
    "SELECT count(*) FROM silver.orders a CROSS JOIN silver.orders b CROSS JOIN silver.orders c "
    "CROSS JOIN silver.orders d CROSS JOIN silver.orders e CROSS JOIN silver.orders f "
    "WHERE a.order_id || f.order_id = ''"
)


def test_one_answer_in_three_formats(served: Served) -> None:
    sql = "SELECT order_date, total_revenue, order_count FROM gold.daily_sales_by_region WHERE region = 'north'"
    answer = served.ask(sql)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [column["name"] for column in found["columns"]] == ["order_date", "total_revenue", "order_count"]
    assert found["columns"][2]["type"] == "bigint"
    [[day, revenue, count]] = found["rows"]
    assert (day, Decimal(revenue), count) == ("2026-03-15", Decimal("400.00"), 40)
    assert (found["row_count"], found["freshness"], found["audited"]) == (1, "published", True)
    [table] = found["tables"]
    mart = served.shop.lake.table("gold", "daily_sales_by_region")
    assert table["name"] == "gold.daily_sales_by_region"
    assert table["snapshot_id"] == str(mart.metadata.current_snapshot_id)
    assert datetime.fromisoformat(table["published_at"]).tzinfo is not None

    text = served.ask(sql, format="csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(csv.reader(io.StringIO(text.text)))[1] == [day, revenue, str(count)]
    assert text.headers["medallion-tables"] == f"gold.daily_sales_by_region@{table['snapshot_id']}"
    assert text.headers["medallion-freshness"] == "published"

    rows = pa.ipc.open_stream(served.ask(sql, format="arrow").content).read_all()
    assert rows.column("total_revenue").to_pylist() == [Decimal("400.00")]


@pytest.mark.parametrize("far", ["DATE '9999-12-31' + INTERVAL '2' DAY", "DATE '0001-01-01' - INTERVAL '2' DAY"])
def test_a_day_that_iso_8601_cannot_write_is_refused_and_not_broken(served: Served, far: str) -> None:
    for format_ in ("json", "csv"):
        refused = served.ask(f"SELECT {far} AS far", format=format_)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "wrong_query")
        assert "years 1 to 9999" in refused.json()["error"]["message"]
    assert pa.ipc.open_stream(served.ask(f"SELECT {far} AS far", format="arrow").content).read_all().num_rows == 1


def test_a_column_has_a_form_and_a_name_of_its_own(served: Served) -> None:
    for columns in ("INTERVAL '1' DAY AS a", "ARRAY[INTERVAL '1' DAY] AS a", "1 AS a, 2 AS a"):
        refused = served.ask(f"SELECT {columns}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "wrong_query")


def test_the_log_has_no_values(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="medallion_assets.serving.runner")
    answers = [
        served.ask("SELECT json_extract_scalar('{}', '$.secret') AS a, 'secret' AS b -- secret"),
        served.ask("SELECT secret FROM"),
        served.ask("SELECT order_id FROM silver.orders WHERE order_id = X'5ec2e7'"),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 400]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3 and "json_extract_scalar ( ? , ? ) AS a" in lines[0]
    assert not any("secret" in line.lower() or "5ec2e7" in line.lower() for line in lines)


def test_what_is_refused_before_it_is_read_is_logged_without_being_read(served: Served) -> None:
    none = Limits(per_caller=0)
    with Service(served.service.settings, none, None) as service, run_server(service) as url:
        refused = httpx.post(f"{url}/v1/sql", json={"sql": "SELECT 'no end"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_queries")


def test_parameters_are_values_and_nothing_else(served: Served) -> None:
    sql = "SELECT count(*) AS n FROM silver.orders WHERE order_id = :id OR total_amount < :limit OR status = :none"
    for hostile in ("o1", "o1' OR '1'='1", "o1' UNION SELECT 1 --", "\\' OR 1=1", ":limit"):
        found = served.ask(sql, parameters={"id": hostile, "limit": -1, "none": None}).json()
        assert found["rows"] == [[1 if hostile == "o1" else 0]]
    exact = {"n": 2**53 + 1, "d": "12345678901234567890.123456789"}
    large = served.ask("SELECT :n AS n, CAST(:d AS decimal(38,9)) AS d FROM gold.key_metrics", parameters=exact)
    assert large.json()["rows"] == [[2**53 + 1, "12345678901234567890.123456789"]]
    assert "no value for :none" in served.ask(sql, parameters={"id": "x", "limit": 1}).json()["error"]["message"]
    assert served.ask("SELECT 1 AS a", parameters={"b": 1}).status_code == 400
    assert served.ask("SELECT ? AS a FROM silver.orders", parameters={"b": 1}).status_code == 400


def test_tables_are_listed_and_described(served: Served) -> None:
    listed = {table["name"]: table for table in served.client.get("/v1/tables").json()["tables"]}
    assert {"silver.orders", "silver.customers", "gold.key_metrics"} <= listed.keys()
    described = served.client.get("/v1/tables/silver.orders").json()
    types = {column["name"]: column["type"] for column in described["columns"]}
    assert types["order_id"] == "varchar"
    assert types["product_ids"].startswith("array(")
    assert types["order_date"] == "timestamp(6) with time zone"
    assert types["total_amount"].startswith("decimal(")
    assert described["description"] and any(column["description"] for column in described["columns"])
    assert described["published_at"] is not None
    assert described["verified_at"] is None
    missing = served.client.get("/v1/tables/silver.nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_such_table")


def test_the_server_answers_only_by_its_names_and_only_json(served: Served) -> None:
    assert served.client.get("/v1/health").json()["status"] == "ok"
    assert served.client.get("/v1/health", headers={"Host": "elsewhere.example"}).status_code == 400
    as_form = served.client.post("/v1/sql", content='{"sql": "SELECT 1 AS a"}', headers={"Content-Type": "text/plain"})
    assert as_form.status_code == 415


def test_the_openapi_document_describes_every_route(served: Served) -> None:
    document = served.client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    queries = {"/v1/queries", "/v1/queries/sales_by_region", "/v1/live/{name}", "/v1/status"}
    assert set(document["paths"]) == {"/v1/health", "/v1/sql", "/v1/tables", "/v1/tables/{name}", *queries}
    answered = document["paths"]["/v1/sql"]["post"]["responses"]["200"]["content"]
    assert set(answered) == {"application/json", "text/csv", "application/vnd.apache.arrow.stream"}
    reference = answered["application/json"]["schema"]["$ref"]
    assert reference.rpartition("/")[2] in document["components"]["schemas"]


def test_limits_of_the_result_and_of_the_body(served: Served) -> None:
    rows = served.ask("SELECT a.order_id FROM silver.orders a, silver.orders b, silver.orders c")
    assert (rows.status_code, rows.json()["error"]["code"]) == (413, "too_many_rows")
    large = served.ask(
        "SELECT lpad(a.order_id, 1000, 'x') AS x, lpad(b.order_id, 1000, 'x') AS y "
        "FROM silver.orders a, silver.orders b LIMIT 999"
    )
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_many_bytes")
    body = served.client.post("/v1/sql", json={"sql": "SELECT 1 AS a", "parameters": {"a": "x" * 70_000}})
    assert (body.status_code, body.json()["error"]["code"]) == (413, "body_too_large")
    assert served.ask("SELECT 1 AS a").json()["rows"] == [[1]]


def test_memory_is_limited_and_the_server_goes_on(served: Served) -> None:
    found = served.ask(
        "SELECT count(DISTINCT lpad(a.order_id || b.order_id || c.order_id || d.order_id, 500, 'x')) AS n "
        "FROM silver.orders a, silver.orders b, silver.orders c, silver.orders d"
    )
    assert (found.status_code, found.json()["error"]["code"]) == (422, "query_failed")
    assert served.ask("SELECT count(*) AS n FROM silver.orders").json()["rows"] == [[40]]


def test_time_concurrency_and_a_caller_that_goes_away(tmp_path: Path) -> None:
    settings = shop_settings(tmp_path)
    with Lake.open(settings.lake()) as lake:
        Shop(lake).write("orders", *(order(number) for number in range(1, 200)))
    limits = Limits(seconds=1.5, running=1, waiting=1, memory_mb=256)
    with Service(settings, limits, None) as service, run_server(service) as url, httpx.Client(base_url=url) as client:
        slow = client.post("/v1/sql", json={"sql": ENDLESS}, timeout=60)
        assert (slow.status_code, slow.json()["error"]["code"]) == (422, "time_limit")

        statuses: list[int] = []

        def ask() -> None:
            with httpx.Client(base_url=url) as other:
                statuses.append(other.post("/v1/sql", json={"sql": ENDLESS}, timeout=60).status_code)

        callers = [threading.Thread(target=ask) for _ in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert statuses.count(422) == 2, "one runs and one waits"
        assert statuses.count(429) == 4

    patient = Limits(seconds=600, running=1, waiting=0, memory_mb=256)
    with Service(settings, patient, None) as service, run_server(service) as url, httpx.Client(base_url=url) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/sql", json={"sql": ENDLESS}, timeout=1)
        until = time.monotonic() + 60
        while client.post("/v1/sql", json={"sql": "SELECT 1 AS a"}).status_code == 429:
            assert time.monotonic() < until, "the query of a caller that is gone goes on"
            time.sleep(0.05)
