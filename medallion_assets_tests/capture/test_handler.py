"""The Lambda function, fed with AWS's documented event, and what its import costs."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medallion_assets.capture import handler as module
from medallion_assets.capture.store import open_store
from medallion_assets.errors import SettingsError
from medallion_assets_tests.capture.events import DOCUMENTED_EVENT, change, poison


@pytest.fixture(autouse=True)
def cold() -> Iterator[None]:
    """Each test is a new execution environment, which reads its settings again."""
    module._store.cache_clear()
    yield
    module._store.cache_clear()


def test_the_documented_event_is_written_to_s3_and_nothing_is_reported(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_BRONZE", f"s3://{bucket}/bronze")
    assert module.handler(DOCUMENTED_EVENT, None) == {"batchItemFailures": []}
    store = open_store(f"s3://{bucket}/bronze")
    (path,) = store.list("my-table")
    rows = pq.read_table(io.BytesIO(store.read(path))).to_pylist()
    assert [(row["event_name"], row["sequence_number"]) for row in rows] == [("INSERT", "111"), ("MODIFY", "222")]


def test_the_answer_names_what_lambda_must_send_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_BRONZE", str(tmp_path))
    event = {"Records": [change(1), poison(2), change(3)]}
    assert module.handler(event, None) == {"batchItemFailures": [{"itemIdentifier": "2"}]}


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDALLION_BRONZE", raising=False)
    with pytest.raises(SettingsError, match="MEDALLION_BRONZE"):
        module.handler({"Records": []}, None)


def test_its_import_brings_in_nothing_heavy() -> None:
    heavy = ["boto3", "botocore", "dagster", "pyiceberg", "duckdb", "pyarrow", "pydantic", "numpy", "pandas"]
    code = f"import sys, medallion_assets.capture.handler; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
