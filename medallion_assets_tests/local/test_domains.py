"""`medallion demo` of the shipped domains beside the shop: from writes to Gold, and no difference from the source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MEDALLION = str(Path(sys.executable).parent / "medallion")


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["fundraiser", "laundry"])
def test_its_demo_ends_without_a_difference(domain: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MEDALLION_", "AWS_", "DAGSTER_"))}
    command = [MEDALLION, "demo", "--once", "--domain", domain, "--rate", "20", "--seconds", "5"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verification against a scan of DynamoDB: no difference" in done.stdout
