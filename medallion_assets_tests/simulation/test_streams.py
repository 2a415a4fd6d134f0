"""Streams over hours and days: shards, retention, iterators, sequence numbers, TTL. Only virtual time makes these
testable, so they run on the simulation alone."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.faults import Rates
from medallion_assets.simulation.streams import Shard, Stream
from medallion_assets.simulation.table import Table
from medallion_assets_tests.simulation.rules import (
    API,
    CONSISTENCY,
    FACTS,
    STREAMS,
    STREAMS_API,
    TTL,
    Rule,
    Rules,
)

rule = Rules()
HOUR = 3_600.0


def orders(cloud: Cloud, *, shards: int = 1, split_rate: float = 0.0) -> tuple[Table, Stream]:
    table = cloud.create_table("Orders", {"id": "S"}, ttl="until", shards=shards, split_rate=split_rate)
    assert table.stream is not None
    return table, table.stream


def put(table: Table, id_: str, n: int) -> Any:
    return table.put({"id": {"S": id_}, "n": {"N": str(n)}})


def iterator(cloud: Cloud, stream: Stream, shard: Shard, kind: Any, number: str | None = None) -> str:
    named: Any = {} if number is None else {"SequenceNumber": number}
    return cloud.streams.get_shard_iterator(
        StreamArn=stream.arn, ShardId=shard.shard_id, ShardIteratorType=kind, **named
    )["ShardIterator"]


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


@rule("a shard is closed after 4 hours and has a child, though nothing was written", FACTS)
def shards_roll(cloud: Cloud) -> None:
    _, stream = orders(cloud)
    (first,) = stream.shards()
    cloud.clock.advance(4 * HOUR - 1)
    assert stream.shards() == [first]
    cloud.clock.advance(1)
    closed, child = stream.shards()
    assert (closed, child.parent_id, child.closed_at) == (first, first.shard_id, None)
    assert closed.ending is not None
    assert child.starting > closed.ending
    cloud.clock.advance(8 * HOUR)
    assert len(stream.shards()) == 4


@rule("a shard that splits has two children, which hold its keys between them", STREAMS)
def shards_split(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    ids = [str(n) for n in range(40)]
    for id_ in ids:
        put(table, id_, 1)
    table.split()
    for id_ in ids:
        put(table, id_, 2)
    parent, left, right = stream.shards()
    assert left.parent_id == right.parent_id == parent.shard_id
    assert parent.ending is not None
    halves = [{record.item_key for record in shard.records} for shard in (left, right)]
    assert len(parent.records) == 40
    assert all(halves)
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == {(id_,) for id_ in ids}


@rule("DescribeStream: a closed shard has an ending number, an open one has not", STREAMS_API + "DescribeStream")
def described(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    put(table, "a", 1)
    table.split()
    parent, *children = cloud.streams.describe_stream(StreamArn=stream.arn)["StreamDescription"]["Shards"]
    ends = parent["SequenceNumberRange"]
    assert int(ends["StartingSequenceNumber"]) <= int(ends["EndingSequenceNumber"])
    assert "ParentShardId" not in parent
    for child in children:
        assert child["ParentShardId"] == parent["ShardId"]
        assert "EndingSequenceNumber" not in child["SequenceNumberRange"]


@rule("DescribeStream answers page by page, 100 shards at most", STREAMS_API + "DescribeStream")
def described_in_pages(cloud: Cloud) -> None:
    _, stream = orders(cloud, shards=130)
    cloud.clock.advance(5 * HOUR)
    ids: list[str] = []
    start: Any = {}
    sizes = []
    while True:
        page = cloud.streams.describe_stream(StreamArn=stream.arn, **start)["StreamDescription"]
        sizes.append(len(page["Shards"]))
        ids += [shard["ShardId"] for shard in page["Shards"]]
        if "LastEvaluatedShardId" not in page:
            break
        start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
    assert max(sizes) == 100
    assert sorted(ids) == sorted(shard.shard_id for shard in stream.shards())


@rule("records are gone after 24 hours, and a number that is gone is TrimmedDataAccessException", FACTS)
def trimming(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    put(table, "a", 1)
    cloud.clock.advance(HOUR)
    put(table, "a", 2)
    first, second = stream.records()
    (shard,) = stream.shards()
    at_first = iterator(cloud, stream, shard, "AT_SEQUENCE_NUMBER", first.sequence_number)
    cloud.clock.advance(23 * HOUR - 1)
    assert stream.records() == [first, second]
    at_first = iterator(cloud, stream, shard, "TRIM_HORIZON")
    cloud.clock.advance(1)
    assert stream.records() == [second]
    with pytest.raises(ClientError) as trimmed:
        cloud.streams.get_records(ShardIterator=at_first)
    assert code(trimmed) == "TrimmedDataAccessException"
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        with pytest.raises(ClientError) as trimmed:
            iterator(cloud, stream, shard, kind, first.sequence_number)
        assert code(trimmed) == "TrimmedDataAccessException"
    answer = cloud.streams.get_records(ShardIterator=iterator(cloud, stream, shard, "TRIM_HORIZON"))
    assert [record["dynamodb"]["SequenceNumber"] for record in answer["Records"]] == [second.sequence_number]
    assert "NextShardIterator" not in answer


@rule("a shard vanishes when nothing it held is left: ResourceNotFoundException", STREAMS_API + "GetShardIterator")
def shards_vanish(cloud: Cloud) -> None:
    _, stream = orders(cloud)
    (first,) = stream.shards()
    cloud.clock.advance(28 * HOUR)
    assert first not in stream.shards()
    with pytest.raises(cloud.streams.exceptions.ResourceNotFoundException):
        iterator(cloud, stream, first, "TRIM_HORIZON")


@rule("a disabled stream is readable for 24 hours", STREAMS)
def disabled_streams_vanish(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    put(table, "a", 1)
    table.disable_stream()
    cloud.clock.advance(24 * HOUR - 1)
    assert len(stream.records()) == 1
    cloud.clock.advance(1)
    with pytest.raises(cloud.streams.exceptions.ResourceNotFoundException):
        cloud.streams.describe_stream(StreamArn=stream.arn)
    assert cloud.streams.list_streams(TableName="Orders")["Streams"] == []


@rule("an iterator expires 15 minutes after it was given", STREAMS_API + "GetShardIterator")
def iterators_expire(cloud: Cloud) -> None:
    _, stream = orders(cloud)
    given_ = iterator(cloud, stream, stream.shards()[0], "TRIM_HORIZON")
    cloud.clock.advance(15 * 60 - 1)
    following = cloud.streams.get_records(ShardIterator=given_)["NextShardIterator"]
    cloud.clock.advance(1)
    with pytest.raises(ClientError) as expired:
        cloud.streams.get_records(ShardIterator=given_)
    assert code(expired) == "ExpiredIteratorException"
    cloud.streams.get_records(ShardIterator=following)


@rule("a closed shard ends: no NextShardIterator after its last record", STREAMS_API + "GetRecords")
def closed_shards_end(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    put(table, "a", 1)
    put(table, "a", 2)
    table.split()
    parent = stream.shards()[0]
    half = cloud.streams.get_records(ShardIterator=iterator(cloud, stream, parent, "TRIM_HORIZON"), Limit=1)
    rest = cloud.streams.get_records(ShardIterator=half["NextShardIterator"])
    assert (len(half["Records"]), len(rest["Records"]), "NextShardIterator" in rest) == (1, 1, False)


@rule("a shard may answer empty though more follows", STREAMS_API + "GetRecords")
def held_back(cloud: Cloud) -> None:
    odd = Cloud(cloud.seed, rates={"streams.get_records": Rates(odd=0.5)})
    table, stream = orders(odd)
    for n in range(20):
        put(table, "a", n)
    following = iterator(odd, stream, stream.shards()[0], "TRIM_HORIZON")
    pages: list[int] = []
    while sum(pages) < 20:
        answer = odd.streams.get_records(ShardIterator=following, Limit=1)
        pages.append(len(answer["Records"]))
        following = answer["NextShardIterator"]
    assert 0 in pages
    assert odd.faults.by_kind().keys() <= {"empty though more follows", "short page"}


@rule("TTL: an item is there until it is deleted by the service, which says so", TTL)
def ttl(cloud: Cloud) -> None:
    table, _ = orders(cloud)
    soon, later = (int(cloud.clock().timestamp()) + seconds for seconds in (60, 7_200))
    for id_, until in {"soon": soon, "later": later, "past": soon - 6 * 365 * 86_400}.items():
        table.put({"id": {"S": id_}, "until": {"N": str(until)}})
    table.put({"id": {"S": "text"}, "until": {"S": str(soon)}})
    cloud.clock.advance(HOUR)
    assert len(table) == 4
    (record,) = table.expire()
    assert record.item_key == ("soon",)
    assert record.for_lambda()["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert record.for_boto3()["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert record.event_name == "REMOVE"
    assert len(table) == 3


@rule("a read that is not consistent may be a moment behind", CONSISTENCY)
def stale_reads(cloud: Cloud) -> None:
    odd = Cloud(cloud.seed, rates=Rates(odd=1.0))
    table, _ = orders(odd)
    put(table, "a", 1)
    odd.clock.advance(2)
    put(table, "a", 2)
    key: Any = {"TableName": "Orders", "Key": {"id": {"S": "a"}}}
    assert odd.dynamodb.get_item(**key)["Item"]["n"] == {"N": "1"}
    assert odd.dynamodb.scan(TableName="Orders")["Items"][0]["n"] == {"N": "1"}
    assert odd.dynamodb.get_item(**key, ConsistentRead=True)["Item"]["n"] == {"N": "2"}
    assert odd.dynamodb.scan(TableName="Orders", ConsistentRead=True)["Items"][0]["n"] == {"N": "2"}
    odd.clock.advance(2)
    assert odd.dynamodb.get_item(**key)["Item"]["n"] == {"N": "2"}


@rule("a batch may leave keys unread and items unwritten, and says which", API + "BatchGetItem")
def unprocessed(cloud: Cloud) -> None:
    odd = Cloud(cloud.seed, rates=Rates(odd=0.5))
    orders(odd)
    puts: Any = [{"PutRequest": {"Item": {"id": {"S": str(n)}}}} for n in range(20)]
    wanted: Any = {"Orders": puts}
    while wanted:
        wanted = odd.dynamodb.batch_write_item(RequestItems=wanted)["UnprocessedItems"]
    left: Any = {"Orders": {"Keys": [{"id": {"S": str(n)}} for n in range(20)], "ConsistentRead": True}}
    found, calls = [], 0
    while left:
        answer = odd.dynamodb.batch_get_item(RequestItems=left)
        found += answer["Responses"]["Orders"]
        left, calls = answer["UnprocessedKeys"], calls + 1
    assert len(found) == 20
    assert calls > 1


@rule("a scan is no snapshot: a page sees what was written after the page before", API + "Scan")
def scans_are_no_snapshots(cloud: Cloud) -> None:
    table, _ = orders(cloud)
    for n in range(10):
        put(table, str(n), 1)
    page = cloud.dynamodb.scan(TableName="Orders", ConsistentRead=True, Limit=5)
    for n in range(10):
        put(table, str(n), 2)
    rest = cloud.dynamodb.scan(TableName="Orders", ConsistentRead=True, ExclusiveStartKey=page["LastEvaluatedKey"])
    assert [item["n"]["N"] for item in page["Items"] + rest["Items"]] == ["1"] * 5 + ["2"] * 5


@rule("an answer is the caller's own: changing it changes nothing", API + "GetItem")
def answers_are_copies(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    table.put({"id": {"S": "a"}, "m": {"M": {"l": {"L": [{"N": "1"}]}}}})
    answer: Any = cloud.dynamodb.get_item(TableName="Orders", Key={"id": {"S": "a"}})["Item"]
    answer["m"]["M"]["l"]["L"].append({"N": "2"})
    stream.records()[0].for_lambda()["dynamodb"]["NewImage"].clear()
    expected = {"id": {"S": "a"}, "m": {"M": {"l": {"L": [{"N": "1"}]}}}}
    assert table.get({"id": {"S": "a"}}) == expected
    assert stream.records()[0].for_lambda()["dynamodb"]["NewImage"] == expected


@rule("Lambda gets binary as base64, the time as a number and the stream's ARN", "Lambda developer guide: sample event")
def lambda_shape(cloud: Cloud) -> None:
    table, stream = orders(cloud)
    cloud.clock.advance(0.75)
    record = table.put({"id": {"S": "a"}, "b": {"B": b"\x00\xff"}, "l": {"L": [{"BS": [b"x"]}]}})
    assert record is not None
    sent, read = record.for_lambda(), record.for_boto3()
    assert sent["dynamodb"]["NewImage"] == {"id": {"S": "a"}, "b": {"B": "AP8="}, "l": {"L": [{"BS": ["eA=="]}]}}
    assert read["dynamodb"]["NewImage"] == {"id": {"S": "a"}, "b": {"B": b"\x00\xff"}, "l": {"L": [{"BS": [b"x"]}]}}
    assert sent["dynamodb"]["ApproximateCreationDateTime"] == int(cloud.clock().timestamp())
    assert read["dynamodb"]["ApproximateCreationDateTime"] == cloud.clock().replace(microsecond=0)
    assert sent["eventSourceARN"] == stream.arn
    assert "eventSourceARN" not in read


@pytest.mark.parametrize("one", rule.rules, ids=str)
def test_rule(one: Rule) -> None:
    one.check(Cloud(11))


@given(
    seed=st.integers(0, 2**32),
    shards=st.integers(1, 4),
    acts=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 8)),
            st.tuples(st.just("delete"), st.integers(0, 8)),
            st.tuples(st.just("split"), st.just(0)),
            st.tuples(st.just("wait"), st.integers(1, 300)),
            st.tuples(st.just("again"), st.just(0)),
        ),
        max_size=60,
    ),
)
def test_whatever_happens_order_and_lineage_hold(seed: int, shards: int, acts: list[tuple[str, int]]) -> None:
    """Each change is one record, in one shard; an item's numbers rise over rolls, splits and streams, with 21 to 40
    digits; a shard's records come after its parent's."""
    cloud = Cloud(seed)
    table, _ = orders(cloud, shards=shards, split_rate=0.3)
    seen: list[Any] = []
    everything: dict[str, Shard] = {}
    for n, (act, about) in enumerate(acts):
        match act:
            case "put":
                seen.append(put(table, str(about), n))
            case "delete":
                record = table.delete({"id": {"S": str(about)}})
                seen += [] if record is None else [record]
            case "split":
                table.split()
            case "wait":
                cloud.clock.advance(about * 60)
            case "again":
                table.disable_stream()
                table.enable_stream()
        for stream in table.streams:
            everything |= {shard.shard_id: shard for shard in stream.shards()}
    assert len({record.number for record in seen}) == len(seen)
    last: dict[Any, int] = {}
    for record in seen:
        assert record.number > last.get(record.item_key, 0)
        last[record.item_key] = record.number
        assert 21 <= len(record.sequence_number) <= 40
    horizon = cloud.clock() - timedelta(hours=24)
    left = sorted(record.number for record in seen if record.at > horizon)
    held = [record for stream in table.streams if not stream.gone for record in stream.records()]
    assert sorted(record.number for record in held) == left
    for shard in everything.values():
        parent = everything.get(shard.parent_id or "")
        assert parent is None or (parent.ending is not None and parent.ending < shard.starting)
        assert all(shard.starting <= record.number <= shard.last for record in shard.records)


def test_widths_of_an_items_numbers_differ_within_a_day() -> None:
    """What compares them as text is found out: in most seeds already within one shard."""
    found = 0
    for seed in range(40):
        cloud = Cloud(seed)
        table, _ = orders(cloud)
        records = [put(table, "a", n) for n in range(20)]
        found += len({len(record.sequence_number) for record in records}) > 1
    assert found > 20


def test_no_two_records_of_a_table_have_one_number() -> None:
    for seed in range(20):
        cloud = Cloud(seed)
        table, _ = orders(cloud, shards=8)
        numbers = {put(table, str(n % 50), n).number for n in range(500)}
        assert len(numbers) == 500, seed


def test_numbers_reach_40_digits_and_stay_there() -> None:
    cloud = Cloud(3)
    table, _ = orders(cloud)
    widths = []
    for n in range(400):
        widths.append(len(put(table, "a", n).sequence_number))
        cloud.clock.advance(4 * HOUR)
    assert widths == sorted(widths)
    assert (widths[0] <= 27, widths[-1]) == (True, 40)


def test_one_seed_decides_everything() -> None:
    def story(seed: int) -> list[str]:
        cloud = Cloud(seed)
        table, stream = orders(cloud, shards=2, split_rate=0.5)
        for n in range(50):
            put(table, str(n % 7), n)
            cloud.clock.advance(1_000)
        return [f"{shard.shard_id} {record.for_lambda()}" for shard in stream.shards() for record in shard.records]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_the_clock_is_utc_and_only_goes_forward() -> None:
    cloud = Cloud(1)
    assert cloud.clock().tzinfo is UTC
    with pytest.raises(ValueError, match="-1"):
        cloud.clock.advance(-1)
