"""`medallion query --url`: the same rows as here, with their age; and what a refusal becomes."""

from __future__ import annotations

import json

import pytest

from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.serving.conftest import Served

SQL = "SELECT region, total_revenue, computed_at FROM gold.daily_sales_by_region"


def test_a_server_is_asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(served.client.base_url).rstrip("/")
    monkeypatch.delenv("MEDALLION_KEY", raising=False)
    settings = served.service.settings
    for name in ("domain", "bronze", "warehouse", "catalog"):
        monkeypatch.setenv(f"MEDALLION_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("AWS_REGION", settings.region)
    here, there = medallion("query", SQL, "--json"), medallion("query", SQL, "--url", url, "--json")
    assert there.exit_code == 0, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert "published, of unknown age" in there.stderr
    assert medallion("query", SQL, "--url", url, "--format", "csv").stdout.startswith("region,total_revenue,")
    assert "400.00" in medallion("query", SQL, "--url", url).stdout

    saved = medallion("query", "sales_by_region", "--saved", "--value", "since=2026-03-15", "--url", url, "--json")
    assert json.loads(saved.stdout) == [{"region": "north", "orders": 40, "revenue": "400.00"}]
    fresh = medallion("query", "SELECT count(*) AS n FROM silver.orders", "--fresh", "--url", url)
    assert "not audited, " in fresh.stderr

    refused = medallion("query", "DROP TABLE silver.orders", "--url", url)
    assert (refused.exit_code, "expected one SELECT" in refused.stderr) == (2, True)
    assert medallion("query", SQL, "--url", "file:///etc/passwd").exit_code == 2
    assert medallion("query", SQL, "--fresh").exit_code == 2
    assert medallion("query", SQL, "--url", "http://127.0.0.1:1").exit_code == 3
