"""The engines as fixtures: started once, on free ports of 127.0.0.1, stopped with the session however it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medallion_assets_tests.real_engines.trino import Trino, run_trino


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks an engine as `engines`."""
    for item in items:
        if isinstance(item, pytest.Function) and "trino" in item.fixturenames:
            item.add_marker("engines")


@pytest.fixture(scope="session")
def trino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trino]:
    """One Trino server for the whole session."""
    with run_trino(tmp_path_factory.mktemp("trino")) as running:
        yield running
