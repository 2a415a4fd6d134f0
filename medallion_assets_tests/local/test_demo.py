"""A demo whose table is blocked names the table and the rule, and stays up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from medallion_assets.cli.main import app
from medallion_assets.errors import AuditFailed, LocalStackError, MedallionError, NotCaughtUp
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.dagster_jobs import start_job
from medallion_assets.local.demo import Demo
from medallion_assets.local.processes import free_port
from medallion_assets.local.stack import run_stack
from medallion_assets_tests.fixtures import FLEET


@pytest.mark.slow
def test_a_blocked_table_is_named_with_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = tmp_path / "vans"
    shutil.copytree(FLEET, domain)
    contract = domain / "tables" / "vehicles.yaml"
    text = contract.read_text()
    assert "{min: 0}" in text
    text = text.replace("{min: 0}", "{min: 1000}")  # no battery has so much: every row is quarantined
    contract.write_text(text if "quarantine_share" in text else text + "rules:\n  quarantine_share: {max: 0.05}\n")
    with run_stack(str(domain), state=tmp_path / ".medallion") as stack, Lake.open(stack.settings.lake()) as lake:
        acts = Demo(stack, lake, seed=1)
        acts.load()
        with pytest.raises(AuditFailed, match=r"silver/vehicles: quarantine_rate since \d"):
            list(acts.catch_up())
        stack.check()


def test_a_page_that_does_not_answer_is_named() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(LocalStackError, match=f"Dagster did not start the job reconciliation: .* Start it on {nobody}"):
        start_job(nobody, "reconciliation")


@pytest.mark.parametrize("stays", [True, False])
def test_a_demo_that_stays_up_compares_with_the_source_once(monkeypatch: pytest.MonkeyPatch, stays: bool) -> None:
    started = []

    class Acts:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def load(self) -> int:
            return 1

        def catch_up(self) -> Iterator[Any]:
            return iter(())

        @contextmanager
        def writing(self, **_: object) -> Iterator[None]:
            yield

    def watch() -> None:
        raise KeyboardInterrupt

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        settings = SimpleNamespace(lake=lambda: None)
        yield SimpleNamespace(
            dagster_url="http://127.0.0.1:1", sql_url="http://127.0.0.1:2", settings=settings, watch=watch
        )

    monkeypatch.setattr("medallion_assets.local.stack.run_stack", opened)
    monkeypatch.setattr("medallion_assets.local.page.run_page", opened)
    monkeypatch.setattr("medallion_assets.lake.catalog.Lake.open", opened)
    monkeypatch.setattr("medallion_assets.local.demo.Demo", Acts)
    monkeypatch.setattr("medallion_assets.cli.demo.stdout_is_a_terminal", lambda: stays)
    monkeypatch.setattr("medallion_assets.cli.demo._perform", lambda *_, **__: True)
    monkeypatch.setattr("medallion_assets.cli.screen.show_progress", lambda _: None)
    monkeypatch.setattr("medallion_assets.local.dagster_jobs.start_job", lambda *asked: started.append(asked))
    found = CliRunner().invoke(app, ["demo"])
    assert found.exit_code == 0, found.output
    assert started == ([("http://127.0.0.1:1", "reconciliation")] if stays else [])


@pytest.mark.parametrize(
    ("error", "stays", "code"),
    [
        (AuditFailed("silver/orders is blocked by quarantine_share"), True, 1),
        (NotCaughtUp("Gold has not caught up"), True, 1),
        (AuditFailed("silver/orders is blocked by quarantine_share"), False, 1),
        (NotCaughtUp("Gold has not caught up"), False, 3),
        (LocalStackError("the stream poller ended"), True, 3),
    ],
)
def test_it_stays_up_unless_a_process_has_ended(
    monkeypatch: pytest.MonkeyPatch, error: MedallionError, stays: bool, code: int
) -> None:
    watched = []

    class Acts:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def load(self) -> int:
            return 1

        def catch_up(self) -> Iterator[Any]:
            raise error

        @contextmanager
        def writing(self, **_: object) -> Iterator[None]:
            yield

    def watch() -> None:
        watched.append(True)
        raise KeyboardInterrupt

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        settings = SimpleNamespace(lake=lambda: None)
        yield SimpleNamespace(
            dagster_url="http://127.0.0.1:1", sql_url="http://127.0.0.1:2", settings=settings, watch=watch
        )

    monkeypatch.setattr("medallion_assets.local.stack.run_stack", opened)
    monkeypatch.setattr("medallion_assets.local.page.run_page", opened)
    monkeypatch.setattr("medallion_assets.lake.catalog.Lake.open", opened)
    monkeypatch.setattr("medallion_assets.local.demo.Demo", Acts)
    monkeypatch.setattr("medallion_assets.cli.demo.stdout_is_a_terminal", lambda: stays)
    found = CliRunner().invoke(app, ["demo"])
    assert found.exit_code == code, found.output
    assert str(error) in found.stderr
    assert bool(watched) == (stays and not isinstance(error, LocalStackError))
