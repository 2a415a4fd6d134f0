"""Tables and streams as one sees them through boto3: the same checks on the simulation and, where it is right, on the
emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from medallion_assets.simulation.cloud import Cloud
from medallion_assets_tests.simulation.rules import (
    API,
    FACTS,
    SQS,
    STREAMS,
    STREAMS_API,
    TRANSACTIONS,
    TYPES,
    Rule,
    Rules,
    Source,
)

rule = Rules()


def refused(act: Callable[[], Any]) -> str:
    """The code with which a call is refused."""
    with pytest.raises(ClientError) as refusal:
        act()
    code: str = refusal.value.response["Error"]["Code"]
    return code


@rule("an insert, an update and a delete are INSERT, MODIFY and REMOVE with their images", FACTS, emulator=True)
def images(source: Source) -> None:
    table = source.create()
    source.put(table, "a", Status={"S": "new"})
    source.put(table, "a", Status={"S": "paid"})
    source.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}})
    insert, modify, remove = source.records(table)
    new, paid = ({"id": {"S": "a"}, "Status": {"S": status}} for status in ("new", "paid"))
    assert [record["eventName"] for record in (insert, modify, remove)] == ["INSERT", "MODIFY", "REMOVE"]
    assert [record["dynamodb"]["Keys"] for record in (insert, modify, remove)] == [{"id": {"S": "a"}}] * 3
    assert [record["dynamodb"].get("NewImage") for record in (insert, modify, remove)] == [new, paid, None]
    assert [record["dynamodb"].get("OldImage") for record in (insert, modify, remove)] == [None, new, paid]
    assert "userIdentity" not in remove


@rule("a write that changes nothing emits no record", FACTS, emulator=True)
def no_ops(source: Source) -> None:
    table = source.create()
    source.put(table, "a", n={"N": "1"})
    source.put(table, "a", n={"N": "1"})
    source.dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": "a"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "1"}},
    )
    source.dynamodb.delete_item(TableName=table, Key={"id": {"S": "nobody"}})
    assert [record["eventName"] for record in source.records(table)] == ["INSERT"]


@rule("the order of a set says nothing: writing it in another one emits no record", TYPES)  # the emulator emits one
def sets_have_no_order(source: Source) -> None:
    table = source.create()
    source.put(table, "a", tags={"SS": ["x", "y"]}, deep={"M": {"b": {"BS": [b"1", b"2"]}}})
    source.put(table, "a", tags={"SS": ["y", "x"]}, deep={"M": {"b": {"BS": [b"2", b"1"]}}})
    assert len(source.records(table)) == 1


@rule("an update of an item that is not there makes it", API + "UpdateItem", emulator=True)
def upsert(source: Source) -> None:
    table = source.create()
    source.dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": "a"}},
        UpdateExpression="SET #s = :s REMOVE gone",
        ExpressionAttributeNames={"#s": "Status"},
        ExpressionAttributeValues={":s": {"S": "new"}},
    )
    (record,) = source.records(table)
    assert (record["eventName"], record["dynamodb"]["NewImage"]) == (
        "INSERT",
        {"id": {"S": "a"}, "Status": {"S": "new"}},
    )


@rule("all ten types survive, binary as bytes", TYPES, emulator=True)
def ten_types(source: Source) -> None:
    table = source.create()
    item: Any = {
        "id": {"S": "a"},
        "n": {"N": "-12.5"},
        "b": {"B": b"\x00\xff"},
        "yes": {"BOOL": True},
        "none": {"NULL": True},
        "m": {"M": {"deep": {"L": [{"S": ""}, {"N": "1"}]}}},
        "l": {"L": []},
        "ss": {"SS": ["x"]},
        "ns": {"NS": ["1"]},
        "bs": {"BS": [b""]},
    }
    source.dynamodb.put_item(TableName=table, Item=item)
    (record,) = source.records(table)
    assert record["dynamodb"]["NewImage"] == item
    assert source.dynamodb.get_item(TableName=table, Key={"id": {"S": "a"}}, ConsistentRead=True)["Item"] == item


@rule("zeros of numbers are trimmed", TYPES, emulator=True)
def numbers_are_trimmed(source: Source) -> None:
    table = source.create()
    source.put(table, "a", one={"N": "007.50"}, none={"N": "-0.0"}, big={"N": "1E3"}, ns={"NS": ["1.0", "2"]})
    image = source.records(table)[0]["dynamodb"]["NewImage"]
    assert image == {
        "id": {"S": "a"},
        "one": {"N": "7.5"},
        "none": {"N": "0"},
        "big": {"N": "1000"},
        "ns": {"NS": ["1", "2"]},
    }


@rule("38 digits are kept, from 1E-130 to 9.9E+125", FACTS, emulator=True)
def exact_numbers(source: Source) -> None:
    table = source.create()
    source.put(table, "a", many={"N": "12345678901234567890123456789012345678"})
    assert source.records(table)[0]["dynamodb"]["NewImage"]["many"] == {"N": "12345678901234567890123456789012345678"}


@pytest.mark.parametrize("text", ["1" * 39, "1E126", "1E-131", "abc", "NaN", ""])
def test_what_is_no_number_of_dynamodb_is_refused(text: str) -> None:
    """Source: Supported data types and naming rules. The emulator takes some of them."""
    source = simulated()
    table = source.create()
    assert refused(lambda: source.put(table, "a", n={"N": text})) == "ValidationException"


@pytest.mark.parametrize(
    "item",
    [
        {"id": {"S": ""}},
        {"id": {"N": "1"}},
        {"other": {"S": "a"}},
        {"id": {"S": "a"}, "s": {"SS": []}},
        {"id": {"S": "a"}, "s": {"SS": ["x", "x"]}},
        {"id": {"S": "a"}, "s": {"NS": ["1", "1.0"]}},
        {"id": {"S": "a"}, "big": {"S": "x" * 400 * 1024}},
    ],
    ids=["empty key", "key of another type", "no key", "empty set", "twice in a set", "equal numbers", "401 KB"],
)
def test_what_is_no_item_of_dynamodb_is_refused(item: dict[str, Any]) -> None:
    """Source: Quotas; Supported data types and naming rules."""
    source = simulated()
    table = source.create()
    assert refused(lambda: source.dynamodb.put_item(TableName=table, Item=item)) == "ValidationException"
    assert source.records(table) == []


def test_values_nest_32_levels() -> None:
    """Source: Quotas, "Nested attribute depth"."""
    source = simulated()
    table = source.create()
    value: Any = {"N": "1"}
    for _ in range(31):
        value = {"L": [value]}
    source.put(table, "a", deep=value)
    assert refused(lambda: source.put(table, "a", deep={"M": {"one more": value}})) == "ValidationException"


@rule("a request that boto3 cannot send is refused by boto3 itself", API + "PutItem", emulator=True)
def parameters_are_checked(source: Source) -> None:
    with pytest.raises(ParamValidationError):
        source.dynamodb.put_item(TableName=source.create(), Item={"id": {"S": 1}})


@rule("sequence numbers of an item rise", STREAMS, emulator=True)
def numbers_rise(source: Source) -> None:
    table = source.create()
    for n in range(20):
        source.put(table, "a", n={"N": str(n)})
    records = source.records(table)
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert numbers == sorted(set(numbers))
    assert [record["dynamodb"]["NewImage"]["n"]["N"] for record in records] == [str(n) for n in range(20)]


@rule("a record tells its time in whole seconds", FACTS, emulator=True)
def whole_seconds(source: Source) -> None:
    table = source.create()
    source.put(table, "a", n={"N": "1"})
    (record,) = source.records(table)
    assert record["dynamodb"]["ApproximateCreationDateTime"].microsecond == 0
    assert record["dynamodb"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert record["eventSource"] == "aws:dynamodb"


@rule("an open shard answers empty, with an iterator to go on", STREAMS_API + "GetRecords", emulator=True)
def empty_open_shard(source: Source) -> None:
    table = source.create()
    answer = source.streams.get_records(ShardIterator=source.iterator(source.arn(table), "TRIM_HORIZON"))
    assert answer["Records"] == []
    source.put(table, "a")
    assert len(source.read(answer["NextShardIterator"])) == 1


@rule("the four kinds of iterators", STREAMS_API + "GetShardIterator", emulator=True)
def iterators(source: Source) -> None:
    table = source.create()
    arn = source.arn(table)
    for n in range(3):
        source.put(table, str(n))
    numbers = [record["dynamodb"]["SequenceNumber"] for record in source.records(table)]
    latest = source.iterator(arn, "LATEST")
    source.put(table, "3")

    def ids(iterator: str) -> list[str]:
        return [record["dynamodb"]["Keys"]["id"]["S"] for record in source.read(iterator)]

    assert ids(source.iterator(arn, "TRIM_HORIZON")) == ["0", "1", "2", "3"]
    assert ids(source.iterator(arn, "AT_SEQUENCE_NUMBER", numbers[1])) == ["1", "2", "3"]
    assert ids(source.iterator(arn, "AFTER_SEQUENCE_NUMBER", numbers[1])) == ["2", "3"]
    assert ids(latest) == ["3"]


@rule("a record tells the size of its keys and images", STREAMS_API + "StreamRecord")  # the emulator says 0
def size(source: Source) -> None:
    table = source.create()
    source.put(table, "abc", n={"N": "1234"})
    (record,) = source.records(table)
    assert record["dynamodb"]["SizeBytes"] == 2 * len("idabc") + len("n") + 3


@rule("a page has at most Limit records", STREAMS_API + "GetRecords", emulator=True)
def limit(source: Source) -> None:
    table = source.create()
    for n in range(5):
        source.put(table, str(n))
    first = source.streams.get_records(ShardIterator=source.iterator(source.arn(table), "TRIM_HORIZON"), Limit=2)
    assert len(first["Records"]) == 2
    assert len(source.read(first["NextShardIterator"])) == 3


@rule("a page has at most 1,000 records and 1 MB", STREAMS_API + "GetRecords")  # the emulator knows no size
def page_size(source: Source) -> None:
    table = source.create()
    for n in range(8):
        source.put(table, str(n), big={"S": "x" * 300_000})
    iterator: str | None = source.iterator(source.arn(table), "TRIM_HORIZON")
    pages: list[int] = []
    while iterator and sum(pages) < 8:
        answer = source.streams.get_records(ShardIterator=iterator)
        pages.append(len(answer["Records"]))
        iterator = answer.get("NextShardIterator")
    assert pages == [3, 3, 2]
    assert (
        refused(lambda: source.streams.get_records(ShardIterator=iterator or "", Limit=1001)) == "ValidationException"
    )


@rule("what is not there is ResourceNotFoundException, as a class of the client", STREAMS_API + "Errors", emulator=True)
def not_found(source: Source) -> None:
    table = source.create()
    arn = source.arn(table)
    with pytest.raises(source.dynamodb.exceptions.ResourceNotFoundException):
        source.dynamodb.describe_table(TableName="Nothing")
    with pytest.raises(source.streams.exceptions.ResourceNotFoundException):
        source.streams.describe_stream(StreamArn=arn.replace(table, "Nothing"))
    assert (
        refused(lambda: source.dynamodb.put_item(TableName="Nothing", Item={"id": {"S": "a"}}))
        == "ResourceNotFoundException"
    )


@rule("an iterator that is none is refused", STREAMS_API + "GetRecords")  # the emulator says trimmed
def bad_iterator(source: Source) -> None:
    assert refused(lambda: source.streams.get_records(ShardIterator="nonsense")) == "ValidationException"
    arn = source.arn(source.create())
    assert refused(lambda: source.streams.get_records(ShardIterator=f"{arn}|1|x")) == "ValidationException"
    assert refused(lambda: source.iterator(arn, "AT_SEQUENCE_NUMBER", "7" * 21)) == "ValidationException"
    assert refused(lambda: source.iterator(arn, "AT_SEQUENCE_NUMBER")) == "ValidationException"


@rule("a disabled stream is closed and can be read to its end", STREAMS, emulator=True)
def disabled(source: Source) -> None:
    table = source.create()
    arn = source.arn(table)
    source.put(table, "a")
    source.switch(table, on=False)
    source.put(table, "b")
    description = source.streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert description["StreamStatus"] == "DISABLED"
    answer = source.streams.get_records(ShardIterator=source.iterator(arn, "TRIM_HORIZON"))
    assert len(answer["Records"]) == 1
    assert not answer.get("NextShardIterator")
    specification = source.dynamodb.describe_table(TableName=table)["Table"].get("StreamSpecification", {})
    assert not specification.get("StreamEnabled")


@rule("a stream that is enabled again is another stream", FACTS, emulator=True)
def enabled_again(source: Source) -> None:
    table = source.create()
    before = source.arn(table)
    source.put(table, "a")
    source.switch(table, on=False)
    source.switch(table, on=True)
    after = source.arn(table)
    assert after != before
    assert source.records(table) == []
    assert len(source.read(source.iterator(before, "TRIM_HORIZON"))) == 1


@rule("a stream carries the images that its view says", STREAMS, emulator=True)
def views(source: Source) -> None:
    for view, images in {
        "KEYS_ONLY": set(),
        "NEW_IMAGE": {"NewImage"},
        "OLD_IMAGE": {"OldImage"},
        "NEW_AND_OLD_IMAGES": {"NewImage", "OldImage"},
    }.items():
        table = source.create(view=view)
        source.put(table, "a", n={"N": "1"})
        source.put(table, "a", n={"N": "2"})
        assert {"NewImage", "OldImage"} & source.records(table)[1]["dynamodb"].keys() == images


@rule("a condition that does not hold refuses the write", API + "PutItem", emulator=True)
def conditions(source: Source) -> None:
    table = source.create()
    source.put(table, "a")
    again = {"TableName": table, "Item": {"id": {"S": "a"}, "n": {"N": "1"}}}
    assert (
        refused(lambda: source.dynamodb.put_item(**again, ConditionExpression="attribute_not_exists(id)"))  # type: ignore[arg-type]
        == "ConditionalCheckFailedException"
    )
    source.dynamodb.put_item(**again, ConditionExpression="attribute_exists(id)")  # type: ignore[arg-type]
    assert len(source.records(table)) == 2


@rule("a transaction is all or nothing", TRANSACTIONS, emulator=True)
def transactions(source: Source) -> None:
    one, two = source.create(), source.create()
    source.put(one, "there")
    writes: Any = [
        {"Put": {"TableName": one, "Item": {"id": {"S": "a"}}}},
        {"Put": {"TableName": two, "Item": {"id": {"S": "there"}}, "ConditionExpression": "attribute_not_exists(id)"}},
        {"Delete": {"TableName": one, "Key": {"id": {"S": "there"}}}},
    ]
    source.dynamodb.transact_write_items(TransactItems=writes)
    assert [record["eventName"] for record in source.records(one)] == ["INSERT", "INSERT", "REMOVE"]
    writes[0]["Put"]["Item"]["id"] = {"S": "b"}
    with pytest.raises(source.dynamodb.exceptions.TransactionCanceledException) as cancelled:
        source.dynamodb.transact_write_items(TransactItems=writes)
    reasons = [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]]
    assert reasons[:2] == ["None", "ConditionalCheckFailed"]
    assert (len(source.records(one)), len(source.records(two))) == (3, 1)


@rule("a transaction writes an item once", TRANSACTIONS, emulator=True)
def one_write_an_item(source: Source) -> None:
    table = source.create()
    put: Any = {"Put": {"TableName": table, "Item": {"id": {"S": "a"}}}}
    assert refused(lambda: source.dynamodb.transact_write_items(TransactItems=[put, put])) == "ValidationException"


@rule("segments of a scan are all items, each once", API + "Scan", emulator=True)
def scans(source: Source) -> None:
    table = source.create(key={"id": "S", "at": "N"})
    wanted = {(f"i-{n % 7}", str(n)) for n in range(30)}
    for id_, at in wanted:
        source.put(table, id_, at={"N": at})
    found = []
    for segment in range(3):
        pages = source.dynamodb.get_paginator("scan").paginate(
            TableName=table, ConsistentRead=True, Segment=segment, TotalSegments=3, PaginationConfig={"PageSize": 4}
        )
        found += [(item["id"]["S"], item["at"]["N"]) for page in pages for item in page["Items"]]
    assert len(found) == 30
    assert set(found) == wanted


@rule("a read says what it consumed: a unit is 4 KB", API + "Scan")  # the emulator does not count
def capacity(source: Source) -> None:
    table = source.create()
    source.put(table, "a", big={"S": "x" * 9_000})
    answer = source.dynamodb.scan(TableName=table, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"]["CapacityUnits"] == 3.0
    answer = source.dynamodb.scan(TableName=table, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"]["CapacityUnits"] == 1.5


@rule("a batch reads up to 100 items of several tables", API + "BatchGetItem", emulator=True)
def batch_get(source: Source) -> None:
    table = source.create()
    for n in range(3):
        source.put(table, str(n), n={"N": str(n)}, m={"N": "1"})
    keys: Any = [{"id": {"S": str(n)}} for n in range(5)]
    answer = source.dynamodb.batch_get_item(
        RequestItems={table: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "id, n"}}
    )
    assert sorted(item["n"]["N"] for item in answer["Responses"][table]) == ["0", "1", "2"]
    assert all("m" not in item for item in answer["Responses"][table])
    assert answer["UnprocessedKeys"] == {}
    many: Any = [{"id": {"S": str(n)}} for n in range(101)]
    assert (
        refused(lambda: source.dynamodb.batch_get_item(RequestItems={table: {"Keys": many}})) == "ValidationException"
    )


@rule("a batch writes up to 25 items", API + "BatchWriteItem", emulator=True)
def batch_write(source: Source) -> None:
    table = source.create()
    source.put(table, "gone")
    puts: Any = [{"PutRequest": {"Item": {"id": {"S": str(n)}}}} for n in range(3)]
    source.dynamodb.batch_write_item(RequestItems={table: [*puts, {"DeleteRequest": {"Key": {"id": {"S": "gone"}}}}]})
    assert [record["eventName"] for record in source.records(table)] == ["INSERT"] * 4 + ["REMOVE"]


@rule("a message is received, hidden, and deleted by its receipt", SQS, emulator=True)
def queues(source: Source) -> None:
    url = source.sqs.create_queue(QueueName=source.create())["QueueUrl"]
    source.sqs.send_message(QueueUrl=url, MessageBody="hello")
    (message,) = source.sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "hello"
    assert "Messages" not in source.sqs.receive_message(QueueUrl=url)
    source.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    answer = source.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert answer["Attributes"]["ApproximateNumberOfMessages"] == "0"


@rule(
    "who listens to boto3's events sees and changes the bytes of an answer",
    "botocore: event before-parse",
    emulator=True,
)
def events(source: Source) -> None:
    table = source.create()
    source.put(table, "a", b={"B": b"\xff"})
    bodies: list[Any] = []

    def listen(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
        bodies.append(json.loads(response_dict["body"]))
        customized_response_dict["Told"] = response_dict["status_code"]
        response_dict["body"] = response_dict["body"].replace(b'"a"', b'"c"')

    source.dynamodb.meta.events.register("before-parse.dynamodb.Scan", listen)
    answer: Any = source.dynamodb.scan(TableName=table, ConsistentRead=True)
    source.dynamodb.meta.events.unregister("before-parse.dynamodb.Scan", listen)
    assert bodies[0]["Items"] == [{"id": {"S": "a"}, "b": {"B": "/w=="}}]
    assert answer["Items"] == [{"id": {"S": "c"}, "b": {"B": b"\xff"}}]
    assert answer["Told"] == 200
    assert "Told" not in source.dynamodb.scan(TableName=table, ConsistentRead=True)


def simulated() -> Source:
    cloud = Cloud(7)
    return Source(cloud.dynamodb, cloud.streams, cloud.sqs, cloud)


CASES = [
    (one, place) for one in rule.rules for place in ("simulation", "emulator") if place == "simulation" or one.emulator
]


@pytest.mark.parametrize(("one", "place"), CASES, ids=[f"{one}-{place}" for one, place in CASES])
def test_rule(one: Rule, place: str, request: pytest.FixtureRequest) -> None:
    if place == "simulation":
        source = simulated()
    else:
        request.getfixturevalue("aws")
        source = Source(boto3.client("dynamodb"), boto3.client("dynamodbstreams"), boto3.client("sqs"))
    one.check(source)


def test_what_the_simulator_does_not_know_is_an_error_and_never_ignored() -> None:
    source = simulated()
    table = source.create()
    with pytest.raises(NotImplementedError, match="ListTables"):
        source.dynamodb.list_tables()
    with pytest.raises(NotImplementedError, match="FilterExpression"):
        source.dynamodb.scan(TableName=table, FilterExpression="n > :n", ExpressionAttributeValues={":n": {"N": "1"}})
    with pytest.raises(NotImplementedError, match="SET a"):
        source.dynamodb.update_item(
            TableName=table,
            Key={"id": {"S": "a"}},
            UpdateExpression="SET a.b = :b",
            ExpressionAttributeValues={":b": {"S": "x"}},
        )


def test_no_network_and_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are made and used without a socket, a credential or a region of the user's."""
    import socket

    def refuse(*args: Any, **named: Any) -> Any:
        raise AssertionError("the simulator opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    source = simulated()
    table = source.create()
    source.put(table, "a")
    assert len(source.records(table)) == 1
