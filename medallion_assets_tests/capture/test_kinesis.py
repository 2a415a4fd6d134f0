"""Records of Kinesis Data Streams for DynamoDB become the rows that a stream of DynamoDB would have given."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from medallion_assets.capture import handler as module
from medallion_assets.capture.dead_letter import list_dead_letters, read_dead_letter
from medallion_assets.capture.given_up import find_given_up
from medallion_assets.capture.kinesis import KinesisTables
from medallion_assets.capture.redrive import redrive
from medallion_assets.capture.sequence import stream_created_at
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.errors import SettingsError
from medallion_assets_tests.capture.kinesis_events import DOCUMENTED, STREAM, of_kinesis, sent_change

SINCE = datetime(2026, 2, 1, tzinfo=UTC)
NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
AT = 1_770_120_000_000_000
KEY = {"OrderID": {"S": "o-1"}}


@pytest.fixture(autouse=True)
def cold() -> Iterator[None]:
    """Each test is a new execution environment, which reads its settings again."""
    caches = (module._store, module._names, module._kinesis_tables)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BronzeStore:
    monkeypatch.setenv("MEDALLION_BRONZE", str(tmp_path))
    monkeypatch.setenv("MEDALLION_SOURCE_TABLES", "Users=prod-Users")
    monkeypatch.setenv("MEDALLION_KINESIS_TABLES", "Orders=2026-02-01T00:00:00,Users=2026-02-01T01:00:00+01:00")
    return open_store(str(tmp_path))


def rows(store: BronzeStore, table: str = "Orders") -> list[dict[str, Any]]:
    return [row for path in store.list(table) for row in pq.read_table(io.BytesIO(store.read(path))).to_pylist()]


def reasons(store: BronzeStore) -> dict[str, list[str]]:
    found = list_dead_letters(store)
    return {table: sorted(read_dead_letter(store, path).reason for path in paths) for table, paths in found.items()}


def test_the_documented_record_is_a_row_with_its_time_as_number(store: BronzeStore) -> None:
    module.handler({"Records": [of_kinesis(DOCUMENTED)]}, None)
    (row,) = rows(store)
    assert row["sequence_number"] == "1719347890250647"
    assert row["approximate_creation_time"] == datetime(2024, 6, 25, 20, 38, 10, 250647, tzinfo=UTC)
    assert (row["event_id"], row["event_name"], row["user_identity"]) == (DOCUMENTED["eventID"], "MODIFY", None)
    assert orjson.loads(row["keys"]) == KEY
    new = orjson.loads(row["new_image"])
    assert (new["Seal"], new["Total"]) == ({"B": "MTMyMQ=="}, {"N": "42.42"}), "encoded once, as in every Bronze row"
    assert new["Parts"]["L"][0]["M"] == {"Seals": {"BS": ["MTMyMQ==", "MTQxMw=="]}, "None": {"NULL": True}}
    assert orjson.loads(row["old_image"]) == {**KEY, "Seal": {"B": "MTMyMQ=="}}
    assert stream_created_at(row["stream_arn"]) == SINCE


def test_several_tables_share_a_stream_and_others_are_left_alone(store: BronzeStore) -> None:
    sent = [sent_change(AT + at, KEY, {}, table=table) for at, table in enumerate(["prod-Users", "Orders", "Others"])]
    expired = {
        **sent_change(AT, KEY, None),
        "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    }
    module.handler({"Records": [of_kinesis(each) for each in [*sent, expired]]}, None)
    assert [row["table_name"] for row in rows(store, "Users")] == ["Users"]
    assert ":table/prod-Users/" in rows(store, "Users")[0]["stream_arn"]
    identities = {row["sequence_number"]: row["user_identity"] for row in rows(store)}
    assert identities == {str(AT): '{"principalId":"dynamodb.amazonaws.com","type":"Service"}', str(AT + 1): None}
    assert list(store.list("Others")) == [] and list_dead_letters(store) == {}


def test_what_cannot_be_ordered_or_read_is_set_aside_and_its_neighbours_are_written(
    store: BronzeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    once = sent_change(AT + 2, KEY, {"Seal": {"B": "/w=="}})
    no_keys = sent_change(AT + 4, KEY, {})
    del no_keys["dynamodb"]["Keys"]
    fraction = sent_change(AT, KEY, {})
    fraction["dynamodb"]["ApproximateCreationDateTime"] = 1.5
    bad = [
        sent_change(AT // 1_000, KEY, {}, precision="MILLISECOND"),
        once,
        no_keys,
        fraction,
        {"tableName": "Orders", "dynamodb": []},
        {"no": "table"},
        b"no JSON",
    ]
    good = [sent_change(AT + 9, KEY, {}), sent_change(AT + 1, KEY, {})]
    module.handler({"Records": [of_kinesis(each) for each in [good[0], *bad, good[1]]]}, None)
    assert sorted(row["sequence_number"] for row in rows(store)) == [str(AT + 1), str(AT + 9)]
    assert json.loads(capsys.readouterr().out)["DeadLetters"] == len(bad)
    found = reasons(store)
    assert [len(found["Orders"]), len(found["_unknown"])] == [5, 2]
    for part in ("MICROSECOND", "encoded in base64 twice", "'Keys'", "whole microseconds", "documented format"):
        assert any(part in reason for reason in found["Orders"]), part
    again = redrive(store, ["Orders"], given_up=None, now=lambda: NOON, kinesis=KinesisTables({"Orders": SINCE}))
    assert (again.records, len(again.left)) == (0, len(bad)), "they stay, and a repair brings what they lack"


def test_given_up_batches_are_seen_and_redriven(store: BronzeStore, tmp_path: Path) -> None:
    given_up = open_store(str(tmp_path / "given-up"))
    sent = [
        sent_change(AT, KEY, {}),
        sent_change(AT + 1, KEY, {}, table="prod-Users"),
        sent_change(AT, KEY, {}, table="X-1"),
    ]
    document = {
        "KinesisBatchInfo": {"shardId": "shardId-1", "streamArn": STREAM},
        "payload": json.dumps({"Records": [of_kinesis(each) for each in sent]}),
    }
    given_up.put("aws/lambda/a/shardId-1/2026/02/03/2026-02-03T11.00.00-1", json.dumps(document).encode())
    names = SourceNames({"Users": "prod-Users"})
    tables = KinesisTables({"Orders": SINCE, "Users": SINCE})
    waiting = find_given_up(given_up, names, tables)
    assert {table: one.batches for table, one in waiting.items()} == {"Orders": 1, "Users": 1}
    done = redrive(store, ["Orders"], given_up=given_up, now=lambda: NOON, names=names, kinesis=tables)
    assert (done.records, done.removed, dict(done.left)) == (2, 1, {})
    assert (len(rows(store)), len(rows(store, "Users"))) == (1, 1)
    assert find_given_up(given_up, names, tables) == {}


def test_the_stream_of_a_table_follows_every_earlier_one() -> None:
    tables = KinesisTables.parse("Orders=2026-02-01T00:00:00.5")
    arn = tables.stream_arn("Orders", source="prod-Orders", arn="arn:aws-cn:dynamodb:cn-north-1:123456789012:table/x")
    assert arn is not None and arn.startswith("arn:aws-cn:dynamodb:cn-north-1:123456789012:table/prod-Orders/stream/")
    assert stream_created_at(arn) == SINCE + timedelta(seconds=0.5)
    assert tables.stream_arn("Users", source="Users", arn=STREAM) is None


@pytest.mark.parametrize(
    "text", ["Orders", "Orders=yesterday", "a b=2026-02-01", "Orders=2026-02-01,Orders=2026-02-02"]
)
def test_a_wrong_setting_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected"):
        KinesisTables.parse(text)
