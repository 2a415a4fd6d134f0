"""Histories of a table whose changes come by Kinesis: several times, in any order, in any batches."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.capture.kinesis import KinesisTables, receive
from medallion_assets_tests.capture.kinesis_events import of_kinesis, sent_change
from medallion_assets_tests.silver.changes import NOON, Bench, bench_on_files, contract, record

ORDERS = contract("Orders", {"Id": "string", "Amount": "int", "Seal": "binary"}, key="Id")
SINCE = datetime(2026, 3, 2, tzinfo=UTC)
"""Later than the label of the stream that `record` makes."""

TABLES = KinesisTables({"Orders": SINCE})
FIRST = int(NOON.timestamp() * 1_000_000)


def deliver(bench: Bench, *sent: dict[str, Any]) -> None:
    received = [receive(of_kinesis(each), TABLES) for each in sent]
    assert all(one is not None and one.refused is None for one in received)
    bench.put(*(one.record for one in received if one is not None))


def change(at: int, key: str, amount: int | None) -> dict[str, Any]:
    """A change at a microsecond; without an amount a deletion."""
    twice = base64.b64encode(base64.b64encode(bytes([at % 256]))).decode()
    new = None if amount is None else {"Amount": {"N": str(amount)}, "Seal": {"B": twice}}
    return sent_change(FIRST + at, {"Id": {"S": key}}, new)


def rows(bench: Bench) -> dict[str, tuple[int, bytes]]:
    return {row["id"]: (row["amount"], row["seal"]) for row in bench.rows("orders")}


@pytest.mark.parametrize("seed", range(4))
def test_the_newest_change_of_each_key_wins_whatever_kinesis_does(tmp_path: Path, seed: int) -> None:
    """After each merge Silver has, of what was delivered until then, the newest; at the end it is the table."""
    dice = random.Random(seed)
    history: list[tuple[int, str, int | None]] = []
    at = 0
    for number in range(60):
        at += dice.choice([1, 1, 40, 5_000])
        history.append((at, f"o-{dice.randrange(8)}", None if dice.random() < 0.25 else number))
    deliveries = history + dice.choices(history, k=40)
    dice.shuffle(deliveries)
    seen: dict[str, tuple[int, int | None]] = {}
    with bench_on_files(tmp_path, ORDERS) as bench:
        while deliveries:
            batch = [deliveries.pop() for _ in range(min(len(deliveries), dice.randrange(1, 12)))]
            deliver(bench, *(change(*each) for each in batch))
            for moment, key, amount in batch:
                seen[key] = max(seen.get(key, (0, None)), (moment, amount), key=lambda one: one[0])
            if dice.random() < 0.6 or not deliveries:
                assert all(result.published for result in bench.merge_pending("orders"))
                expected = {
                    key: (amount, bytes([moment % 256])) for key, (moment, amount) in seen.items() if amount is not None
                }
                assert rows(bench) == expected
        before = rows(bench)
        bench.remerge_day("orders")
        assert rows(bench) == before


def test_changes_by_kinesis_follow_those_of_an_earlier_stream_of_dynamodb(tmp_path: Path) -> None:
    """The numbers of DynamoDB Streams are greater than any time in microseconds."""
    with bench_on_files(tmp_path, ORDERS) as bench:
        bench.put(record("Orders", 10**22, {"Id": {"S": "o-1"}}, {"Amount": {"N": "1"}}))
        deliver(bench, change(5, "o-1", 2))
        bench.put(record("Orders", 10**22 + 1, {"Id": {"S": "o-1"}}, {"Amount": {"N": "3"}}))
        bench.merge_pending("orders")
        assert rows(bench)["o-1"][0] == 2
