"""The Lambda function, fed with AWS's documented event, and what its import costs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from medallion_assets.capture import handler as module
from medallion_assets.capture.dead_letter import DeadLetter, list_dead_letters, read_dead_letter
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.errors import CaptureError, LakeUnavailable, SettingsError
from medallion_assets_tests.capture.events import DOCUMENTED_EVENT, change, poison


@pytest.fixture(autouse=True)
def cold() -> Iterator[None]:
    """Each test is a new execution environment, which reads its settings again."""
    module._store.cache_clear()
    module._names.cache_clear()
    yield
    module._store.cache_clear()
    module._names.cache_clear()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BronzeStore:
    monkeypatch.setenv("MEDALLION_BRONZE", str(tmp_path))
    return open_store(str(tmp_path))


def letters(store: BronzeStore) -> list[DeadLetter]:
    return [read_dead_letter(store, path) for paths in list_dead_letters(store).values() for path in paths]


def numbers(store: BronzeStore, table: str = "Orders") -> list[str]:
    rows = [row for path in store.list(table) for row in pq.read_table(io.BytesIO(store.read(path))).to_pylist()]
    return sorted(row["sequence_number"] for row in rows)


def test_the_documented_event_is_written_to_s3(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_BRONZE", f"s3://{bucket}/bronze")
    module.handler(DOCUMENTED_EVENT, None)
    assert numbers(open_store(f"s3://{bucket}/bronze"), "my-table") == ["111", "222"]


def test_records_that_cannot_be_written_are_set_aside_and_counted_and_their_neighbours_are_written(
    store: BronzeStore, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bad = [poison(2), {**change(4), "eventSourceARN": None}, poison(5)]
    module.handler(
        {"Records": [change(1), bad[0], change(3), *bad[1:], change(6)]},
        SimpleNamespace(function_name="f", function_version="7"),
    )
    assert numbers(store) == ["1", "3", "6"]
    assert sorted(letter.record["dynamodb"]["SequenceNumber"] for letter in letters(store)) == ["2", "4", "5"]
    assert set(list_dead_letters(store)) == {"Orders", "_unknown"}
    assert all(letter.reason for letter in letters(store))
    (line,) = capsys.readouterr().out.splitlines()
    metric = json.loads(line)
    assert (metric["DeadLetters"], metric["FunctionName"], metric["Version"]) == (3, "f", "7")
    assert metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["FunctionName"], ["FunctionName", "Version"]]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "DeadLetters", "Unit": "Count"}]
    assert "o-2" not in caplog.text, "a log has no data"


def test_a_table_with_another_name_in_dynamodb_has_its_contracts_name_in_bronze(
    store: BronzeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_SOURCE_TABLES", "Orders=prod-Orders")
    module.handler({"Records": [change(1, table="prod-Orders"), poison(2, table="prod-Orders")]}, None)
    (path,) = store.list("Orders")
    (row,) = pq.read_table(io.BytesIO(store.read(path))).to_pylist()
    assert row["table_name"] == "Orders" and ":table/prod-Orders/stream/" in row["stream_arn"]
    assert list(list_dead_letters(store)) == ["Orders"]


def test_an_event_without_a_bad_record_sends_no_metric(store: BronzeStore, capsys: pytest.CaptureFixture[str]) -> None:
    module.handler({"Records": [change(1)]}, None)
    assert (numbers(store), capsys.readouterr().out) == (["1"], "")


def test_a_record_that_cannot_be_told_apart_is_found_by_halving_and_set_aside_alone(store: BronzeStore) -> None:
    """Without a sequence number a record cannot be named, so the batch fails until Lambda sends the record alone."""
    unnamed = change(2)
    unnamed["dynamodb"]["SequenceNumber"] = None
    unnamed["dynamodb"]["Keys"] = {"OrderID": {"S": "\ud800"}}
    with pytest.raises(CaptureError, match="SequenceNumber"):
        module.handler({"Records": [change(1), unnamed]}, None)
    assert (numbers(store), letters(store)) == ([], [])
    module.handler({"Records": [unnamed]}, None)
    (letter,) = letters(store)
    assert letter.record == unnamed and letter.reason.startswith("CaptureError")


def test_while_bronze_is_away_nothing_is_set_aside(store: BronzeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(path: str, data: bytes) -> None:
        raise LakeUnavailable("S3 did not answer")

    monkeypatch.setattr(module._store(), "put", away)
    for record in (change(1), poison(2)):
        with pytest.raises(LakeUnavailable):
            module.handler({"Records": [record]}, None)
    assert letters(store) == []


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDALLION_BRONZE", raising=False)
    with pytest.raises(SettingsError, match="MEDALLION_BRONZE"):
        module.handler({"Records": []}, None)


def test_its_import_brings_in_nothing_heavy() -> None:
    heavy = ["boto3", "botocore", "dagster", "pyiceberg", "duckdb", "pyarrow", "pydantic", "numpy", "pandas"]
    code = f"import sys, medallion_assets.capture.handler; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
