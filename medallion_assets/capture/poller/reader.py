"""Read one shard's records, page by page, in order.

Belongs here: iterators (where they start, that they expire), waiting while AWS is busy or not reachable, and detecting
that records were trimmed. Does not belong here: batches, and what is done with a record.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from medallion_assets.capture.poller.checkpoint import ShardCheckpoint
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.shards import Shard
from medallion_assets.capture.poller.steps import Steps
from medallion_assets.capture.sequence import STREAM_RETENTION
from medallion_assets.errors import StreamGap

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.type_defs import GetShardIteratorInputTypeDef

log = logging.getLogger(__name__)

_BUSY: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
    }
)


def is_transient(error: BotoCoreError | ClientError) -> bool:
    """Return whether the same call may succeed later: AWS is busy, failing, or not reachable."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response["Error"]["Code"] in _BUSY or status >= 500
    return isinstance(error, ConnectionError | HTTPClientError)


class Page(NamedTuple):
    """Records in the shape of Lambda's event with boto3's types. `closed`: the shard ends with this page."""

    records: list[dict[str, Any]]
    closed: bool


class ShardReader:
    """Reads one shard, starting after the record that the checkpoint names."""

    def __init__(
        self,
        client: "DynamoDBStreamsClient",
        stream_arn: str,
        shard: Shard,
        checkpoint: ShardCheckpoint,
        *,
        settings: PollerSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._stream_arn = stream_arn
        self._shard = shard
        self._after = checkpoint.sequence_number
        self._settings = settings
        self._clock = clock
        self._checkpoint = checkpoint
        self._iterator: str | None = None
        # A shard that existed when capture started may have lost records before that, which is no gap.
        self._at = None if checkpoint.initial else shard.first_sequence

    def page(self) -> Steps[Page]:
        """Return the next records (an open shard may have none), waiting while AWS is busy or not reachable.

        Raises StreamGap when records were trimmed unread, and botocore's errors that waiting does not resolve.
        """
        failures = 0
        while True:
            try:
                return self._read()
            except (ClientError, BotoCoreError) as error:
                if self._recovers(error):
                    wait_seconds = 0.0
                elif is_transient(error):
                    failures += 1
                    wait_seconds = self._settings.backoff(failures)
                    log.warning("shard %s: read failed, attempt %d: %s", self._shard.shard_id, failures, error)
                else:
                    raise
            yield wait_seconds

    def _read(self) -> Page:
        if self._iterator is None:
            self._iterator = self._client.get_shard_iterator(**self._start())["ShardIterator"]
        answer = self._client.get_records(ShardIterator=self._iterator, Limit=self._settings.page_size)
        records: list[Any] = list(answer.get("Records", ()))
        for record in records:  # In place: a copy of a MalformedRecord would be a plain record.
            record["eventSourceARN"] = self._stream_arn
        if records:
            self._after = records[-1]["dynamodb"]["SequenceNumber"]
        self._iterator = answer.get("NextShardIterator")
        return Page(records, closed=self._iterator is None)

    def _start(self) -> "GetShardIteratorInputTypeDef":
        shard: GetShardIteratorInputTypeDef = {
            "StreamArn": self._stream_arn,
            "ShardId": self._shard.shard_id,
            "ShardIteratorType": "TRIM_HORIZON",
        }
        if self._after is not None:
            return {**shard, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._after}
        if self._at is not None:
            # TRIM_HORIZON would silently skip trimmed records of a child; this raises.
            return {**shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": self._at}
        if self._clock() - self._checkpoint.discovered_at > STREAM_RETENTION:
            raise StreamGap(f"shard {self._shard.shard_id} went unread for more than 24 hours")
        return shard

    def _recovers(self, error: ClientError | BotoCoreError) -> bool:
        """Return whether a new iterator resolves the error. Raises StreamGap when records are lost."""
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else None
        unread = self._after is None
        if code == "ExpiredIteratorException":
            # Iterators expire after 15 minutes; the next one starts after the last record read.
            self._iterator = None
            return True
        if code == "ValidationException" and unread and self._at is not None and self._iterator is None:
            # An iterator cannot start at every StartingSequenceNumber that DescribeStream returns.
            self._at = None
            return True
        if code == "TrimmedDataAccessException":
            if unread and self._checkpoint.initial:
                # What the stream drops before the first read was never promised by this capture.
                self._iterator = None
                return True
            raise StreamGap(f"records of shard {self._shard.shard_id} were trimmed before they were read") from error
        if code == "ResourceNotFoundException":
            raise StreamGap(f"shard {self._shard.shard_id} no longer exists and was not read to its end") from error
        return False
