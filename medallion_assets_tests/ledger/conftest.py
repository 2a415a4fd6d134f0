"""A captured table on both kinds of lake, or on files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.ledger.captured import ORDERS, Captured, captured_on_files
from medallion_assets_tests.silver.changes import Bench, domain


@pytest.fixture
def either(lake: Lake, tmp_path: Path) -> Captured:
    """On both kinds of lake, one after the other; Bronze is a directory, so that tests can take objects away."""
    bronze = tmp_path / "bronze"
    return Captured(
        Bench(lake, open_store(str(bronze)), domain(ORDERS)), bronze, open_store(str(bronze.parent / "given-up"))
    )


@pytest.fixture
def captured(tmp_path: Path) -> Iterator[Captured]:
    with captured_on_files(tmp_path) as made:
        yield made
