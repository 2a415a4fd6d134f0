"""Traces that are sent to a collector, or to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medallion_assets.capture import handler
from medallion_assets.telemetry import sdk
from medallion_assets_tests.defs.conftest import instance, lake_on_files, shipped
from medallion_assets_tests.telemetry.collector import Collector, collector

__all__ = ["instance", "lake_on_files", "shipped"]


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is a new process, which reads its settings again."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    caches = (handler._store, handler._names, sdk._provider)
    for cache in caches:
        cache.cache_clear()
    yield
    sdk._provider().shutdown()
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def bronze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDALLION_BRONZE", str(tmp_path / "bronze"))
    return tmp_path / "bronze"


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found
