"""A written project runs as it is: its contracts, its tests, its code location; and nothing is ever overwritten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from medallion_assets.cli.main import app
from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import ContractError, ProjectExists
from medallion_assets.gold.spec import load_marts
from medallion_assets.init.project import write_project
from medallion_assets.local.workload import load_workload

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as in a shell that knows nothing of a stack."""
    named = ("MEDALLION_", "AWS_", "DAGSTER_", "PYTEST_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def test_the_command_writes_a_domain_that_passes_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = init("shop")
    assert written.exit_code == 0, written.output
    assert written.stdout.endswith("18 files. Now:\n  cd shop\n  medallion demo\n  pytest\n")
    checked = run(tmp_path / "shop", str(BIN / "medallion"), "contracts", "check")
    assert checked.returncode == 0 and "no mistakes in 1 contract and 1 mart." in checked.stdout, checked.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["shop"], "nothing else is left"


@pytest.mark.slow
def test_its_own_tests_pass(tmp_path: Path) -> None:
    write_project(tmp_path, "shop")
    tested = run(tmp_path / "shop", sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    assert "4 passed" in tested.stdout


@pytest.mark.slow
def test_the_tests_of_a_copied_domain_pass(tmp_path: Path) -> None:
    write_project(tmp_path, "shop", source="ecommerce")
    tested = run(tmp_path / "shop", sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout


@pytest.mark.slow
def test_dagster_loads_its_code_location(tmp_path: Path) -> None:
    write_project(tmp_path, "shop")
    command = (sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml")
    loaded = run(tmp_path / "shop", *command)
    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.slow
def test_the_demo_runs_in_it(tmp_path: Path) -> None:
    write_project(tmp_path, "shop")
    (tmp_path / "shop" / ".env").write_text(
        "MEDALLION_WAREHOUSE=s3://elsewhere/lake\nAWS_ENDPOINT_URL=http://127.0.0.1:9\n"
    )
    shown = run(tmp_path / "shop", str(BIN / "medallion"), "demo", "--once", "--seconds", "5")
    assert shown.returncode == 0, shown.stderr
    assert "gold.daily_orders" in shown.stdout and "no difference" in shown.stdout


def test_a_copied_domain_is_the_same_domain(tmp_path: Path) -> None:
    write_project(tmp_path, "my-shop", source="ecommerce")
    written, shipped = load_domain(str(tmp_path / "my-shop")), load_domain("ecommerce")
    assert (written.tables, written.since) == (shipped.tables, shipped.since)
    assert [mart.name for mart in load_marts(written)] == [mart.name for mart in load_marts(shipped)]
    assert load_workload(written) == load_workload(shipped)


@pytest.mark.parametrize("source", ["example", "ecommerce"])
def test_every_file_can_be_read_and_names_files_that_exist(tmp_path: Path, source: str) -> None:
    files = write_project(tmp_path, "shop", source=source)
    folder = tmp_path / "shop"
    assert files == sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for file in files:
        text = (folder / file).read_text()
        assert not re.search(r"@\w+@", text), file
        if file.endswith(".yaml"):
            yaml.safe_load(text)
        if schema := re.search(r"\$schema=(\S+)", text):
            assert ((folder / file).parent / schema[1]).exists(), file
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    major, minor, *_ = version("medallion-assets").split(".")
    assert project["dependencies"] == [f"medallion-assets[local]>={major}.{minor},<{major}.{int(minor) + 1}"]
    readme = (folder / "README.md").read_text()
    for named in re.findall(r"^\| `([^`*]+)`", readme, re.MULTILINE):
        assert (folder / named).exists(), named


def test_what_is_there_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert write_project(tmp_path, "empty")
    (tmp_path / "full").mkdir()
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / "full" / name).write_text("mine")
    refused = init("full")
    assert refused.exit_code == 2
    assert "full is not empty: it holds a.txt, b.txt, c.txt and 1 more. Nothing was written." in refused.stderr
    assert len(list((tmp_path / "full").iterdir())) == 4
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("file", "link"):
        with pytest.raises(ProjectExists, match="is there already, and it is no folder"):
            write_project(tmp_path, name)


@pytest.mark.parametrize("name", ["", "Shop", "my shop", "../shop", "shop/", "9shop", "-shop", "shop-", "läden", "."])
def test_a_name_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused = init("--", name)
    assert refused.exit_code == 2 and "is not a name for a project" in refused.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_no_domain_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        ContractError, match=r"No domain 'ecomerce': expected .* \(ecommerce, example, fundraiser, laundry\)"
    ):
        write_project(tmp_path, "shop", source="ecomerce")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_the_checkouts_own_files_are_those_of_a_project(tmp_path: Path, name: str) -> None:
    write_project(tmp_path, "shop")
    assert (PROJECT / name).read_text() == (tmp_path / "shop" / name).read_text()
