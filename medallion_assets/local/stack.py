"""The whole stack on one machine: the local AWS, its tables and bucket, the poller and Dagster, as owned processes.

Belongs here: which children there are, their settings, and that all of them end with their owner. Does not belong here:
traffic, and what is shown.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, TracebackType

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.errors import ExtraMissing
from medallion_assets.gold.spec import load_marts
from medallion_assets.local.dagster_jobs import LOCATION
from medallion_assets.local.emulator import run_emulator
from medallion_assets.local.processes import Child, free_port, port_is_open
from medallion_assets.local.stackfile import announce, only_stack
from medallion_assets.local.tables import create_tables
from medallion_assets.local.workload import load_workload, oldest_day
from medallion_assets.settings import Settings

_BUCKET = "medallion"
_START_SECONDS = 60.0
_INSTANCE = Path(__file__).with_name("dagster.yaml")
_OURS = ("AWS_", "MEDALLION_", "DAGSTER_")


@dataclass(frozen=True)
class Stack:
    """A running stack. While it runs, this process has the stack's environment variables."""

    domain: Domain
    settings: Settings
    folder: Path
    dagster_url: str
    children: Sequence[Child]

    def check(self) -> None:
        """Raise LocalStackError if one of the processes has ended."""
        for child in self.children:
            child.check()


def directly(endpoint: str) -> AbstractContextManager[str]:
    """Put nothing between a stack and its local AWS."""
    return nullcontext(endpoint)


@contextmanager
def run_stack(
    domain: str, *, state: Path, through: Callable[[str], AbstractContextManager[str]] = directly
) -> Iterator[Stack]:
    """Run the whole stack while inside, for a shipped domain's name or a folder; everything starts empty.

    All files are below `state`, and the next start removes them. Everything listens on free ports of 127.0.0.1.
    `through` gets the URL of the local AWS and gives the one that the stack uses, for a test that puts something
    between them. Raises LocalStackError if a stack already runs on `state` or if something does not start,
    ExtraMissing, and ContractError or MartError for a mistake in the domain.
    """
    loaded = load_domain(domain)
    if find_spec("dagster_webserver") is None:
        raise ExtraMissing(
            "The demo needs dagster-webserver, which is not installed: pip install 'medallion-assets[local]'"
        )
    # A mistake in a file is one sentence here; later it would be a traceback of the code server, or end a started demo.
    first_day = oldest_day(loaded, load_marts(loaded), load_workload(loaded), today=datetime.now(UTC).date())
    state = state.resolve()
    with only_stack(state), _signals() as ignore_signals, _Owned() as owned:
        try:
            stack = _start(loaded, first_day, state / "stack", owned, through)
            announce(state, {name: value for name, value in os.environ.items() if name.startswith(_OURS)})
            yield stack
        finally:
            ignore_signals()


class _Owned(ExitStack):
    """What a stack owns. Leaving sends SIGTERM to all children at once, then waits for each."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []

    def start(self, name: str, command: Sequence[str], *, log: Path, cwd: Path | None = None) -> Child:
        child = self.enter_context(Child(name, command, log=log, cwd=cwd))
        self.children.append(child)
        return child

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for child in self.children:
            child.terminate()
        return super().__exit__(kind, error, trace)


def _start(
    domain: Domain,
    first_day: date,
    folder: Path,
    owned: _Owned,
    through: Callable[[str], AbstractContextManager[str]],
) -> Stack:
    shutil.rmtree(folder, ignore_errors=True)
    emulator = owned.enter_context(run_emulator(folder / "aws"))
    env = {
        **emulator.client_env(),
        "AWS_ENDPOINT_URL": owned.enter_context(through(emulator.endpoint)),
        # Whatever is configured for the user's real AWS stays out of reach.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "MEDALLION_DOMAIN": str(domain.folder),
        "MEDALLION_SINCE": first_day.isoformat(),
        "MEDALLION_BRONZE": f"s3://{_BUCKET}/bronze",
        "MEDALLION_WAREHOUSE": f"s3://{_BUCKET}/warehouse",
        "MEDALLION_CATALOG": "glue",
        "MEDALLION_CHECKPOINT": str(folder / "poller.sqlite"),
        "DAGSTER_HOME": str(folder / "dagster"),
    }
    owned.enter_context(_environment(env))
    _create_resources(domain)
    poller = _start_poller(domain, folder, owned)
    url = _start_dagster(folder, owned)
    poller.wait_until(lambda: "ready:" in poller.output(), seconds=_START_SECONDS)
    return Stack(domain, Settings.load(), folder, url, owned.children)


def _create_resources(domain: Domain) -> None:
    """Create the tables and the bucket."""
    import boto3

    create_tables(boto3.client("dynamodb"), domain)
    boto3.client("s3").create_bucket(Bucket=_BUCKET)


def _start_poller(domain: Domain, folder: Path, owned: _Owned) -> Child:
    settings = Settings.load()
    places = ["--bronze", settings.bronze, "--checkpoint", str(settings.checkpoint)]
    tables = [contract.table for contract in domain.tables]
    command = [sys.executable, "-m", "medallion_assets.capture.poller", *places, *tables]
    return owned.start("the stream poller", command, log=folder / "poller.log")


def _start_dagster(folder: Path, owned: _Owned) -> str:
    """Start Dagster; return its URL. Daemon and webserver share one code server, so the definitions load once."""
    home = folder / "dagster"
    home.mkdir(parents=True)
    shutil.copy(_INSTANCE, home)
    code_port, web_port = free_port(), free_port()
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {code_port}, location_name: {LOCATION}}}\n"
    )

    def start(name: str, module: str, *arguments: str, log: str) -> Child:
        # Dagster reads `.env` in its working folder, and the user's has the settings of another stack.
        return owned.start(name, [sys.executable, "-m", module, *arguments], log=folder / log, cwd=home)

    code = start(
        "Dagster's code server",
        "dagster",
        *("api", "grpc", "-h", "127.0.0.1", "-p", str(code_port)),
        *("-m", "medallion_assets.definitions", "--location-name", LOCATION),
        log="code-server.log",
    )
    code.wait_until(lambda: port_is_open(code_port), seconds=_START_SECONDS)
    start("Dagster's daemon", "dagster._daemon", "run", "-w", str(workspace), log="daemon.log")
    serve = ("-h", "127.0.0.1", "-p", str(web_port), "-w", str(workspace))
    web = start("Dagster's webserver", "dagster_webserver", *serve, log="webserver.log")
    web.wait_until(lambda: port_is_open(web_port), seconds=_START_SECONDS)
    return f"http://127.0.0.1:{web_port}"


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """Replace all of this process's variables of AWS, Dagster and ours by `env`, while inside."""
    import boto3

    before = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
    kept = {name: value for name, value in before.items() if name == "MEDALLION_EMULATOR"}
    _replace(before, {**kept, **env})
    boto3.setup_default_session()
    try:
        yield
    finally:
        _replace(env, before)
        boto3.DEFAULT_SESSION = None


def _replace(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in old:
        os.environ.pop(name, None)
    os.environ.update(new)


@contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does while inside. After the first signal, ignore all three.

    Stopping must not be interrupted. Yields a function that ignores them from its call on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in signals}

    def ignore() -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)

    def interrupt(number: int, frame: FrameType | None) -> None:
        ignore()
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)
    try:
        yield ignore
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
