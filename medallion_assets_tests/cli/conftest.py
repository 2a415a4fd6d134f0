"""Running the command in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from medallion_assets.cli.main import app
from medallion_assets_tests.fixtures.fleet_lake import NAMED, fleet

__all__ = ["fleet"]


def medallion(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with nothing of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
