"""Dagster's own webserver over an instance and a lake in a folder, and the queries that its pages ask it.

Belongs here: starting it, asking it. Does not belong here: what is in the instance, and which queries (week, decade).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.local.processes import free_port


def environment(folder: Path, *, domain: str | None = None) -> dict[str, str]:
    """Return the variables of a process on the instance and the lake in `folder`; the domain is the shop, or this."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(folder / "dagster"),
        "MEDALLION_DOMAIN": domain or str(domain_folder("ecommerce")),
        "MEDALLION_BRONZE": str(folder / "bronze"),
        "MEDALLION_WAREHOUSE": str(folder / "lake"),
        "MEDALLION_CATALOG": "sqlite",
        "AWS_REGION": "eu-central-1",
    }


@contextmanager
def webserver(folder: Path, *, domain: str | None = None) -> Iterator[str]:
    """Run a webserver on a free port; yield its URL once it answers."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "-m", "medallion_assets.definitions"]
    with (folder / "webserver.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            env=environment(folder, domain=domain),
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(120):
                try:
                    ask(url, "{ version }")
                    break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(1)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def ask(url: str, query: str) -> dict[str, Any]:
    """Return the answer to a GraphQL query. Raises RuntimeError if it is refused or has errors."""
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as refused:
        raise RuntimeError(refused.read().decode()) from refused
    if "errors" in found:
        raise RuntimeError(f"the query {query[:60]} failed: {found['errors']}")
    return found
