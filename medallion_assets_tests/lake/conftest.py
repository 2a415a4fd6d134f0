"""Lakes that are broken in one way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION, Emulator


@pytest.fixture
def lake_on_missing_bucket(aws: Emulator) -> Iterator[Lake]:
    settings = LakeSettings(
        warehouse="s3://nowhere/lake",
        catalog="glue",
        region=REGION,
        s3_endpoint=aws.endpoint,
        glue_endpoint=aws.endpoint,
    )
    with Lake.open(settings) as lake:
        yield lake


@pytest.fixture
def unreachable_lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake whose endpoint is a port nobody listens on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "1")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        settings = LakeSettings(
            warehouse="s3://lake/warehouse", catalog="glue", region=REGION, s3_endpoint=endpoint, glue_endpoint=endpoint
        )
        with Lake.open(settings) as lake:
            yield lake
