"""`medallion up`: what it prints puts an item that arrives in Gold, and SIGTERM leaves nothing behind."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import boto3
import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.local.processes import free_port
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.local.processes import processes_of, wait_for_none

MEDALLION = str(Path(sys.executable).parent / "medallion")


@pytest.mark.slow
def test_an_item_that_is_put_as_printed_arrives_and_a_signal_stops_it_cleanly(tmp_path: Path) -> None:
    shutil.copytree(FLEET, tmp_path / "vans")
    (tmp_path / "vans" / "workload.yaml").unlink()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MEDALLION_", "AWS_", "DAGSTER_"))}
    aws_port, dagster_port, sql_port = free_port(), free_port(), free_port()
    ports = ["--aws-port", str(aws_port), "--dagster-port", str(dagster_port), "--sql-port", str(sql_port)]
    command = [MEDALLION, "up", "--domain", "vans", *ports]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            said += running.stdout.readline()
            assert running.poll() is None
        assert f"DynamoDB: http://127.0.0.1:{aws_port} with the tables" in said
        assert f"Dagster:  http://127.0.0.1:{dagster_port}" in said
        (page,) = (line.split()[1] for line in said.splitlines() if line.startswith("Numbers:"))
        with urlopen(f"{page}/data/latest.json", timeout=30) as answer:
            assert json.load(answer)["marts"].keys() == {mart.name for mart in load_marts(load_domain(str(FLEET)))}
        assert f"SQL:      http://127.0.0.1:{sql_port}/v1/sql" in said
        with urlopen(f"http://127.0.0.1:{sql_port}/v1/health") as health:
            assert json.load(health)["status"] == "ok"
        (line,) = (line for line in said.splitlines() if "put-item" in line)
        words = shlex.split(line)
        given = dict(pairwise(words))
        key, secret = (words[at].partition("=")[2] for at in (1, 2))
        client = boto3.client(
            "dynamodb",
            region_name=given["--region"],
            endpoint_url=given["--endpoint-url"],
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        client.put_item(TableName=given["--table-name"], Item=json.loads(given["--item"]))
        table: dict[str, object] = {}
        for _ in range(120):
            found = subprocess.run([MEDALLION, "status", "--json"], cwd=tmp_path, env=env, capture_output=True)
            tables = {one["table"]: one for one in json.loads(found.stdout)["tables"]}
            if (table := tables["vehicles"])["rows"]:
                break
            time.sleep(0.5)
        assert (table["rows"], table["quarantined_rows"]) == (1, 0)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    assert wait_for_none(tmp_path, seconds=5) == processes_of(tmp_path) == {}
