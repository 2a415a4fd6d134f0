"""Reading one shard: the real stream, with the faults AWS documents injected before its answers."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from medallion_assets.capture.poller.checkpoint import ShardCheckpoint
from medallion_assets.capture.poller.reader import Page, ShardReader
from medallion_assets.capture.poller.shards import list_shards
from medallion_assets.errors import StreamGap
from medallion_assets_tests.capture.poller.conftest import FAST, Faulty, Stack


def fault(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Call")


def reader(
    stack: Stack, arn: str, client: Any = None, *, sequence: str | None = None, first: bool = True, age_h: float = 0
) -> ShardReader:
    (shard,) = list_shards(stack.streams, arn)
    now = datetime.now(UTC)
    return ShardReader(
        client or stack.streams,
        arn,
        shard,
        ShardCheckpoint(now - timedelta(hours=age_h), first, sequence, False),
        settings=FAST,
        clock=lambda: now,
    )


def page(reads: ShardReader) -> Page:
    """The next page, without waiting."""
    steps = reads.page()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Page = end.value
            return answer


def keys(records: list[dict[str, Any]]) -> list[str]:
    return [record["dynamodb"]["Keys"]["OrderID"]["S"] for record in records]


def test_records_come_in_order_and_an_empty_open_shard_goes_on(stack: Stack) -> None:
    arn = stack.create("Orders")
    reads = reader(stack, arn)
    assert page(reads) == ([], False)
    stack.write("Orders", 1, 2)
    got = page(reads)
    assert (keys(got.records), got.closed) == (["o-1", "o-2"], False)
    assert {record["eventSourceARN"] for record in got.records} == {arn}
    assert page(reads) == ([], False)
    stack.write("Orders", 3)
    assert keys(page(reads).records) == ["o-3"]


def test_a_disabled_stream_is_read_to_its_end(stack: Stack) -> None:
    arn = stack.create("Orders")
    reads = reader(stack, arn)
    stack.write("Orders", 1)
    stack.switch_stream("Orders", on=False)
    got = page(reads)
    assert (keys(got.records), got.closed) == (["o-1"], True)


def test_reading_continues_after_the_checkpoint(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1, 2, 3)
    second = page(reader(stack, arn)).records[1]["dynamodb"]["SequenceNumber"]
    assert keys(page(reader(stack, arn, sequence=second)).records) == ["o-3"]


def iterators_asked(stack: Stack) -> list[str]:
    """The kinds of iterators asked for from now on."""
    asked: list[str] = []
    stack.streams.meta.events.register(
        "provide-client-params.dynamodb-streams.GetShardIterator",
        lambda params, **_: asked.append(params["ShardIteratorType"]),
    )
    return asked


def test_an_expired_iterator_is_replaced_where_it_stood(stack: Stack) -> None:
    arn = stack.create("Orders")
    asked = iterators_asked(stack)
    faults: list[Exception] = [fault("ExpiredIteratorException")]
    reads = reader(stack, arn, Faulty(stack.streams, get_records=faults))
    stack.write("Orders", 1)
    assert keys(page(reads).records) == ["o-1"]
    faults.append(fault("ExpiredIteratorException"))
    stack.write("Orders", 2)
    assert keys(page(reads).records) == ["o-2"]
    assert asked == ["TRIM_HORIZON", "TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"]


def test_a_busy_or_absent_aws_is_waited_for(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    client = Faulty(
        stack.streams,
        get_shard_iterator=[fault("ThrottlingException"), EndpointConnectionError(endpoint_url="http://x")],
        get_records=[fault("LimitExceededException"), fault("InternalServerError", 500), fault("Whatever", 503)],
    )
    assert keys(page(reader(stack, arn, client)).records) == ["o-1"]
    assert keys(page(reader(stack, arn, client)).records) == ["o-1"]


def test_what_waiting_does_not_cure_is_raised(stack: Stack) -> None:
    arn = stack.create("Orders")
    client = Faulty(stack.streams, get_records=[fault("AccessDeniedException")])
    with pytest.raises(ClientError, match="AccessDenied"):
        page(reader(stack, arn, client))


def test_records_trimmed_behind_the_mark_are_a_gap(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    with pytest.raises(StreamGap, match="trimmed before they were read"):
        page(reader(stack, arn, sequence="0" * 21))


def test_a_shard_that_is_gone_is_a_gap(stack: Stack) -> None:
    arn = stack.create("Orders")
    client = Faulty(stack.streams, get_shard_iterator=[fault("ResourceNotFoundException")])
    with pytest.raises(StreamGap, match="no longer exists"):
        page(reader(stack, arn, client))


def test_a_child_shard_is_read_from_its_first_record_or_it_is_a_gap(stack: Stack) -> None:
    """TRIM_HORIZON starts at whatever is left, without a word about what is not."""
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    asked = iterators_asked(stack)
    assert keys(page(reader(stack, arn, first=False)).records) == ["o-1"]
    assert asked == ["AT_SEQUENCE_NUMBER"]
    client = Faulty(stack.streams, get_shard_iterator=[fault("TrimmedDataAccessException")])
    with pytest.raises(StreamGap):
        page(reader(stack, arn, client, first=False))


def test_a_first_number_that_aws_does_not_start_at_is_no_gap(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    client = Faulty(stack.streams, get_shard_iterator=[fault("ValidationException")])
    assert keys(page(reader(stack, arn, client, first=False)).records) == ["o-1"]


def test_what_was_trimmed_before_capture_began_is_no_gap(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    client = Faulty(stack.streams, get_records=[fault("TrimmedDataAccessException")])
    assert keys(page(reader(stack, arn, client)).records) == ["o-1"]


def test_a_shard_without_a_mark_that_was_left_alone_for_a_day_is_a_gap(stack: Stack) -> None:
    arn = stack.create("Orders")
    with pytest.raises(StreamGap, match="24 hours"):
        page(reader(stack, arn, age_h=24.1))
    assert page(reader(stack, arn, age_h=23.9)) == ([], False)


def test_a_reader_may_be_dropped_while_it_waits_for_aws(stack: Stack) -> None:
    arn = stack.create("Orders")
    stack.write("Orders", 1)
    reads = reader(stack, arn, Faulty(stack.streams, get_records=[fault("ThrottlingException")] * 5))
    with closing(reads.page()) as waits:
        assert list(islice(waits, 5)) == [FAST.backoff(failures) for failures in range(1, 6)]
    assert keys(page(reads).records) == ["o-1"]
