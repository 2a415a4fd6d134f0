"""What the wheel holds: the package with its data and what describes it. No tests, no harness, no judge."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
LEFT_OUT = ("medallion_assets/simulation/harness/", "medallion_assets/simulation/judge/")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the checkout: building leaves files in the folder it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "project"
    for package in ("medallion_assets", "medallion_assets_tests", "grafana", "infra"):
        shutil.copytree(PROJECT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / file, copy)
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=copy, capture_output=True, check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_package_but_harness_and_judge(wheel: zipfile.ZipFile) -> None:
    files = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "medallion_assets").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected = {file for file in files if not file.startswith(LEFT_OUT)}
    assert expected != files
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = HeaderParser().parsestr(wheel.read(metadata).decode())
    assert (said["Name"], said["License-Expression"], said["Requires-Python"]) == (
        "medallion-assets",
        "Apache-2.0",
        ">=3.11",
    )
    extras = ["local", "aws", "serve", "trino", "telemetry", "ingest", "live", "simulation"]
    assert said.get_all("Provides-Extra") == extras
    assert [entry for entry in wheel.namelist() if entry.endswith("licenses/LICENSE")]
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "medallion = medallion_assets.cli.main:main" in wheel.read(points).decode()
    assert "url" not in {name.lower() for name in said}
