"""The whole stack on one machine: a local AWS with the tables and the bucket of a domain, and the pipeline on it.

Belongs here: what is created in the local AWS, and the pipeline's settings for it. Does not belong here: the pipeline's
processes (`pipeline`), traffic, and what is shown.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.live.counter_file import load_counters
from medallion_assets.live.dynamodb_store import table_settings
from medallion_assets.local.emulator import run_emulator
from medallion_assets.local.pipeline import Owned, Pipeline, environment, interruptible, require_dagster, start_pipeline
from medallion_assets.local.processes import choose_port, port_is_open
from medallion_assets.local.stackfile import announce, only_stack
from medallion_assets.local.tables import create_tables
from medallion_assets.local.workload import load_workload, oldest_day

_BUCKET = "medallion"
_START_SECONDS = 60.0
_COUNTERS = "MedallionCounters"
OURS = ("AWS_", "MEDALLION_", "DAGSTER_")
"""What the names of the stack's environment variables begin with."""


@dataclass(frozen=True)
class Stack(Pipeline):
    """A running stack. While it runs, this process has the stack's environment variables."""

    aws_url: str
    sql_url: str


@dataclass(frozen=True)
class Ports:
    """Where a stack listens on 127.0.0.1; None is any free port."""

    aws: int | None = None
    dagster: int | None = None
    sql: int | None = None


FREE_PORTS = Ports()


def directly(endpoint: str) -> AbstractContextManager[str]:
    """Put nothing between a stack and its local AWS."""
    return nullcontext(endpoint)


@contextmanager
def run_stack(
    domain: str,
    *,
    state: Path,
    ports: Ports = FREE_PORTS,
    traffic: bool = True,
    through: Callable[[str], AbstractContextManager[str]] = directly,
    starting: Callable[[], object] = lambda: None,
) -> Iterator[Stack]:
    """Run the whole stack while inside, for a shipped domain's name or a folder; everything starts empty.

    All files are below `state`, and the next start removes them. Everything listens on 127.0.0.1. With `traffic` the
    domain needs a workload, and its partitions begin with the oldest day of it; without, with the domain's `since`.
    `through` gets the URL of the local AWS and gives the one that the stack uses, for a test that puts something
    between them. `starting` is called once nothing refuses any more. Raises LocalStackError if a stack already runs on
    `state`, a port is taken or something does not start, ExtraMissing, and ContractError or MartError for a mistake in
    the domain.
    """
    loaded = load_domain(domain)
    require_dagster()
    # A mistake in a file is one sentence here; later it would be a traceback of the code server, or end a started demo.
    marts = load_marts(loaded)
    first_day = oldest_day(loaded, marts, load_workload(loaded), today=datetime.now(UTC).date()) if traffic else None
    state = state.resolve()
    with only_stack(state), interruptible() as ignore_signals, Owned() as owned:
        try:
            for port in (ports.aws, ports.dagster):
                choose_port(port)
            starting()
            stack = _start(loaded, state / "stack", owned, ports, through, since=first_day)
            announce(state, {name: value for name, value in os.environ.items() if name.startswith(OURS)})
            yield stack
        finally:
            ignore_signals()


def _start(
    domain: Domain,
    folder: Path,
    owned: Owned,
    ports: Ports,
    through: Callable[[str], AbstractContextManager[str]],
    *,
    since: date | None,
) -> Stack:
    dagster_port, sql_port = choose_port(ports.dagster), choose_port(ports.sql)
    shutil.rmtree(folder, ignore_errors=True)
    emulator = owned.enter_context(run_emulator(folder / "aws", port=ports.aws))
    env = {
        **emulator.client_env(),
        "AWS_ENDPOINT_URL": owned.enter_context(through(emulator.endpoint)),
        # Whatever is configured for the user's real AWS stays out of reach.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "MEDALLION_DOMAIN": str(domain.folder),
        "MEDALLION_BRONZE": f"s3://{_BUCKET}/bronze",
        "MEDALLION_WAREHOUSE": f"s3://{_BUCKET}/warehouse",
        "MEDALLION_CATALOG": "glue",
        "MEDALLION_EXPORTS": f"s3://{_BUCKET}/exports",
        "MEDALLION_CHECKPOINT": str(folder / "poller.sqlite"),
        **({"MEDALLION_LIVE": f"dynamodb:{_COUNTERS}"} if load_counters(domain) else {}),
        "MEDALLION_DAGSTER_URL": f"http://127.0.0.1:{dagster_port}",
        "MEDALLION_RAW": str(folder / "raw"),
        "DAGSTER_HOME": str(folder / "dagster"),
        **({} if since is None else {"MEDALLION_SINCE": since.isoformat()}),
    }
    owned.enter_context(environment(env, owned_prefixes=OURS))
    _create_resources(domain)
    command = [sys.executable, "-m", "medallion_assets.serving", "--port", str(sql_port)]
    server = owned.start("the SQL server", command, log=folder / "serve.log")
    pipeline = start_pipeline(domain, folder, owned, dagster_port=dagster_port)
    server.wait_until(lambda: port_is_open(sql_port), seconds=_START_SECONDS)
    return Stack(**vars(pipeline), aws_url=emulator.endpoint, sql_url=f"http://127.0.0.1:{sql_port}")


def _create_resources(domain: Domain) -> None:
    """Create the tables, that of the live counters, and the bucket."""
    import boto3

    dynamodb = boto3.client("dynamodb")
    create_tables(dynamodb, domain)
    if load_counters(domain):
        dynamodb.create_table(**table_settings(_COUNTERS))
    boto3.client("s3").create_bucket(Bucket=_BUCKET)
