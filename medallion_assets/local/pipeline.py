"""The pipeline on one machine, on whatever AWS the environment names: the poller and Dagster, as owned processes.

Belongs here: which children there are, their settings, and that all of them end with their owner. Does not belong here:
where DynamoDB and the lake are (`stack`, `connected`), traffic, and what is shown.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, TracebackType

from medallion_assets.contracts.loader import Domain
from medallion_assets.errors import ExtraMissing
from medallion_assets.live.counter_file import load_counters
from medallion_assets.local.dagster_jobs import LOCATION
from medallion_assets.local.processes import Child, free_port, port_is_open
from medallion_assets.settings import Settings

_START_SECONDS = 60.0
_INSTANCE = Path(__file__).with_name("dagster.yaml")
_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Pipeline:
    """A running pipeline. While it runs, this process has its environment variables."""

    domain: Domain
    settings: Settings
    folder: Path
    dagster_url: str
    children: Sequence[Child]

    def check(self) -> None:
        """Raise LocalStackError if one of the processes has ended."""
        for child in self.children:
            child.check()

    def watch(self, also: Callable[[], object] = lambda: None) -> None:
        """Wait until one of the processes has ended, calling `also` every second; then raise LocalStackError."""
        while True:
            self.check()
            also()
            time.sleep(_WATCH_SECONDS)


class Owned(ExitStack):
    """What a pipeline owns. Leaving sends SIGTERM to all children at once, then waits for each."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []

    def start(self, name: str, command: Sequence[str], *, log: Path, cwd: Path | None = None) -> Child:
        """Start a child that ends with this."""
        child = self.enter_context(Child(name, command, log=log, cwd=cwd))
        self.children.append(child)
        return child

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for child in self.children:
            child.terminate()
        return super().__exit__(kind, error, trace)


def require_dagster() -> None:
    """Raise ExtraMissing without what shows Dagster's page."""
    if find_spec("dagster_webserver") is None:
        raise ExtraMissing(
            "Running here needs dagster-webserver, which is not installed: pip install 'medallion-assets[local]'"
        )


def start_pipeline(
    domain: Domain, folder: Path, owned: Owned, *, dagster_port: int, resume: Sequence[str] = ()
) -> Pipeline:
    """Start the poller and Dagster with the settings of the environment, and their files below `folder`.

    The poller captures the tables `resume` again although they had lost changes. Raises
    LocalStackError if one of them does not start, SettingsError.
    """
    settings = Settings.load()
    poller = _start_poller(domain, settings, folder, owned, resume=resume)
    consumer = _start_counting(domain, settings, folder, owned)
    url = _start_dagster(folder, owned, dagster_port)
    for child in filter(None, (poller, consumer)):
        child.wait_until(partial(_is_ready, child), seconds=_START_SECONDS)
    return Pipeline(domain, settings, folder, url, owned.children)


def _start_poller(domain: Domain, settings: Settings, folder: Path, owned: Owned, *, resume: Sequence[str]) -> Child:
    places = ["--bronze", settings.bronze, "--checkpoint", str(settings.checkpoint)]
    places += [f"--resume-after-gap={table}" for table in resume]
    names = settings.source_names()
    sources = [(table, names.in_dynamodb(table)) for table in domain.sources]
    tables = [table if table == source else f"{table}={source}" for table, source in sources]
    command = [sys.executable, "-m", "medallion_assets.capture.poller", *places, *tables]
    return owned.start("the stream poller", command, log=folder / "poller.log")


def _start_counting(domain: Domain, settings: Settings, folder: Path, owned: Owned) -> Child | None:
    """Start the consumer of the live counters; None if there are none, or no store for them."""
    if settings.live is None or not load_counters(domain):
        return None
    places = ["--domain", str(domain.folder), "--store", settings.live, "--checkpoint", str(folder / "live.sqlite")]
    command = [sys.executable, "-m", "medallion_assets.live.consume", *places]
    return owned.start("the consumer of the live counters", command, log=folder / "live.log")


def _is_ready(child: Child) -> bool:
    return "ready:" in child.output()


def _start_dagster(folder: Path, owned: Owned, web_port: int) -> str:
    """Start Dagster; return its URL. Daemon and webserver share one code server, so the definitions load once."""
    home = folder / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(_INSTANCE, home)
    code_port = free_port()
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
def environment(env: Mapping[str, str], *, owned_prefixes: tuple[str, ...]) -> Iterator[None]:
    """Replace this process's variables with one of the prefixes by `env`, while inside."""
    import boto3

    before = {name: value for name, value in os.environ.items() if name.startswith(owned_prefixes) or name in env}
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
def interruptible() -> Iterator[Callable[[], None]]:
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
