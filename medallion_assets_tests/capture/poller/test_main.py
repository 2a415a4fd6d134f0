"""The poller as a process: ready line, prompt delivery, kill -9, SIGTERM, and errors in one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets_tests.capture.poller.conftest import Stack, Wait, ids
from medallion_assets_tests.fixtures.disk import Disk


def command(stack: Stack, root: Path, *tables: str) -> list[str]:
    return [
        *(sys.executable, "-m", "medallion_assets.capture.poller", *tables),
        *("--bronze", stack.bronze_url, "--checkpoint", str(root / "checkpoint.sqlite")),
    ]


@contextmanager
def running(stack: Stack, root: Path, *tables: str) -> Iterator[subprocess.Popen[str]]:
    """A poller that has printed that it is ready; killed on exit if it still runs."""
    with subprocess.Popen(
        command(stack, root, *tables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None and child.stderr is not None
            line = child.stdout.readline()
            names = [table.partition("=")[0] for table in tables]
            assert line == f"ready: capturing {', '.join(names)}\n", child.stderr.read()
            yield child
        finally:
            child.kill()


def test_a_change_is_in_bronze_within_seconds_and_sigterm_ends_it_cleanly(
    stack: Stack, tmp_path: Path, until: Wait
) -> None:
    for table in ("Orders", "prod-Customers"):
        stack.create(table)
    with running(stack, tmp_path, "Orders", "Customers=prod-Customers") as child:
        started = time.monotonic()
        stack.write("Orders", 1)
        stack.write("prod-Customers", 1)
        until(lambda: ids(stack.store, "Orders") == ids(stack.store, "Customers") == ["o-1"])
        assert time.monotonic() - started < 5
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    with Checkpoint.open(tmp_path / "checkpoint.sqlite") as checkpoint:
        for table in ("Customers", "Orders"):
            stored = checkpoint.table(table)
            assert stored is not None and stored.gap is None
    with running(stack, tmp_path, "Orders", "Customers=prod-Customers"):
        stack.write("Orders", 2)
        until(lambda: len(ids(stack.store, "Orders")) >= 2)
    assert ids(stack.store, "Orders") == ["o-1", "o-2"]


@pytest.mark.slow
def test_killed_again_and_again_it_loses_nothing(stack: Stack, tmp_path: Path, until: Wait) -> None:
    stack.create("Orders")
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        client = boto3.client("dynamodb")
        while not stop.wait(0.01):
            client.put_item(TableName="Orders", Item={"OrderID": {"S": f"o-{len(written)}"}})
            written.append(len(written))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for life_s in (0.3, 1.4, 1.1, 1.7):
            with running(stack, tmp_path, "Orders") as child:
                time.sleep(life_s)
                os.kill(child.pid, signal.SIGKILL)
                assert child.wait(10) == -signal.SIGKILL
    finally:
        stop.set()
        writer.join()
    with running(stack, tmp_path, "Orders"):
        until(lambda: len(set(ids(stack.store, "Orders"))) == len(written))
    seen = ids(stack.store, "Orders")
    assert set(seen) == {f"o-{number}" for number in written}
    first = list(dict.fromkeys(seen))
    assert first == [f"o-{number}" for number in written], "the source's order is kept"
    assert len(seen) < 2 * len(written), "only the records of the last window are written again"
    assert stack.failed() == []


def test_a_gap_is_logged_and_has_an_exit_code_of_its_own(stack: Stack, tmp_path: Path, until: Wait) -> None:
    stack.create("Orders")
    with running(stack, tmp_path, "Orders"):
        stack.write("Orders", 1)
        until(lambda: ids(stack.store, "Orders") == ["o-1"])
    stack.switch_stream("Orders", on=False)
    stack.switch_stream("Orders", on=True)
    ended = subprocess.run(command(stack, tmp_path, "Orders"), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "table Orders lost changes" in ended.stderr and "backfill" in ended.stderr
    with Checkpoint.open(tmp_path / "checkpoint.sqlite") as checkpoint:
        stored = checkpoint.table("Orders")
        assert stored is not None and stored.gap is not None
    resumed = subprocess.Popen(
        [*command(stack, tmp_path, "Orders"), "--resume-after-gap", "Orders"], stdout=subprocess.PIPE, text=True
    )
    with resumed:
        assert resumed.stdout is not None
        assert resumed.stdout.readline().startswith("ready")
        resumed.kill()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: [*c[:3], "Nothing", *c[4:]], "no table Nothing with a stream"),
        (lambda c: [*c[:5], "s3://nowhere-at-all/bronze", *c[6:]], "bucket 'nowhere-at-all' must exist"),
        (lambda c: [*c[:5], "gs://bucket", *c[6:]], "neither s3://"),
        (lambda c: ["env", "AWS_ENDPOINT_URL=http://127.0.0.1:1", *c], "is the local stack running"),
        (lambda c: ["env", "-u", "AWS_REGION", "-u", "AWS_DEFAULT_REGION", *c], "AWS_DEFAULT_REGION"),
    ],
)
def test_what_keeps_it_from_starting_is_one_sentence_and_no_traceback(
    stack: Stack, tmp_path: Path, spoil: object, said: str
) -> None:
    assert callable(spoil)
    stack.create("Orders")
    spoiled = spoil(command(stack, tmp_path, "Orders"))
    ended = subprocess.run(spoiled, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_full_disk_under_its_checkpoint_ends_it_with_one_sentence_and_the_next_goes_on(
    stack: Stack, disk: Disk, until: Wait
) -> None:
    if not disk.mounted:
        pytest.skip("the limit that stands in for a full disk is this process's own")
    stack.create("Orders")
    with running(stack, disk.root, "Orders") as child, disk.full():
        assert child.stderr is not None
        number = 0
        while child.poll() is None:
            stack.write("Orders", number)
            number += 1
        said = child.stderr.read()
        assert child.returncode == 2
    (error,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "checkpoint cannot be used" in error and "Traceback" not in said
    stack.write("Orders", number)
    with running(stack, disk.root, "Orders"):
        until(lambda: set(ids(stack.store, "Orders")) == {f"o-{n}" for n in range(number + 1)})
    assert stack.failed() == []
