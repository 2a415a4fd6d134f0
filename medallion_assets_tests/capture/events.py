"""Stream records for the tests of this room, in Lambda's shape and in boto3's."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime
from typing import Any

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/{}/stream/2026-01-01T00:00:00.000"

# AWS's documented sample event (Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB").
DOCUMENTED_EVENT: dict[str, Any] = {
    "Records": [
        {
            "eventID": "1",
            "eventVersion": "1.0",
            "dynamodb": {
                "Keys": {"Id": {"N": "101"}},
                "NewImage": {"Message": {"S": "New item!"}, "Id": {"N": "101"}},
                "StreamViewType": "NEW_AND_OLD_IMAGES",
                "SequenceNumber": "111",
                "SizeBytes": 26,
            },
            "awsRegion": "us-west-2",
            "eventName": "INSERT",
            "eventSourceARN": "arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2024-06-10T19:26:16.525",
            "eventSource": "aws:dynamodb",
        },
        {
            "eventID": "2",
            "eventVersion": "1.0",
            "dynamodb": {
                "OldImage": {"Message": {"S": "New item!"}, "Id": {"N": "101"}},
                "SequenceNumber": "222",
                "Keys": {"Id": {"N": "101"}},
                "SizeBytes": 59,
                "NewImage": {"Message": {"S": "This item has changed"}, "Id": {"N": "101"}},
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "awsRegion": "us-west-2",
            "eventName": "MODIFY",
            "eventSourceARN": "arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2024-06-10T19:26:16.525",
            "eventSource": "aws:dynamodb",
        },
    ]
}


def change(
    number: int | str,
    *,
    table: str = "Orders",
    new: dict[str, Any] | None = None,
    old: dict[str, Any] | None = None,
    created: float = 1_428_537_600,
) -> dict[str, Any]:
    """One record as Lambda delivers it: an insert unless images are given."""
    keys = {"OrderID": {"S": f"o-{number}"}}
    if new is None and old is None:
        new = keys
    images = {name: image for name, image in (("NewImage", new), ("OldImage", old)) if image is not None}
    return {
        "eventID": f"event-{number}",
        "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "eventSourceARN": ARN.format(table),
        "dynamodb": {
            "ApproximateCreationDateTime": created,
            "Keys": keys,
            **images,
            "SequenceNumber": str(number),
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }


def poison(number: int | str, *, table: str = "Orders") -> dict[str, Any]:
    """A record that cannot be written as UTF-8."""
    return change(number, table=table, new={"OrderID": {"S": f"o-{number}"}, "Note": {"S": "\ud800"}})


def as_boto3(record: dict[str, Any]) -> dict[str, Any]:
    """The same record as `get_records` returns it, with the ARN the poller adds."""
    shaped = copy.deepcopy(record)
    shaped["dynamodb"]["ApproximateCreationDateTime"] = datetime.fromtimestamp(
        shaped["dynamodb"]["ApproximateCreationDateTime"], UTC
    )
    for image in ("Keys", "NewImage", "OldImage"):
        if image in shaped["dynamodb"]:
            shaped["dynamodb"][image] = {name: _with_bytes(v) for name, v in shaped["dynamodb"][image].items()}
    if "userIdentity" in shaped:
        who = shaped["userIdentity"]
        shaped["userIdentity"] = {"PrincipalId": who["principalId"], "Type": who["type"]}
    return shaped


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    ((kind, inner),) = value.items()
    match kind:
        case "B":
            return {"B": base64.b64decode(inner)}
        case "BS":
            return {"BS": [base64.b64decode(one) for one in inner]}
        case "L":
            return {"L": [_with_bytes(one) for one in inner]}
        case "M":
            return {"M": {name: _with_bytes(one) for name, one in inner.items()}}
        case _:
            return value
