"""One stack a folder; other commands find it while it runs, and only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medallion_assets.errors import LocalStackError
from medallion_assets.local.stackfile import announce, only_stack, running_stack

HOLD = """
import sys, time
from pathlib import Path
from medallion_assets.local.stackfile import announce, only_stack
state = Path(sys.argv[1])
with only_stack(state):
    announce(state, {"AWS_REGION": "us-east-1", "MEDALLION_DOMAIN": "it's here"})
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_stack_in_the_same_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    refused = pytest.raises(LocalStackError, match=r"already runs on .* \(process \d+\)\. Stop it")
    with only_stack(tmp_path), refused, only_stack(tmp_path):
        pass
    with only_stack(tmp_path):
        pass


def test_the_running_stack_is_found_and_a_killed_one_is_not(tmp_path: Path) -> None:
    assert running_stack(tmp_path) is None
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert running_stack(tmp_path) == {"AWS_REGION": "us-east-1", "MEDALLION_DOMAIN": "it's here"}
        holder.kill()
    assert (tmp_path / "stack.env").exists()
    assert running_stack(tmp_path) is None


def test_only_the_owner_may_read_the_file_and_it_goes_with_the_stack(tmp_path: Path) -> None:
    with only_stack(tmp_path):
        announce(tmp_path, {"AWS_SECRET_ACCESS_KEY": "local"})
        assert (tmp_path / "stack.env").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "stack.env").exists()
