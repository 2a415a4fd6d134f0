"""A client of DynamoDB Streams that returns a page even if boto3 cannot parse one of its records.

Belongs here: parsing such a page record by record. Does not belong here: what is done with a record that cannot be
parsed (envelope, delivery).

boto3 parses a page as a whole. Some implementations of Streams send images that are not DynamoDB JSON, for example of
maps whose keys look like type tags ("S", "L"). One of them makes the whole page unreadable, and without this class the
shard would stop there.
"""

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.parsers import ResponseParserError, create_parser

from medallion_assets.capture.envelope import MalformedRecord, sequence_number

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

# What botocore's parser raises when a value does not have the shape that the service model gives it.
_PARSE_ERRORS: Final = (AttributeError, TypeError, ValueError, LookupError, ResponseParserError)


class TolerantStreams:
    """The client it is given, but for `get_records`. Safe to use from several threads, as boto3's clients are."""

    def __init__(self, client: "DynamoDBStreamsClient") -> None:
        self._client = client
        self._response = threading.local()
        client.meta.events.register("before-parse.dynamodb-streams.GetRecords", self._keep_body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_records(self, **arguments: Any) -> Mapping[str, Any]:
        """Return the page as boto3 does; a record that cannot be parsed is a MalformedRecord in its place.

        Raises botocore's errors, CaptureError for a malformed record without a sequence number, and what boto3 raises
        if more than single records of the response is malformed.
        """
        self._response.body = None
        page: dict[str, Any]
        try:
            page = dict(self._client.get_records(**arguments))
        except _PARSE_ERRORS:
            if self._response.body is None:
                raise
            page = json.loads(self._response.body)
            page["Records"] = [self._parse(record) for record in page["Records"]]
        return page

    def _keep_body(self, response_dict: Mapping[str, Any], **_: object) -> None:
        self._response.body = response_dict["body"]

    def _parse(self, record: dict[str, Any]) -> Mapping[str, Any]:
        service = self._client.meta.service_model
        parser = create_parser(service.resolved_protocol)
        shape = service.shape_for("GetRecordsOutput")
        response = {"body": json.dumps({"Records": [record]}).encode(), "headers": {}, "status_code": 200}
        try:
            parsed: Mapping[str, Any] = parser.parse(response, shape)["Records"][0]
        except _PARSE_ERRORS as error:
            sequence_number(record)
            return _malformed(record, f"{type(error).__name__}: {error}")
        return parsed


def _malformed(record: dict[str, Any], reason: str) -> MalformedRecord:
    """Return the record as sent, but with boto3's type of its time."""
    change = record["dynamodb"]
    created = change.get("ApproximateCreationDateTime")
    if isinstance(created, int | float):
        change = {**change, "ApproximateCreationDateTime": datetime.fromtimestamp(created, UTC)}
    malformed = MalformedRecord({**record, "dynamodb": change})
    malformed.reason = reason
    return malformed
