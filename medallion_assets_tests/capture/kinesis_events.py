"""Changes as Kinesis Data Streams for DynamoDB brings them to a Lambda function."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/changes"

# The shape in the Amazon DynamoDB Developer Guide and in the wild; binary values are encoded twice.
DOCUMENTED: dict[str, Any] = {
    "awsRegion": "us-east-1",
    "eventID": "5a88419c-468a-4ac4-8bad-7f832caf7345",
    "eventName": "MODIFY",
    "userIdentity": None,
    "recordFormat": "application/json",
    "tableName": "Orders",
    "dynamodb": {
        "ApproximateCreationDateTime": 1_719_347_890_250_647,
        "ApproximateCreationDateTimePrecision": "MICROSECOND",
        "Keys": {"OrderID": {"S": "o-1"}},
        "NewImage": {
            "OrderID": {"S": "o-1"},
            "Total": {"N": "42.42"},
            "Seal": {"B": "TVRNeU1RPT0="},
            "Parts": {"L": [{"M": {"Seals": {"BS": ["TVRNeU1RPT0=", "TVRReE13PT0="]}, "None": {"NULL": True}}}]},
        },
        "OldImage": {"OrderID": {"S": "o-1"}, "Seal": {"B": "TVRNeU1RPT0="}},
        "SizeBytes": 99,
    },
    "eventSource": "aws:dynamodb",
}


def of_kinesis(sent: object, *, number: int = 1) -> dict[str, Any]:
    """Return a record of a Lambda event with this as its data; bytes are sent as they are."""
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    sequence = f"4957088952350305927538151247886382006978221103114092{number:04d}"
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "0AB18464EFEE6043E48DD4475DABA453",
            "sequenceNumber": sequence,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": 1_719_347_891.5,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/capture",
        "awsRegion": "us-east-1",
        "eventSourceARN": STREAM,
    }


def sent_change(
    microseconds: int,
    keys: Mapping[str, Any],
    new: Mapping[str, Any] | None,
    *,
    table: str = "Orders",
    precision: str = "MICROSECOND",
) -> dict[str, Any]:
    """Return what DynamoDB sends of a change; `new` None is a deletion."""
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": microseconds,
        "ApproximateCreationDateTimePrecision": precision,
        "Keys": dict(keys),
    }
    if new is not None:
        change["NewImage"] = {**keys, **new}
    return {
        **DOCUMENTED,
        "eventID": f"{table}-{microseconds}",
        "eventName": "REMOVE" if new is None else "MODIFY",
        "tableName": table,
        "dynamodb": change,
    }
