"""Loading a mart costs what its own tables cost, however many tables its domain has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.engines import query
from medallion_assets.gold import spec
from medallion_assets_tests.fixtures.large_domain import COLUMNS, write_large_domain

MARTS = 4


@pytest.mark.parametrize("tables", [5, 25])
def test_the_types_of_two_tables_are_read_for_a_mart_over_two_tables(
    tables: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    for module, name in ((query, "trino_type"), (query, "parse"), (spec, "silver_sources")):
        _count(monkeypatch, module, name, calls)
    write_large_domain(tmp_path / "large", tables=tables, marts=MARTS)
    query.tables_in.cache_clear()
    assert len(spec.load_marts(load_domain(str(tmp_path / "large")))) == MARTS
    assert calls == {"trino_type": MARTS * 2 * COLUMNS, "parse": MARTS * 2, "silver_sources": 1}


def _count(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: Counter[str]) -> None:
    real = getattr(module, name)

    def counted(*given: Any) -> Any:
        calls[name] += 1
        return real(*given)

    monkeypatch.setattr(module, name, counted)
