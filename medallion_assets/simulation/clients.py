"""boto3 clients of DynamoDB, DynamoDB Streams and SQS that answer from the simulation.

Belongs here: requests and answers in boto3's shapes, errors in botocore's classes, faults at each call. Does not belong
here: what the services do (table, streams, queues).
The clients are boto3's own (its parameter checks, paginators, `before-parse` events and `client.exceptions`), with the
one method replaced in which a call leaves the process: no endpoint is looked up, no credentials are read, no socket is
opened. An operation or parameter that the simulator does not know raises NotImplementedError: nothing is ignored.
Sources: DynamoDB, DynamoDB Streams and SQS API references; DynamoDB developer guide, "Error handling with DynamoDB".
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

from medallion_assets.simulation import streams
from medallion_assets.simulation.aws_error import AwsError, invalid
from medallion_assets.simulation.expressions import Expressions
from medallion_assets.simulation.faults import AFTER, Faults
from medallion_assets.simulation.items import Item, size_bytes
from medallion_assets.simulation.queues import Queue
from medallion_assets.simulation.table import Table, Write, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

Params = Mapping[str, Any]
Answer = dict[str, Any]
Operation = Callable[[Params], Answer]

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"

_PAGE_BYTES: Final = 1024 * 1024
_MAX_KEYS: Final = 100
_SHARDS_A_PAGE: Final = 100

# What a caller sees when nothing was done, and when it may have been. Each is an answer the API reference lists for
# the service, or none at all.
_BUSY: Final = {
    "dynamodb": (
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("RequestLimitExceeded", 400),
    ),
    "streams": (("LimitExceededException", 400), ("ThrottlingException", 400)),
    "sqs": (("ThrottlingException", 400), ("RequestThrottled", 403)),
}
_FAILING: Final = (("InternalServerError", 500), ("ServiceUnavailable", 503))


class Service:
    """One service's operations by their API names; each takes the request and returns the answer."""

    point: str
    """The first part of the names of its fault points."""

    def operations(self) -> dict[str, Operation]:
        """Return the operations by name."""
        raise NotImplementedError


class DynamoDB(Service):
    """Tables by name: made, described, written and read."""

    point = "dynamodb"

    def __init__(self, tables: Mapping[str, Table], create: Callable[[Params], Table], faults: Faults) -> None:
        self._tables = tables
        self._create = create
        self._faults = faults

    def operations(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "CreateTable": self.create_table,
            "DescribeTable": self.describe_table,
            "UpdateTable": self.update_table,
            "UpdateTimeToLive": self.update_time_to_live,
            "PutItem": self.put_item,
            "UpdateItem": self.update_item,
            "DeleteItem": self.delete_item,
            "TransactWriteItems": self.transact_write_items,
            "BatchWriteItem": self.batch_write_item,
            "GetItem": self.get_item,
            "BatchGetItem": self.batch_get_item,
            "Scan": self.scan,
        }

    def create_table(self, p: Params) -> Answer:
        """Create a table and its stream."""
        _only(p, "TableName", "KeySchema", "AttributeDefinitions", "BillingMode", "StreamSpecification")
        if p["TableName"] in self._tables:
            raise AwsError("ResourceInUseException", f"Table already exists: {p['TableName']}")
        return {"TableDescription": _description(self._create(p))}

    def describe_table(self, p: Params) -> Answer:
        """Describe a table and its newest stream."""
        _only(p, "TableName")
        return {"Table": _description(self._table(p))}

    def update_table(self, p: Params) -> Answer:
        """Enable or disable the stream."""
        _only(p, "TableName", "StreamSpecification")
        table, wanted = self._table(p), p["StreamSpecification"]
        if wanted["StreamEnabled"]:
            table.enable_stream(wanted["StreamViewType"])
        else:
            table.disable_stream()
        return {"TableDescription": _description(table)}

    def update_time_to_live(self, p: Params) -> Answer:
        """Set the attribute that holds an item's time to live."""
        _only(p, "TableName", "TimeToLiveSpecification")
        wanted = p["TimeToLiveSpecification"]
        self._table(p).ttl = wanted["AttributeName"] if wanted["Enabled"] else None
        return {"TimeToLiveSpecification": wanted}

    def put_item(self, p: Params) -> Answer:
        """Put an item."""
        _only(p, "TableName", "Item", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues")
        table = self._table(p)
        _demand(p, table, p["Item"], alone=False)
        table.put(p["Item"])
        return {}

    def update_item(self, p: Params) -> Answer:
        """Set and remove attributes."""
        _only(
            p,
            "TableName",
            "Key",
            "UpdateExpression",
            "ConditionExpression",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
        )
        table = self._table(p)
        changes, drop = Expressions(p).update(p["UpdateExpression"]) if "UpdateExpression" in p else ({}, [])
        _demand(p, table, p["Key"], alone=True)
        table.update(p["Key"], changes, drop=drop)
        return {}

    def delete_item(self, p: Params) -> Answer:
        """Delete an item."""
        _only(p, "TableName", "Key", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues")
        table = self._table(p)
        _demand(p, table, p["Key"], alone=True)
        table.delete(p["Key"])
        return {}

    def transact_write_items(self, p: Params) -> Answer:
        """Make several writes, or none."""
        _only(p, "TransactItems", "ClientRequestToken")
        writes = []
        for entry in p["TransactItems"]:
            ((name, one),) = entry.items()
            reads = Expressions(one)
            changes, drop = reads.update(one["UpdateExpression"]) if name == "Update" else ({}, [])
            writes.append(
                Write(
                    table=self._table(one),
                    kind="check" if name == "ConditionCheck" else name.lower(),
                    item=one.get("Item", {}),
                    key=one.get("Key", {}),
                    changes=changes,
                    drop=drop,
                    condition=reads.condition(one.get("ConditionExpression")),
                )
            )
        transact(writes)
        return {}

    def batch_write_item(self, p: Params) -> Answer:
        """Make up to 25 writes, each by itself; some may come back undone."""
        _only(p, "RequestItems")
        asked = [(name, entry) for name, entries in p["RequestItems"].items() for entry in entries]
        if len(asked) > 25:
            raise invalid("Too many items requested for the BatchWriteItem call")
        undone: dict[str, list[Any]] = {}
        for name, entry in asked:
            table = self._table({"TableName": name})
            if self._faults.draw("dynamodb.batch_write_item", "unprocessed"):
                undone.setdefault(name, []).append(entry)
            elif "PutRequest" in entry:
                table.put(entry["PutRequest"]["Item"])
            else:
                table.delete(entry["DeleteRequest"]["Key"])
        return {"UnprocessedItems": undone}

    def get_item(self, p: Params) -> Answer:
        """Read one item; a read that is not consistent sometimes returns an older version."""
        _only(
            p,
            "TableName",
            "Key",
            "ConsistentRead",
            "ProjectionExpression",
            "ExpressionAttributeNames",
            "ReturnConsumedCapacity",
        )
        table, consistent = self._table(p), p.get("ConsistentRead", False)
        item = self._read(table, p["Key"], "dynamodb.get_item", consistent=consistent)
        answer: Answer = (
            {} if item is None else {"Item": _shown(item, Expressions(p).projection(p.get("ProjectionExpression")))}
        )
        return answer | _consumed(p, {table.name: 0 if item is None else size_bytes(item)}, consistent=consistent)

    def batch_get_item(self, p: Params) -> Answer:
        """Read up to 100 items, each by itself; some may come back unread."""
        _only(p, "RequestItems", "ReturnConsumedCapacity")
        if sum(len(asked["Keys"]) for asked in p["RequestItems"].values()) > _MAX_KEYS:
            raise invalid("Too many items requested for the BatchGetItem call")
        found: dict[str, list[Item]] = {}
        unread: dict[str, Any] = {}
        for name, asked in p["RequestItems"].items():
            table, consistent = self._table({"TableName": name}), asked.get("ConsistentRead", False)
            if len({table.key_of(key, alone=True) for key in asked["Keys"]}) < len(asked["Keys"]):
                raise invalid("Provided list of item keys contains duplicates")
            shown = Expressions(asked).projection(asked.get("ProjectionExpression"))
            found[name] = []
            for key in asked["Keys"]:
                if self._faults.draw("dynamodb.batch_get_item", "unprocessed"):
                    unread.setdefault(name, {**asked, "Keys": []})["Keys"].append(key)
                elif item := self._read(table, key, "dynamodb.batch_get_item", consistent=consistent):
                    found[name].append(_shown(item, shown))
        sizes = {name: sum(map(size_bytes, items)) for name, items in found.items()}
        return {"Responses": found, "UnprocessedKeys": unread} | _consumed(p, sizes, consistent=True, many=True)

    def scan(self, p: Params) -> Answer:
        """Read a page of a segment: 1 MB or `Limit` items. A scan is no snapshot: each page is as of its own time."""
        _only(
            p,
            "TableName",
            "ConsistentRead",
            "Segment",
            "TotalSegments",
            "ExclusiveStartKey",
            "Limit",
            "ProjectionExpression",
            "ExpressionAttributeNames",
            "ReturnConsumedCapacity",
        )
        table, consistent = self._table(p), p.get("ConsistentRead", False)
        if ("Segment" in p) is not ("TotalSegments" in p) or p.get("Segment", 0) >= p.get("TotalSegments", 1):
            raise invalid("The Segment parameter must be less than TotalSegments, and come with it")
        items: list[Item] = []
        size = 0
        more = False
        page = table.scan(
            after=p.get("ExclusiveStartKey"), segment=p.get("Segment", 0), segments=p.get("TotalSegments", 1)
        )
        for item in page:
            if len(items) >= p.get("Limit", len(items) + 1) or size >= _PAGE_BYTES:
                more = True
                break
            if not consistent and self._faults.draw("dynamodb.scan", "stale read"):
                before = table.get(table.wire_key(item), stale=True)
                if before is None:
                    continue
                item = before  # noqa: PLW2901 - what this read sees
            items.append(item)
            size += size_bytes(item)
        shown = Expressions(p).projection(p.get("ProjectionExpression"))
        answer: Answer = {
            "Items": [_shown(item, shown) for item in items],
            "Count": len(items),
            "ScannedCount": len(items),
        }
        if more:
            answer["LastEvaluatedKey"] = table.wire_key(items[-1])
        return answer | _consumed(p, {table.name: size}, consistent=consistent)

    def _table(self, p: Params) -> Table:
        name = p["TableName"].rpartition("/")[2]
        if name not in self._tables:
            raise AwsError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")
        return self._tables[name]

    def _read(self, table: Table, key: Params, point: str, *, consistent: bool) -> Item | None:
        return table.get(key, stale=not consistent and self._faults.draw(point, "stale read"))


class Streams(Service):
    """The streams of all tables, by ARN."""

    point = "streams"

    def __init__(self, tables: Mapping[str, Table], faults: Faults) -> None:
        self._tables = tables
        self._faults = faults

    def operations(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "DescribeStream": self.describe_stream,
            "GetShardIterator": self.get_shard_iterator,
            "GetRecords": self.get_records,
            "ListStreams": self.list_streams,
        }

    def list_streams(self, p: Params) -> Answer:
        """List the streams of one table or all."""
        _only(p, "TableName")
        return {
            "Streams": [
                {"StreamArn": stream.arn, "StreamLabel": stream.label, "TableName": stream.table_name}
                for table in self._tables.values()
                if p.get("TableName", table.name) == table.name
                for stream in table.streams
                if not stream.gone
            ]
        }

    def describe_stream(self, p: Params) -> Answer:
        """Describe a stream and up to 100 of its shards."""
        _only(p, "StreamArn", "Limit", "ExclusiveStartShardId")
        stream = self._stream(p["StreamArn"])
        shards = sorted(stream.shards(), key=lambda shard: shard.shard_id)
        start = p.get("ExclusiveStartShardId")
        if start is not None:
            # A shard that vanished between two pages is still a place in the list.
            shards = [shard for shard in shards if shard.shard_id > start]
        page = shards[: min(p.get("Limit", _SHARDS_A_PAGE), _SHARDS_A_PAGE)]
        description: dict[str, Any] = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": "ENABLED" if stream.enabled else "DISABLED",
            "StreamViewType": stream.view,
            "CreationRequestDateTime": stream.created_at.replace(microsecond=0),
            "TableName": stream.table_name,
            "Shards": [_shard(shard) for shard in page],
        }
        if len(page) < len(shards):
            description["LastEvaluatedShardId"] = page[-1].shard_id
        return {"StreamDescription": description}

    def get_shard_iterator(self, p: Params) -> Answer:
        """Return an iterator of any type."""
        _only(p, "StreamArn", "ShardId", "ShardIteratorType", "SequenceNumber")
        number = p.get("SequenceNumber")
        if number is not None and not (number.isascii() and number.isdecimal()):
            raise invalid(f"Invalid SequenceNumber {number!r}")
        stream = self._stream(p["StreamArn"])
        kind = p["ShardIteratorType"]
        return {"ShardIterator": stream.iterator(p["ShardId"], kind, None if number is None else int(number))}

    def get_records(self, p: Params) -> Answer:
        """Return a page of records; an open shard answers empty now and then, though more follows."""
        _only(p, "ShardIterator", "Limit")
        limit = p.get("Limit", streams.PAGE_RECORDS)
        if limit > streams.PAGE_RECORDS:
            raise invalid(f"1 validation error detected: Value '{limit}' at 'limit' must be at most 1000")
        stream = self._stream(streams.arn_of(p["ShardIterator"]))
        held_back = self._faults.draw("streams.get_records", "empty though more follows")
        if self._faults.draw("streams.get_records", "short page"):
            limit = max(1, limit // 7)
        records, following = stream.read(p["ShardIterator"], limit, held_back=held_back)
        answer: Answer = {"Records": streams.StreamRecord.all_for_boto3(records)}
        return answer if following is None else answer | {"NextShardIterator": following}

    def _stream(self, arn: str) -> streams.Stream:
        for table in self._tables.values():
            for stream in table.streams:
                if stream.arn == arn and not stream.gone:
                    return stream
        raise AwsError("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")


class SQS(Service):
    """Queues by URL."""

    point = "sqs"

    def __init__(self, queues: Mapping[str, Queue], create: Callable[[str], Queue]) -> None:
        self._queues = queues
        self._create = create

    def operations(self) -> dict[str, Operation]:
        """Return the operations by name."""
        return {
            "CreateQueue": self.create_queue,
            "GetQueueUrl": self.get_queue_url,
            "GetQueueAttributes": self.get_queue_attributes,
            "SendMessage": self.send_message,
            "ReceiveMessage": self.receive_message,
            "DeleteMessage": self.delete_message,
        }

    def create_queue(self, p: Params) -> Answer:
        """Create a queue, or return the one of that name."""
        _only(p, "QueueName")
        return {"QueueUrl": self._create(p["QueueName"]).url}

    def get_queue_url(self, p: Params) -> Answer:
        """Return the URL of a queue."""
        _only(p, "QueueName")
        return {"QueueUrl": self._queue(name=p["QueueName"]).url}

    def get_queue_attributes(self, p: Params) -> Answer:
        """Return how many messages there are, and the ARN."""
        _only(p, "QueueUrl", "AttributeNames")
        queue = self._queue(url=p["QueueUrl"])
        known = {"ApproximateNumberOfMessages": str(len(queue.messages)), "QueueArn": queue.arn}
        asked = p.get("AttributeNames", ())
        return {"Attributes": known if "All" in asked else {name: known[name] for name in asked if name in known}}

    def send_message(self, p: Params) -> Answer:
        """Add a message."""
        _only(p, "QueueUrl", "MessageBody")
        if len(p["MessageBody"].encode()) > 256 * 1024:
            raise AwsError(
                "InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter"
            )
        message = self._queue(url=p["QueueUrl"]).send(p["MessageBody"])
        return {"MessageId": message.message_id, "MD5OfMessageBody": _md5(message.body)}

    def receive_message(self, p: Params) -> Answer:
        """Receive up to ten messages."""
        _only(p, "QueueUrl", "MaxNumberOfMessages", "WaitTimeSeconds")
        messages = self._queue(url=p["QueueUrl"]).receive(p.get("MaxNumberOfMessages", 1))
        shown = [
            {"MessageId": one.message_id, "ReceiptHandle": one.receipt, "Body": one.body, "MD5OfBody": _md5(one.body)}
            for one in messages
        ]
        return {"Messages": shown} if shown else {}

    def delete_message(self, p: Params) -> Answer:
        """Delete a message."""
        _only(p, "QueueUrl", "ReceiptHandle")
        self._queue(url=p["QueueUrl"]).delete(p["ReceiptHandle"])
        return {}

    def _queue(self, *, url: str | None = None, name: str | None = None) -> Queue:
        for queue in self._queues.values():
            if url == queue.url or name == queue.name:
                return queue
        raise AwsError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")


def dynamodb_client(service: DynamoDB, faults: Faults) -> DynamoDBClient:
    """Return a client of the tables."""
    client: DynamoDBClient = _client("dynamodb", service, faults)
    return client


def streams_client(service: Streams, faults: Faults) -> DynamoDBStreamsClient:
    """Return a client of the streams."""
    client: DynamoDBStreamsClient = _client("dynamodbstreams", service, faults)
    return client


def sqs_client(service: SQS, faults: Faults) -> SQSClient:
    """Return a client of the queues."""
    client: SQSClient = _client("sqs", service, faults)
    return client


def _client(name: str, service: Service, faults: Faults) -> Any:
    client: Any = _session().client(name)  # type: ignore[call-overload]
    operations = service.operations()
    validator = ParamValidator()
    requests = (f"request-{at:010d}" for at in itertools.count(1))
    points = {operation: f"{service.point}.{_snake(operation)}" for operation in operations}

    def call(self: Any, operation: str, params: Params) -> Answer:
        if operation not in operations:
            raise NotImplementedError(
                f"the simulator has no {name} {operation}; it has {', '.join(sorted(operations))}"
            )
        report = validator.validate(params, self.meta.service_model.operation_model(operation).input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())
        point = points[operation]

        def fail(kind: str) -> Exception:
            return _fault(self, operation, kind, point=point, nth=faults.reached[point], requests=requests)

        try:
            answer = faults.call(point, lambda: operations[operation](params), error=fail)
        except AwsError as refused:
            raise _error(
                self, operation, refused.code, refused.message, status=400, requests=requests, **refused.fields
            ) from refused
        return _heard(self, operation, answer) | {"ResponseMetadata": _metadata(200, requests)}

    client._make_api_call = MethodType(call, client)
    return client


class _Wire(dict[str, Any]):
    """An answer as it is before boto3 parses it; its body is only written when somebody looks at it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(status_code=200, headers={}, context={})
        self._answer = answer

    def __missing__(self, name: str) -> Any:
        if name != "body":
            raise KeyError(name)
        self["body"] = json.dumps(self._answer, default=_on_the_wire).encode()
        return self["body"]


def _heard(client: Any, operation: str, answer: Answer) -> Answer:
    """Return the answer after the handlers of boto3's event `before-parse` have changed it."""
    model = client.meta.service_model.operation_model(operation)
    wire, added = _Wire(answer), dict[str, Any]()
    client.meta.events.emit(
        f"before-parse.{model.service_model.service_id.hyphenize()}.{operation}",
        operation_model=model,
        response_dict=wire,
        customized_response_dict=added,
    )
    if "body" in wire:
        answer = create_parser("json").parse(wire, model.output_shape)
    return answer | added


def _on_the_wire(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} in an answer")


@cache
def _session() -> boto3.Session:
    # Keys of nobody: without them boto3 would look for the user's own.
    return boto3.Session(aws_access_key_id="simulation", aws_secret_access_key="simulation", region_name=REGION)  # noqa: S106


def _fault(client: Any, operation: str, kind: str, *, point: str, nth: int, requests: Iterator[str]) -> Exception:
    """Return an error of the kind, a different one from call to call: an error answer of AWS, or no answer."""
    service = point.partition(".")[0]
    where = f"https://{service}.simulation"
    silent: list[Exception] = [
        ReadTimeoutError(endpoint_url=where),
        ConnectionClosedError(endpoint_url=where),
        *([] if kind == AFTER else [EndpointConnectionError(endpoint_url=where)]),
    ]
    spoken = [*_FAILING, *(() if kind == AFTER else _BUSY[service])]
    at = zlib.crc32(f"{point}/{nth}".encode()) % (len(silent) + len(spoken))
    if at < len(silent):
        return silent[at]
    code, status = spoken[at - len(silent)]
    return _error(client, operation, code, "simulated", status=status, requests=requests)


def _error(
    client: Any, operation: str, code: str, message: str, *, status: int, requests: Iterator[str], **fields: Any
) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": _metadata(status, requests),
        **fields,
    }
    made: ClientError = client.exceptions.from_code(code)(answer, operation)
    return made


def _metadata(status: int, requests: Iterator[str]) -> dict[str, Any]:
    return {"RequestId": next(requests), "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}


def _only(p: Params, *known: str) -> None:
    if unknown := p.keys() - set(known):
        raise NotImplementedError(f"the simulator does not know {', '.join(sorted(unknown))} of this request")


def _demand(p: Params, table: Table, item: Mapping[str, Any], *, alone: bool) -> None:
    condition = Expressions(p).condition(p.get("ConditionExpression"))
    if condition is not None and not condition(table.current(table.key_of(item, alone=alone))):
        raise AwsError("ConditionalCheckFailedException", "The conditional request failed")


def _description(table: Table) -> dict[str, Any]:
    description: dict[str, Any] = {
        "TableName": table.name,
        "TableArn": table.arn,
        "TableStatus": "ACTIVE",
        "CreationDateTime": table.created_at,
        "KeySchema": [
            {"AttributeName": name, "KeyType": role}
            for (name, _), role in zip(table.key, ("HASH", "RANGE"), strict=False)
        ],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": tag} for name, tag in table.key],
        "ItemCount": len(table),
    }
    if table.streams:
        # A disabled stream stays the latest one; the specification goes.
        description |= {"LatestStreamArn": table.streams[-1].arn, "LatestStreamLabel": table.streams[-1].label}
    if table.stream is not None:
        description["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream.view}
    return description


def _shard(shard: streams.Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": str(shard.starting)}
    if shard.ending is not None:
        numbers["EndingSequenceNumber"] = str(shard.ending)
    described: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
    return described if shard.parent_id is None else described | {"ParentShardId": shard.parent_id}


def _shown(item: Item, names: set[str] | None) -> Item:
    """Return a copy, which the caller may change."""
    return {name: _copied(tagged) for name, tagged in item.items() if names is None or name in names}


def _copied(tagged: dict[str, Any]) -> dict[str, Any]:
    ((tag, inside),) = tagged.items()
    match tag:
        case "M":
            return {"M": {name: _copied(one) for name, one in inside.items()}}
        case "L":
            return {"L": [_copied(one) for one in inside]}
        case "SS" | "NS" | "BS":
            return {tag: list(inside)}
    return {tag: inside}


def _consumed(p: Params, sizes: Mapping[str, int], *, consistent: bool, many: bool = False) -> Answer:
    """Return the read capacity units: one per 4 KB of a consistent read, one per 8 KB otherwise; at least one."""
    if p.get("ReturnConsumedCapacity", "NONE") == "NONE":
        return {}
    entries = [
        {"TableName": name, "CapacityUnits": max(1, -(-size // 4096)) * (1.0 if consistent else 0.5)}
        for name, size in sizes.items()
    ]
    return {"ConsumedCapacity": entries if many else entries[0]}


def _snake(operation: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")


def _md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
