"""The templates of every environment, as files: a change of infrastructure is seen in review, line by line.

Meant to be? `UPDATE_SNAPSHOTS=1 .venv/bin/pytest -m templates medallion_assets_tests/infra/test_snapshot.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from medallion_assets_tests.infra.assembly import Assembly
from medallion_assets_tests.infra.conftest import NAMES
from medallion_assets_tests.infra.snapshot import stable

FOLDER = Path(__file__).with_name("snapshots")
STACKS = ("Lake", "Capture", "Orchestrator", "Dashboards")


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_as_it_was(assemblies: dict[str, Assembly], name: str, stack: str) -> None:
    file = FOLDER / name / f"{stack}.json"
    now = json.dumps(stable(assemblies[name][stack]), indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(now)
    assert now == file.read_text(), f"{name} {stack} changed; if it is meant to, see how to update this file above"


def test_there_is_no_other_stack(assembly: Assembly) -> None:
    assert {template.name for template in assembly.templates} == set(STACKS)
