"""Which tables got objects in Bronze, from the notifications that S3 sends to an SQS queue.

A look lists these tables and waits for the others. The prefix stays the truth: a notification that is lost, late or
sent twice costs time or a listing, and no change. So nothing is deleted from the queue: a message that was received
stays hidden until it expires, which is when the next full listing is due. Belongs here: receiving. Does not belong
here: what is pending (pending), when all tables are listed (pace).
"""

from __future__ import annotations

import json
import logging
import math
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

MAX_RECEIVES: Final = 5
"""So many full answers, of ten messages each, and so much arrives that listing every table is cheaper."""


class ArrivalsQueue:
    """The queue at a URL, to which the bucket of the Bronze root `s3://bucket/prefix` sends what is created there."""

    def __init__(self, client: SQSClient, url: str, bronze: str) -> None:
        self._client = client
        self._url = url
        bucket, _, prefix = bronze.removeprefix("s3://").partition("/")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def receive(self, *, wait_seconds: float) -> frozenset[str] | None:
        """Return the names in DynamoDB of the tables with new objects, after at most `wait_seconds` without any.

        None: list every table, because more arrives than is worth receiving, or because the queue does not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        tables: set[str] = set()
        for _ in range(MAX_RECEIVES):
            wait = 0 if tables else max(0, min(20, math.floor(wait_seconds)))
            try:
                answer = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
            except (BotoCoreError, ClientError) as failure:
                log.warning("the queue of arrivals does not answer, so Bronze is listed: %s", failure)
                return None
            messages = answer.get("Messages", [])
            for message in messages:
                tables |= self._tables(message.get("Body", ""))
            if len(messages) < 10:
                return frozenset(tables)
        return None

    def _tables(self, body: str) -> set[str]:
        """Return the tables that a notification names; none for S3's test of the queue, or another bucket's."""
        try:
            records = json.loads(body).get("Records", [])
            places = [(one["s3"]["bucket"]["name"], unquote_plus(one["s3"]["object"]["key"])) for one in records]
        except (ValueError, TypeError, LookupError, AttributeError):
            log.warning("a message of the queue of arrivals is no notification of S3")
            return set()
        return {
            key.removeprefix(self._prefix).partition("/")[0]
            for bucket, key in places
            if bucket == self._bucket and key.startswith(self._prefix)
        }


@cache
def open_arrivals(url: str, bronze: str, region: str) -> ArrivalsQueue:
    """Return the queue, the same for the same arguments: to make a client takes some milliseconds."""
    import boto3

    return ArrivalsQueue(boto3.client("sqs", region_name=region), url, bronze)
