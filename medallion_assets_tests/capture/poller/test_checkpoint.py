"""The poller's memory."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.poller.checkpoint import Checkpoint, ShardCheckpoint, TableCheckpoint
from medallion_assets.errors import CheckpointUnusable, SettingsError
from medallion_assets_tests.fixtures.disk import Disk

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
ARN = "arn:aws:dynamodb:us-east-1:1:table/Orders/stream/2026"


def begun(checkpoint: Checkpoint) -> None:
    checkpoint.begin_capture("Orders", ARN, ["shard-1", "shard-2"], now=NOW)


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoint.sqlite"
    with Checkpoint.open(path) as checkpoint:
        begun(checkpoint)
        checkpoint.add_shards(ARN, ["shard-3"], now=NOW)
        checkpoint.advance("Orders", "shard-1", "000111", NOW)
        checkpoint.finish_shard(ARN, "shard-2", now=NOW)
    with Checkpoint.open(path) as checkpoint:
        assert checkpoint.table("Orders") == TableCheckpoint("Orders", ARN, None, NOW)
        assert checkpoint.table("Customers") is None
        assert checkpoint.shards(ARN) == {
            "shard-1": ShardCheckpoint(NOW, True, "000111", False),
            "shard-2": ShardCheckpoint(NOW, True, None, True),
            "shard-3": ShardCheckpoint(NOW, False, None, False),
        }


def test_a_commit_survives_kill_nine(tmp_path: Path) -> None:
    code = (
        "import sys, os\nfrom pathlib import Path\nfrom datetime import datetime, UTC\n"
        "from medallion_assets.capture.poller.checkpoint import Checkpoint\n"
        f"with Checkpoint.open(Path({str(tmp_path / 'c.sqlite')!r})) as c:\n"
        "    now = datetime.now(UTC)\n"
        f"    c.begin_capture('Orders', {ARN!r}, ['s'], now=now)\n"
        "    for n in range(10**9):\n"
        "        c.advance('Orders', 's', str(n), None); os.write(1, b'%d\\n' % n)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(50)]
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.read().splitlines()
    with Checkpoint.open(tmp_path / "c.sqlite") as checkpoint:
        noted = checkpoint.shards(ARN)["s"].sequence_number
        assert noted is not None
        assert int(noted) >= max(int(line) for line in said if line.strip())


def test_a_second_poller_on_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Checkpoint.open(path), pytest.raises(SettingsError, match="another poller"), Checkpoint.open(path):
        pass
    with Checkpoint.open(tmp_path / "c.sqlite"):
        pass


def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_text("my thesis" * 1_000)
    with pytest.raises(SettingsError, match="cannot be used"), Checkpoint.open(path):
        pass
    assert path.read_text().startswith("my thesis")


def test_the_capture_time_never_goes_back(checkpoint: Checkpoint) -> None:
    begun(checkpoint)
    checkpoint.advance("Orders", "shard-1", "1", NOW)
    checkpoint.advance("Orders", "shard-2", "2", NOW - timedelta(microseconds=1))
    checkpoint.advance("Orders", "shard-2", "3", None)
    mark = checkpoint.table("Orders")
    assert mark is not None and mark.captured_at == NOW


def test_a_forgotten_table_starts_again(checkpoint: Checkpoint) -> None:
    begun(checkpoint)
    checkpoint.begin_capture("Customers", ARN.replace("Orders", "Customers"), [], now=NOW)
    checkpoint.mark_gap("Orders", "trimmed")
    checkpoint.forget("Orders")
    assert checkpoint.table("Orders") is None
    assert checkpoint.shards(ARN) == {}
    assert checkpoint.table("Customers") is not None
    begun(checkpoint)


def test_shards_that_ended_long_ago_are_forgotten_but_not_those_that_may_have_children(checkpoint: Checkpoint) -> None:
    begun(checkpoint)
    checkpoint.finish_shard(ARN, "shard-1", now=NOW)
    checkpoint.finish_shard(ARN, "shard-2", now=NOW + timedelta(days=2))
    assert set(checkpoint.shards(ARN)) == {"shard-1", "shard-2"}
    checkpoint.add_shards(ARN, ["shard-3"], now=NOW)
    checkpoint.finish_shard(ARN, "shard-3", now=NOW + timedelta(days=8))
    assert set(checkpoint.shards(ARN)) == {"shard-2", "shard-3"}


def test_coverage_continues_after_the_object_before_and_counts_dead_letters_since(checkpoint: Checkpoint) -> None:
    begun(checkpoint)
    first = ShardCoverage(stream_arn=ARN, shard_id="shard-1", after=None, up_to="5", dead_lettered=0)
    assert checkpoint.next_coverage(ARN, "shard-1", up_to="5") == first
    checkpoint.advance("Orders", "shard-1", "5", NOW)
    checkpoint.advance("Orders", "shard-1", "6", None)
    checkpoint.advance("Orders", "shard-1", "7", None)
    assert checkpoint.next_coverage(ARN, "shard-1", up_to="9") == replace(first, after="5", up_to="9", dead_lettered=2)
    checkpoint.advance("Orders", "shard-1", "9", NOW)
    assert checkpoint.next_coverage(ARN, "shard-1", up_to="12") == replace(first, after="9", up_to="12")
    assert checkpoint.next_coverage(ARN, "shard-2", up_to="1") == replace(first, shard_id="shard-2", up_to="1")


def test_a_file_of_another_version_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE shards (stream_arn TEXT NOT NULL, shard_id TEXT NOT NULL, sequence_number TEXT)")
    with Checkpoint.open(path) as checkpoint, pytest.raises(CheckpointUnusable, match=r"no column.*another version"):
        begun(checkpoint)


def test_a_full_disk_raises_and_what_was_stored_before_stays(disk: Disk) -> None:
    path = disk.root / "c.sqlite"
    with Checkpoint.open(path) as checkpoint:
        begun(checkpoint)
        checkpoint.advance("Orders", "shard-1", "1", NOW)
        with disk.full(), pytest.raises(CheckpointUnusable, match=r"cannot be used \(.*full.*start the poller again"):
            for number in range(2, 10_000):
                checkpoint.advance("Orders", "shard-1", str(number), NOW)
        assert checkpoint.shards(ARN)["shard-1"].sequence_number == str(number - 1)
        checkpoint.advance("Orders", "shard-1", str(number), NOW)
    with Checkpoint.open(path) as checkpoint:
        assert checkpoint.shards(ARN)["shard-1"].sequence_number == str(number)


def test_a_folder_without_permission_or_space_is_refused(disk: Disk) -> None:
    path = disk.root / "new" / "c.sqlite"
    refused = pytest.raises(SettingsError, match="cannot be written: Permission denied")
    with disk.forbidden(), refused, Checkpoint.open(path):
        pass
    with disk.full(), pytest.raises(SettingsError, match=r"disk|space|large"), Checkpoint.open(path):
        pass
    with Checkpoint.open(path) as checkpoint:
        begun(checkpoint)
