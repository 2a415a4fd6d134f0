"""A file lake and Bronze directory of the test's own, in the environment as a run finds them; the shipped domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.definitions import defs


@pytest.fixture
def lake_on_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with everything in it."""
    for name, value in {
        "MEDALLION_DOMAIN": str(domain_folder("ecommerce")),
        "MEDALLION_BRONZE": str(tmp_path / "bronze"),
        "MEDALLION_WAREHOUSE": str(tmp_path / "warehouse"),
        "MEDALLION_CATALOG": "sqlite",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    return tmp_path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(scope="session")
def shipped() -> dg.Definitions:
    """The definitions of the shipped domain."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MEDALLION_DOMAIN", raising=False)
        return defs()
