"""Stores: the same behaviour from a directory and from S3."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.errors import CorruptObject, LakeUnavailable, SettingsError
from medallion_assets.local.emulator import Emulator
from medallion_assets_tests.fixtures.disk import Disk


@pytest.fixture(params=["files", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BronzeStore:
    if request.param == "files":
        return open_store(str(tmp_path / "bronze"))
    return open_store(f"s3://{request.getfixturevalue('bucket')}/some/prefix")


PATHS = [
    "Orders/year=2025/month=12/day=31/a.parquet",
    "Orders/year=2026/month=01/day=01/a.parquet",
    "Orders/year=2026/month=01/day=01/b.parquet",
    "Orders/year=2026/month=01/day=10/a.parquet",
    "Orders/year=2026/month=02/day=01/a.parquet",
]


def test_what_was_put_is_read_back_and_listed_in_order(store: BronzeStore) -> None:
    for path in reversed(PATHS):
        store.put(path, path.encode())
    store.put("Orders2/year=2026/month=01/day=01/a.parquet", b"of another table")
    assert list(store.list("Orders")) == PATHS
    assert [store.read(path).decode() for path in PATHS] == PATHS


def test_a_listing_starts_strictly_after_any_text(store: BronzeStore) -> None:
    for path in PATHS:
        store.put(path, b"")
    for after in [*PATHS, "Orders/year=2026", "Orders/year=2026/month=01/day=01/", "Orders/z", "A", "Z", ""]:
        assert list(store.list("Orders", after=after)) == [path for path in PATHS if path > after], after


def test_a_listing_can_be_of_one_day(store: BronzeStore) -> None:
    for path in PATHS:
        store.put(path, b"")
    assert list(store.list("Orders", day=date(2026, 1, 1))) == PATHS[1:3]
    assert list(store.list("Orders", day=date(2026, 1, 1), after=PATHS[1])) == PATHS[2:3]
    assert list(store.list("Orders", day=date(2026, 1, 2))) == []


def test_entries_of_one_day_have_their_size_and_a_tag_that_changes_when_they_are_written_again(
    store: BronzeStore,
) -> None:
    for path in PATHS:
        store.put(path, path.encode())
    found = list(store.entries("Orders", day=date(2026, 1, 1)))
    assert [(entry.path, entry.bytes) for entry in found] == [(path, len(path)) for path in PATHS[1:3]]
    assert list(store.entries("Orders", day=date(2026, 1, 1), after=PATHS[1])) == found[1:]
    store.put(PATHS[2], PATHS[1].encode())
    again = list(store.entries("Orders", day=date(2026, 1, 1)))
    assert (again[0] == found[0], again[1] == found[1]) == (True, False)


def test_only_parquet_objects_are_listed_and_an_unknown_table_is_empty(store: BronzeStore) -> None:
    store.put("Orders/_SUCCESS", b"")
    store.put("_dead_letters/Orders/1.json", b"{}")
    assert list(store.list("Orders")) == []
    assert list(store.list("failed")) == []
    assert list(store.list("Nothing")) == []


def test_a_removed_object_is_gone_and_to_remove_it_again_is_no_error(store: BronzeStore) -> None:
    store.put("Orders/a.parquet", b"a")
    store.put("Orders/b.parquet", b"b")
    store.remove("Orders/a.parquet")
    store.remove("Orders/a.parquet")
    assert list(store.list("Orders")) == ["Orders/b.parquet"]


def test_a_missing_object_is_named(store: BronzeStore) -> None:
    with pytest.raises(CorruptObject, match=PATHS[0]):
        store.read(PATHS[0])


def test_duckdb_finds_the_object_at_its_uri(aws: Emulator, tmp_path: Path) -> None:
    assert open_store("s3://bucket/a/b/").uri("x.parquet") == "s3://bucket/a/b/x.parquet"
    assert open_store("s3://bucket").uri("x.parquet") == "s3://bucket/x.parquet"
    assert open_store(str(tmp_path)).uri("x.parquet") == str(tmp_path / "x.parquet")


@pytest.mark.parametrize("url", ["", "s3://", "s3:///prefix", "gs://bucket/prefix"])
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="Bronze store"):
        open_store(url)


def test_a_crash_while_writing_leaves_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))

    def fails(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(LakeUnavailable, match="No space left"):
        store.put(PATHS[0], b"data")
    monkeypatch.undo()
    assert list(store.list("Orders")) == []
    assert not any(entry.is_file() for entry in tmp_path.rglob("*"))


Act = Callable[[BronzeStore], object]
ACTS: list[Act] = [lambda s: s.put(PATHS[0], b""), lambda s: s.read(PATHS[0]), lambda s: list(s.list("Orders"))]


@pytest.mark.parametrize("act", ACTS)
def test_a_missing_bucket_is_somebodys_to_create(aws: Emulator, act: Act) -> None:
    with pytest.raises(SettingsError, match="bucket 'nowhere' must exist"):
        act(open_store("s3://nowhere/bronze"))


@pytest.mark.parametrize("act", ACTS)
def test_an_s3_that_is_away_is_worth_another_try(aws: Emulator, monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(LakeUnavailable, match="did not answer"):
        act(open_store("s3://bronze/x"))


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="credentials"):
        open_store("s3://bronze/x").read("x")


def test_a_full_and_a_forbidden_disk_raise_and_the_next_write_succeeds(disk: Disk) -> None:
    root = disk.root / "bronze"
    store = open_store(str(root))
    store.put(PATHS[0], b"there")
    with disk.full(), pytest.raises(LakeUnavailable, match=r"cannot be written: (No space left|File too large).*again"):
        store.put(PATHS[1], bytes(100_000))
    with disk.forbidden():
        for act in ACTS:
            with pytest.raises(
                SettingsError, match=r"cannot be (written|read|listed): Permission denied\. Give this user"
            ):
                act(store)
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == {PATHS[0]}
    store.put(PATHS[1], bytes(100_000))
    assert list(store.list("Orders")) == PATHS[:2]
    assert len(store.read(PATHS[1])) == 100_000


def test_what_a_dead_writer_left_is_never_listed_and_the_next_writer_removes_it(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom medallion_assets.capture import store\n"
        "store.Path.replace = lambda source, target: os.kill(os.getpid(), 9)\n"
        f"store.open_store(sys.argv[1]).put({PATHS[0]!r}, b'half')\n"
    )
    bronze = open_store(str(tmp_path))
    bronze.put(PATHS[1], b"whole")
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    (left,) = (tmp_path / ".partial").iterdir()
    assert list(bronze.list("Orders")) == [PATHS[1]]
    open_store(str(tmp_path)).put(PATHS[2], b"")
    assert left.exists(), "its writer may be at work"
    os.utime(left, (left.stat().st_mtime - 4_000,) * 2)
    open_store(str(tmp_path)).put(PATHS[3], b"")
    assert not left.exists()
    assert list(bronze.list("Orders")) == PATHS[1:4]
