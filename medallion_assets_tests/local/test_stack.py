"""The whole stack: DynamoDB to verified Gold for a domain that exists only as files, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import boto3
import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.errors import LocalStackError
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.live.store import open_store as open_live
from medallion_assets.local.demo import Demo
from medallion_assets.local.latency import measure
from medallion_assets.local.stack import run_stack
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.scan import DynamoTable
from medallion_assets.reconciliation.verify import verify
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.local.processes import listening_addresses, processes_of, wait_for_none

pytestmark = pytest.mark.slow

MEDALLION = str(Path(sys.executable).parent / "medallion")
LOCALHOST = {"0100007F", "0000000000000000FFFF00000100007F"}
"""127.0.0.1 as the kernel writes it, on an IPv4 socket and on an IPv6 one."""


def test_a_domain_of_files_only_goes_the_whole_way_and_verifies(tmp_path: Path) -> None:
    """Poller, sensor, daemon and run are the real ones; a share of the batches is delivered twice."""
    state, before = tmp_path / ".medallion", dict(os.environ)
    with run_stack(FLEET, state=state) as stack:
        assert listening_addresses(tmp_path) <= LOCALHOST
        marts = load_marts(stack.domain)
        with Lake.open(stack.settings.lake()) as lake:
            demo = Demo(stack, lake, seed=2)
            assert demo.load() == 162
            live_since = datetime.now(UTC)
            states = list(demo.live(rate=25, seconds=8))
            client = boto3.client("dynamodb")
            store = open_store(stack.settings.bronze)
            found = verify(
                lake,
                stack.domain,
                marts,
                source=lambda contract: DynamoTable(client, contract.table),
                store=store,
                today=datetime.now(UTC).date(),
                catch_up=CatchUp(),
            )
            latency = measure(lake, store, stack.domain, marts, since=live_since)
        last = states[-1]
        assert last.caught_up and sum(last.captured.values()) > 162
        assert found.agrees, [(one.name, one.differences) for one in (*found.tables, *found.marts)]
        assert [one.lake > 0 for one in (*found.tables, *found.marts)] == [True, True, True]
        assert stack.settings.live is not None
        with open_live(stack.settings.live) as counters:
            (trips,) = counters.totals("trips_counted").values()
        assert trips["count"] == next(one.lake for one in found.tables if one.name.endswith("trips"))
        assert latency.waiting == 0 and latency.changes > 50
        assert latency.p50 and latency.p95 and latency.longest and latency.p50 <= latency.p95 <= latency.longest
        with urlopen(f"{stack.dagster_url}/server_info", timeout=30) as answer:
            assert "dagster_webserver_version" in json.load(answer)
        status = subprocess.run(
            [MEDALLION, "status", "--json"], cwd=tmp_path, env=_clean(), capture_output=True, check=True
        )
        assert json.loads(status.stdout)["caught_up"]
        poller = next(child for child in stack.children if child.name == "the stream poller")
        os.killpg(poller.pid, signal.SIGKILL)
        time.sleep(0.5)
        with pytest.raises(LocalStackError, match=r"the stream poller ended with code -9"):
            stack.check()
    assert wait_for_none(tmp_path, seconds=5) == {}
    assert dict(os.environ) == before


def _clean() -> dict[str, str]:
    """This environment without what names a stack."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("MEDALLION_", "AWS_", "DAGSTER_"))
    }


@pytest.mark.parametrize(
    ("sign", "when", "code"),
    [
        (signal.SIGINT, "Starting", 130),
        (signal.SIGTERM, "Initial load", 130),
        (signal.SIGKILL, "Initial load", -signal.SIGKILL),
    ],
)
def test_a_demo_that_is_stopped_leaves_no_process(tmp_path: Path, sign: signal.Signals, when: str, code: int) -> None:
    command = [MEDALLION, "demo", "--domain", FLEET]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**_clean(), "PYTHONUNBUFFERED": "1"},
    ) as demo:
        assert demo.stdout is not None and demo.stderr is not None
        while not demo.stdout.readline().startswith(when):
            assert demo.poll() is None, demo.stderr.read()
        while not processes_of(tmp_path):
            time.sleep(0.05)
        time.sleep(1.0)  # in the midst of it
        os.kill(demo.pid, sign)
        said = demo.stderr.read()
        assert demo.wait(60) == code, said
    assert "Traceback" not in said
    assert wait_for_none(tmp_path, seconds=30 if sign is signal.SIGKILL else 2) == {}
    again = subprocess.run(
        [MEDALLION, "status"], cwd=tmp_path, env=_clean(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 2 and "MEDALLION_DOMAIN is not set" in again.stderr


def test_a_start_that_fails_leaves_no_process_and_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "ministack"
    broken.write_text("#!/bin/sh\necho no room left\nexit 4\n")
    broken.chmod(0o700)
    env = {**_clean(), "MEDALLION_EMULATOR": str(broken)}
    command = [MEDALLION, "demo", "--once"]
    found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 3
    assert "medallion: the local AWS ended with code 4 while starting." in found.stderr
    assert "no room left" in found.stderr and "Traceback" not in found.stderr
    assert processes_of(tmp_path) == {}
