"""Private parts of Dagster: one file imports them, and the versions they were checked with are named."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from medallion_assets.defs.dagster_private import CHECKED_VERSIONS

PROJECT = Path(__file__).parents[2]
HOME = PROJECT / "medallion_assets" / "defs" / "dagster_private.py"
WHAT_TO_DO = (
    f"The private names in {HOME.name} were checked with dagster{CHECKED_VERSIONS}; {version('dagster')} is installed. "
    "Read Dagster's changes of each name in that file, run medallion_assets_tests/defs/test_daemon.py with the new "
    "version, and widen CHECKED_VERSIONS and the requirement in pyproject.toml together."
)


def test_the_installed_dagster_is_of_a_version_that_the_private_names_were_checked_with() -> None:
    assert SpecifierSet(CHECKED_VERSIONS).contains(version("dagster"), prereleases=True), WHAT_TO_DO


def test_the_project_requires_the_versions_that_were_checked() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    (required,) = [one for one in map(Requirement, project["dependencies"]) if one.name == "dagster"]
    assert required.specifier == SpecifierSet(CHECKED_VERSIONS), WHAT_TO_DO


def test_no_other_file_imports_private_parts_of_dagster() -> None:
    private = re.compile(r"^\s*(?:from|import) dagster(?:_shared|_dg\w*)?(?:\.\w+)*\._", re.M)
    files = [file for room in ("medallion_assets", "infra", "grafana") for file in (PROJECT / room).rglob("*.py")]
    assert [file for file in files if private.search(file.read_text())] == [HOME]
