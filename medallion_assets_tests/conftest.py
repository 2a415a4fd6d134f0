"""Fixtures every room shares: the local AWS, one account of it per test, and a lake of either kind."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from botocore.loaders import JSONFileLoader

from medallion_assets.lake import duck
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION, Emulator, run_emulator

_accounts = itertools.count(1)

# No test fails because the machine is busy. In CI the same commit always has the same examples.
hypothesis.settings.register_profile("any machine", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("any machine")


def pytest_configure() -> None:
    """A runner's workers ignore SIGTERM, and a shell's background jobs SIGINT; what they start would inherit that."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the Glue twin of a test on files as slow, unless the test is marked `both_lakes`."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            kinds = {item.callspec.params.get(name) for name in ("lake", "fleet")}
            if "glue" in kinds and not item.get_closest_marker("both_lakes"):
                item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def _database() -> Iterator[None]:
    """Keep the process's DuckDB open: otherwise every lake that a test opens loads the extensions again."""
    with duck.connect():
        yield


@pytest.fixture(scope="session", autouse=True)
def _service_models() -> Iterator[None]:
    """Parse botocore's models once: each session does it for itself, 0.1 s of a core, and most tests open several."""
    load = cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda self, path: load(path))
        yield


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulator process for the whole session of this worker."""
    with run_emulator(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def aws(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator as a fresh, empty account, reached by boto3's own environment variables."""
    account = f"{os.getpid() % 1_000_000:06d}{next(_accounts):06d}"
    for name, value in emulator.client_env(account).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps the credentials of the account it first saw
    return emulator


@pytest.fixture
def files_lake(tmp_path: Path) -> Iterator[Lake]:
    """An empty lake on files with SQLite."""
    with Lake.open(LakeSettings(warehouse=str(tmp_path / "lake"), catalog="sqlite", region=REGION)) as opened:
        yield opened


@pytest.fixture
def glue_lake(aws: Emulator) -> Iterator[Lake]:
    """An empty lake on S3 with Glue."""
    import boto3

    bucket = f"lake-{os.environ['AWS_ACCESS_KEY_ID']}"  # bucket names are global, across accounts too
    boto3.client("s3").create_bucket(Bucket=bucket)
    settings = LakeSettings(
        warehouse=f"s3://{bucket}/warehouse",
        catalog="glue",
        region=REGION,
        s3_endpoint=aws.endpoint,
        glue_endpoint=aws.endpoint,
    )
    with Lake.open(settings) as opened:
        yield opened


@pytest.fixture(params=["files", "glue"])
def lake(request: pytest.FixtureRequest) -> Lake:
    """An empty lake: on files, then on Glue (see `both_lakes`)."""
    chosen: Lake = request.getfixturevalue(f"{request.param}_lake")
    return chosen
