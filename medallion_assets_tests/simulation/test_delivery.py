"""The event source mapping, rule by rule, and what holds whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import EventSourceMapping, MappingSettings
from medallion_assets.simulation.faults import Died, Fault, Rates
from medallion_assets.simulation.table import Table
from medallion_assets_tests.simulation.rules import BATCHES, DISCARDED, FACTS, MAPPING, PARAMETERS, Rule, Rules

rule = Rules()


@dataclass
class Function:
    """A function that remembers what it was sent, and answers as it is told."""

    answer: Callable[[list[str]], Any] = lambda ids: None
    calls: list[list[str]] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        ids = [record["dynamodb"]["NewImage"]["n"]["N"] for record in event["Records"]]
        self.numbers |= {n: r["dynamodb"]["SequenceNumber"] for n, r in zip(ids, event["Records"], strict=True)}
        self.calls.append(ids)
        self.contexts.append(context)
        return self.answer(ids)

    def failing(self, *bad: str) -> Callable[[list[str]], Any]:
        """Answers that report those of a batch."""
        return lambda ids: {"batchItemFailures": [{"itemIdentifier": self.numbers[n]} for n in bad if n in ids]}

    def raising(self, *bad: str) -> Callable[[list[str]], Any]:
        """Raises for batches with one of those."""

        def answer(ids: list[str]) -> None:
            if set(ids) & set(bad):
                raise RuntimeError("bad record")

        return answer


@dataclass
class World:
    """One table with a stream, a function and a mapping between them."""

    cloud: Cloud
    table: Table
    function: Function

    def write(self, *numbers: int, item: str = "a") -> None:
        for n in numbers:
            self.table.put({"id": {"S": item}, "n": {"N": str(n)}})

    def mapping(self, **settings: Any) -> EventSourceMapping:
        queue = self.cloud.create_queue("failed")
        chosen = MappingSettings(**{"report_item_failures": True, **settings})
        return self.cloud.mapping(self.table, self.function, chosen, on_failure=queue)

    @property
    def given_up(self) -> list[Any]:
        return self.cloud.create_queue("failed").json()


def world(seed: int = 5, **rates: Any) -> World:
    cloud = Cloud(seed, **rates)
    return World(cloud, cloud.create_table("Orders", {"id": "S"}), Function())


@rule("a batch has at most BatchSize records, 100 by default", PARAMETERS)
def batch_size(w: World) -> None:
    w.write(*range(250))
    w.mapping().drain()
    assert [len(call) for call in w.function.calls] == [100, 100, 50]


@rule("a batch has at most 6 MB", MAPPING)
def payload(w: World) -> None:
    for n in range(40):
        w.table.put({"id": {"S": str(n)}, "n": {"N": str(n)}, "big": {"S": "x" * 390_000}})
    w.mapping().drain()
    assert len(w.function.calls[0]) == 16
    assert sum(map(len, w.function.calls)) == 40


@rule("without a window a batch goes at once, however small", MAPPING)
def no_window(w: World) -> None:
    w.write(1)
    w.mapping().drain()
    assert (w.function.calls, w.cloud.clock()) == ([["1"]], Cloud(1).clock())


@rule("with a window Lambda gathers until it is over or the batch is full", MAPPING)
def window(w: World) -> None:
    mapping = w.mapping(window_s=60, batch_size=5)
    w.cloud.scheduler.spawn("mapping", mapping.run())
    began = w.cloud.clock()
    w.write(1, 2)
    w.cloud.scheduler.run(until=lambda: bool(w.function.calls))
    assert 60 <= (w.cloud.clock() - began).total_seconds() <= 61
    w.write(3)
    began = w.cloud.clock()
    w.cloud.scheduler.run(until=lambda: (w.cloud.clock() - began).total_seconds() > 10)
    w.write(4, 5, 6, 7, 8)
    w.cloud.scheduler.run(until=lambda: len(w.function.calls) == 2)
    assert (w.cloud.clock() - began).total_seconds() < 12
    assert w.function.calls == [["1", "2"], ["3", "4", "5", "6", "7"]]


@rule("a batch of 6 MB does not wait for its window", MAPPING)
def full_payload(w: World) -> None:
    for n in range(20):
        w.table.put({"id": {"S": str(n)}, "n": {"N": str(n)}, "big": {"S": "x" * 390_000}})
    mapping = w.mapping(window_s=300)
    w.cloud.scheduler.spawn("mapping", mapping.run())
    w.cloud.scheduler.run(until=w.cloud.clock() + timedelta(seconds=1))
    assert [len(call) for call in w.function.calls] == [16]


@rule("a parent shard is delivered wholly before its children", FACTS)
def lineage(w: World) -> None:
    w.write(1, 2, 3)
    w.table.split()
    w.write(4)
    w.cloud.clock.advance(4 * 3_600)
    w.write(5)
    w.mapping(batch_size=2).drain()
    assert w.function.calls == [["1", "2"], ["3"], ["4"], ["5"]]


@rule("by default a bad record blocks its shard for 24 hours, and then its neighbours expire", FACTS)
def endless_retries(w: World) -> None:
    w.function.answer = w.function.raising("1")
    w.write(1, 2)
    mapping = w.mapping(batch_size=1)
    with pytest.raises(TimeoutError):
        mapping.drain(within_s=3_600)
    assert {*map(tuple, w.function.calls)} == {("1",)}
    mapping.drain()
    assert [m["requestContext"]["condition"] for m in w.given_up] == ["RecordAgeExceeded"]
    assert {*map(tuple, w.function.calls)} == {("1",)}
    assert (mapping.counts["given up"], mapping.counts["trimmed unread"]) == (1, 1)


@rule("MaximumRetryAttempts counts the attempts after the first; then the batch is given up", DISCARDED)
def retries(w: World) -> None:
    w.function.answer = w.function.raising("1")
    w.write(1, 2, 3)
    w.mapping(max_retries=2, batch_size=2).drain()
    assert w.function.calls == [["1", "2"]] * 3 + [["3"]]
    (message,) = w.given_up
    assert message["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert message["requestContext"]["approximateInvokeCount"] == 3


@rule("the on-failure message holds shard, range and times of the batch, not its records", DISCARDED)
def message_shape(w: World) -> None:
    w.function.answer = w.function.raising("1")
    w.write(1, 2)
    w.cloud.clock.advance(1)
    mapping = w.mapping(max_retries=0)
    mapping.drain()
    (message,) = w.given_up
    stream = w.table.streams[0]
    first, last = stream.records()
    assert message == {
        "version": "1.0",
        "timestamp": "2026-01-05T09:00:01.000Z",
        "requestContext": {
            "requestId": message["requestContext"]["requestId"],
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:capture",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "DDBStreamBatchInfo": {
            "shardId": stream.shards()[0].shard_id,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": "2026-01-05T09:00:00Z",
            "approximateArrivalOfLastRecord": "2026-01-05T09:00:00Z",
            "batchSize": 2,
            "streamArn": stream.arn,
        },
    }


@rule("without a destination what is given up is gone", DISCARDED)
def no_destination(w: World) -> None:
    w.function.answer = w.function.raising("1")
    w.write(1, 2)
    mapping = w.cloud.mapping(w.table, w.function, MappingSettings(max_retries=0, batch_size=1))
    mapping.drain()
    assert w.function.calls == [["1"], ["2"]]
    assert mapping.counts["given up"] == 1


@rule("MaximumRecordAgeInSeconds: older records are given up without a call", DISCARDED)
def age(w: World) -> None:
    w.write(1)
    w.cloud.clock.advance(61)
    w.write(2)
    w.mapping(max_record_age_s=60).drain()
    assert w.function.calls == [["2"]]
    (message,) = w.given_up
    assert message["requestContext"] | {"requestId": ""} == {
        "requestId": "",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:capture",
        "condition": "RecordAgeExceeded",
        "approximateInvokeCount": 0,
    }
    assert "responseContext" not in message


@rule("records that grow too old between retries are given up", DISCARDED)
def age_between_retries(w: World) -> None:
    w.function.answer = w.function.raising("1")
    w.write(1)
    w.mapping(max_record_age_s=60).drain()
    assert 3 < len(w.function.calls) < 20
    assert w.given_up[0]["requestContext"]["condition"] == "RecordAgeExceeded"
    assert w.given_up[0]["requestContext"]["approximateInvokeCount"] == len(w.function.calls)


@rule("BisectBatchOnFunctionError halves a failed batch, which takes no retry", DISCARDED)
def bisect(w: World) -> None:
    w.function.answer = w.function.raising("6")
    w.write(*range(1, 9))
    w.mapping(bisect=True, max_retries=1).drain()
    assert w.function.calls == [
        ["1", "2", "3", "4", "5", "6", "7", "8"],
        ["1", "2", "3", "4"],
        ["5", "6", "7", "8"],
        ["5", "6"],
        ["5"],
        ["6"],
        ["6"],
        ["7", "8"],
    ]
    assert [m["DDBStreamBatchInfo"]["batchSize"] for m in w.given_up] == [1]


@rule("partial failure: the lowest reported number is the checkpoint; from it on everything comes again", BATCHES)
def partial(w: World) -> None:
    w.write(1, 2, 3, 4, 5)
    seen: list[Any] = []

    def answer(ids: list[str]) -> Any:
        seen.append(ids)
        return w.function.failing("4", "3", "5")(ids) if len(seen) == 1 else {"batchItemFailures": []}

    w.function.answer = answer
    mapping = w.mapping()
    mapping.drain()
    assert w.function.calls == [["1", "2", "3", "4", "5"], ["3", "4", "5"]]
    assert mapping.counts["partial failures"] == 1


@rule("retries of a partial failure are counted; then what is left of the batch is given up", BATCHES)
def partial_retries(w: World) -> None:
    w.function.answer = w.function.failing("3")
    w.write(1, 2, 3, 4)
    w.mapping(max_retries=2).drain()
    assert w.function.calls == [["1", "2", "3", "4"], ["3", "4"], ["3", "4"]]
    (message,) = w.given_up
    assert message["DDBStreamBatchInfo"]["batchSize"] == 2
    assert "functionError" not in message["responseContext"]


@rule("with bisect a batch is split at the reported number, and only the rest is retried", BATCHES)
def partial_and_bisect(w: World) -> None:
    w.function.answer = w.function.failing("3")
    w.write(1, 2, 3, 4, 5)
    w.mapping(max_retries=0, bisect=True).drain()
    assert w.function.calls[:2] == [["1", "2", "3", "4", "5"], ["3", "4", "5"]]
    assert [n for call in w.function.calls[2:] for n in call][-2:] == ["4", "5"]
    assert [m["DDBStreamBatchInfo"]["batchSize"] for m in w.given_up] == [1]


@rule("without ReportBatchItemFailures an answer says nothing", BATCHES)
def reports_ignored(w: World) -> None:
    w.function.answer = w.function.failing("1")
    w.write(1, 2)
    mapping = w.mapping(report_item_failures=False)
    mapping.drain()
    assert w.function.calls == [["1", "2"]]


SUCCESSES: list[Any] = [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}, {"other": 1}]
FAILURES: list[Any] = [
    {"batchItemFailures": [{"itemIdentifier": ""}]},
    {"batchItemFailures": [{"itemIdentifier": None}]},
    {"batchItemFailures": [{"itemIdentifyer": "1"}]},
    {"batchItemFailures": [{"itemIdentifier": 1}]},
    {"batchItemFailures": ["1"]},
    {"batchItemFailures": "1"},
    {"batchItemFailures": [{"itemIdentifier": "9" * 30}]},
    "done",
]


@pytest.mark.parametrize("answer", SUCCESSES, ids=str)
def test_an_answer_that_is_a_success(answer: Any) -> None:
    """Source: Configuring partial batch response with DynamoDB and Lambda, "Success and failure conditions"."""
    w = world()
    w.function.answer = lambda ids: answer
    w.write(1, 2)
    w.mapping(max_retries=1).drain()
    assert w.function.calls == [["1", "2"]]


@pytest.mark.parametrize("answer", FAILURES, ids=str)
def test_an_answer_that_fails_the_whole_batch(answer: Any) -> None:
    """Source: as above; that a foreign number fails all is our reading."""
    w = world()
    w.function.answer = lambda ids: answer
    w.write(1, 2)
    w.mapping(max_retries=1).drain()
    assert w.function.calls == [["1", "2"]] * 2
    assert w.given_up[0]["DDBStreamBatchInfo"]["batchSize"] == 2


@rule("a function that ran longer than its timeout has failed", MAPPING)
def timeout(w: World) -> None:
    def slow(ids: list[str]) -> None:
        if len(w.function.calls) == 1:
            w.cloud.clock.advance(61)

    w.function.answer = slow
    w.write(1)
    mapping = w.mapping(timeout_s=60)
    mapping.drain()
    assert (w.function.calls, mapping.counts["errors"]) == ([["1"], ["1"]], 1)
    assert w.function.contexts[0].get_remaining_time_in_millis() == 0
    assert 0 < w.function.contexts[1].get_remaining_time_in_millis() <= 60_000


@rule("a function that dies has failed; the next call finds a new process", MAPPING)
def death(w: World) -> None:
    dying = world(script=[Fault("disk.write", 0, "death after")])
    done = []

    def answer(ids: list[str]) -> None:
        dying.cloud.faults.call("disk.write", lambda: done.append(ids), error=RuntimeError)

    dying.function.answer = answer
    dying.write(1)
    dying.mapping().drain()
    assert done == [["1"], ["1"]]
    assert not dying.cloud.faults.dead


@rule("what cannot be called is tried again without counting as a retry", DISCARDED)
def throttled(w: World) -> None:
    busy = world(script=[Fault("lambda.invoke", n, "error before") for n in range(5)])
    busy.write(1)
    mapping = busy.mapping(max_retries=0)
    mapping.drain()
    assert (busy.function.calls, mapping.counts["not invoked"], busy.given_up) == ([["1"]], 5, [])


@rule("ParallelizationFactor: several batches of a shard at once, an item's changes in order", MAPPING)
def parallel(w: World) -> None:
    for n in range(60):
        w.write(n, item=str(n % 12))
    w.function.answer = w.function.raising("0")
    mapping = w.mapping(parallelization_factor=4, batch_size=3)
    with pytest.raises(TimeoutError):
        mapping.drain(within_s=600)
    delivered = [int(n) for call in w.function.calls for n in call if "0" not in call]
    for item in range(1, 12):
        of_item = [n for n in delivered if n % 12 == item]
        assert of_item == sorted(of_item)
    # Only the lane of item 0 is blocked.
    assert 30 < len(delivered) < 60


@rule("a child shard waits for all lanes of its parent", MAPPING)
def parallel_lineage(w: World) -> None:
    for n in range(12):
        w.write(n, item=str(n))
    w.function.answer = w.function.raising("0")
    w.table.split()
    w.write(99, item="1")
    mapping = w.mapping(parallelization_factor=4, batch_size=3)
    with pytest.raises(TimeoutError):
        mapping.drain(within_s=600)
    delivered = {n for call in w.function.calls for n in call}
    assert len(delivered) > 3
    assert "99" not in delivered


@rule("LATEST begins with what comes from now on, in new shards with their first record", PARAMETERS)
def latest(w: World) -> None:
    w.write(1)
    mapping = w.mapping(starting_position="LATEST")
    w.write(2)
    w.table.split()
    w.write(3)
    mapping.drain()
    assert w.function.calls == [["2"], ["3"]]


@rule("delivery is at least once: batches come again, also from an older checkpoint on", FACTS)
def duplicates(w: World) -> None:
    again = world(seed=1, rates={"lambda.deliver": Rates(odd=0.3)})
    again.write(*range(40))
    again.mapping(batch_size=4).drain()
    delivered = [int(n) for call in again.function.calls for n in call]
    assert len(delivered) > 40
    assert set(delivered) == set(range(40))
    assert again.cloud.faults.by_kind().keys() == {"batch again", "older checkpoint"}


@rule("what was trimmed before it was delivered is lost without an error", FACTS)
def trimmed(w: World) -> None:
    w.write(1)
    mapping = w.mapping()
    w.cloud.clock.advance(3_600)
    w.write(2)
    w.cloud.clock.advance(23 * 3_600)
    mapping.drain()
    assert w.function.calls == [["2"]]
    assert mapping.counts["trimmed unread"] == 1


@rule("a mapping ends with its stream", MAPPING)
def stream_ends(w: World) -> None:
    w.write(1)
    mapping = w.mapping()
    w.table.disable_stream()
    task = w.cloud.scheduler.spawn("mapping", mapping.run())
    w.cloud.scheduler.run()
    assert (task.done(), w.function.calls) == (True, [["1"]])


@pytest.mark.parametrize("one", rule.rules, ids=str)
def test_rule(one: Rule) -> None:
    one.check(world())


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": 10_001},
        {"window_s": 301},
        {"max_record_age_s": 59},
        {"parallelization_factor": 11},
    ],
    ids=str,
)
def test_settings_that_aws_refuses(wrong: dict[str, Any]) -> None:
    """Source: Lambda parameters for DynamoDB event source mappings."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MappingSettings(**wrong)


@given(
    seed=st.integers(0, 2**32),
    batch_size=st.integers(1, 20),
    window_s=st.sampled_from([0.0, 30.0, 300.0]),
    factor=st.integers(1, 5),
    bisect_=st.booleans(),
    report=st.booleans(),
    writes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3_000)), min_size=1, max_size=40),
)
def test_whatever_goes_wrong_everything_arrives_in_the_order_of_its_item(
    *,
    seed: int,
    batch_size: int,
    window_s: float,
    factor: int,
    bisect_: bool,
    report: bool,
    writes: list[tuple[int, int]],
) -> None:
    """With unlimited retries: each record arrives, and after its first arrival no later one of its item came before."""
    cloud = Cloud(seed, rates=Rates(before=0.1, after=0.1, delay=0.1, death=0.05, outage=0.02, odd=0.1))
    table = cloud.create_table("Orders", {"id": "S"}, shards=2, split_rate=0.3)
    dice = cloud.dice("function")
    arrived: list[tuple[str, int]] = []

    def function(event: dict[str, Any], context: Any) -> Any:
        for record in event["Records"]:
            change = record["dynamodb"]
            if dice.random() < 0.1:
                if not report or dice.random() < 0.5:
                    raise RuntimeError("function failed half-way")
                return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
            try:
                cloud.faults.call("disk.write", lambda: None, error=RuntimeError)
            except Died:
                arrived.append((change["Keys"]["id"]["S"], int(change["SequenceNumber"])))
                raise
            arrived.append((change["Keys"]["id"]["S"], int(change["SequenceNumber"])))
        return None

    mapping = cloud.mapping(
        table,
        function,
        MappingSettings(
            batch_size=batch_size,
            window_s=window_s,
            parallelization_factor=factor,
            bisect=bisect_,
            report_item_failures=report,
            poll_s=30,
        ),
    )
    cloud.scheduler.spawn("mapping", mapping.run())
    written: dict[str, list[int]] = {}
    for n, (item, wait_s) in enumerate(writes):
        record = table.put({"id": {"S": str(item)}, "n": {"N": str(n)}})
        assert record is not None
        written.setdefault(str(item), []).append(record.number)
        cloud.scheduler.run(until=cloud.clock() + timedelta(seconds=wait_s))
    mapping.drain()
    firsts: dict[str, list[int]] = {}
    for item_id, number in arrived:
        seen = firsts.setdefault(item_id, [])
        if number not in seen:
            seen.append(number)
    assert firsts == written
