"""A child is stopped with all it started, however its owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medallion_assets.errors import LocalStackError
from medallion_assets.local.emulator import run_emulator
from medallion_assets.local.processes import Child, free_port
from medallion_assets_tests.local.processes import processes_of, wait_for_none

# Starts a child of its own, which is deaf to SIGTERM.
FAMILY = """
import subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", deaf, sys.argv[1]])
time.sleep(60)
"""
OWNER = """
import sys, time
from pathlib import Path
from medallion_assets.local.processes import Child
folder = Path(sys.argv[1])
with Child("family", [sys.executable, "-c", sys.argv[2], str(folder)], log=folder / "log") as child:
    child.wait_until(lambda: "up" in child.output(), seconds=20)
    print("up", flush=True)
    time.sleep(60)
"""


def test_stopping_ends_the_whole_group_also_what_is_deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medallion_assets.local.processes.STOP_SECONDS", 1.0)
    with Child("family", [sys.executable, "-c", FAMILY, str(tmp_path)], log=tmp_path / "log") as child:
        child.wait_until(lambda: "up" in child.output(), seconds=20)
        assert len(processes_of(tmp_path)) == 2
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize(
    "sign",
    [signal.SIGKILL, *(pytest.param(sign, marks=pytest.mark.slow) for sign in (signal.SIGTERM, signal.SIGINT))],
)
def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path, sign: signal.Signals) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "up\n"
        assert len(processes_of(tmp_path)) == 3
        os.kill(owner.pid, sign)
    assert wait_for_none(tmp_path, seconds=30) == {}


@pytest.mark.slow
def test_a_killed_child_starts_again_and_what_the_dead_one_had_started_ends_with_it(tmp_path: Path) -> None:
    with Child("family", [sys.executable, "-c", FAMILY, str(tmp_path)], log=tmp_path / "log") as child:
        child.wait_until(lambda: "up" in child.output(), seconds=20)
        first = child.pid
        child.kill_and_restart()
        child.wait_until(lambda: child.output().count("up") == 2, seconds=20)
        assert child.pid != first
        assert len(processes_of(tmp_path)) == 3, "the new family, and the child of the old one"
        child.check()
    assert wait_for_none(tmp_path, seconds=10) == {}


def test_a_child_that_ends_while_starting_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no licence', flush=True); sys.exit(3)"]
    with Child("the server", command, log=tmp_path / "log") as child:
        with pytest.raises(LocalStackError, match=r"the server ended with code 3 while starting\.\n(.|\n)*no licence"):
            child.wait_until(lambda: False, seconds=20)
        with pytest.raises(LocalStackError, match=r"the server ended with code 3\.\n(.|\n)*no licence"):
            child.check()


def test_a_child_that_is_never_ready_is_told_so(tmp_path: Path) -> None:
    with Child("the server", [sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "log") as child:
        began = time.monotonic()
        with pytest.raises(LocalStackError, match="the server was not ready after 0 s"):
            child.wait_until(lambda: False, seconds=0.3)
        assert time.monotonic() - began < 10


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        refused = pytest.raises(LocalStackError, match=f"Port {port} on 127.0.0.1 is taken. Stop what listens there")
        with refused, run_emulator(tmp_path, port=port):
            pass
