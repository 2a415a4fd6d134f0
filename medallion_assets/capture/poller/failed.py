"""Records given up: a message with the record's bytes on the on-failure queue.

Belongs here: what the message holds and where large records go. Does not belong here: when a record is given up
(mapping). The record travels in the shape of a Lambda event's record, as ASCII JSON (text that is not valid UTF-8 is
escaped), so `handler({"Records": [message["record"]]}, None)` delivers it again once the cause is mended.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import LakeUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# A queue takes 256 KiB a message unless it is set otherwise, a record with both images has up to 800 KB.
_INLINE_BYTES: Final = 240_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRecord:
    """A record that was given up, and why. `failed_at` is ISO 8601."""

    table: str
    stream_arn: str
    shard_id: str
    sequence_number: str
    reason: str
    attempts: int
    failed_at: str
    record: Mapping[str, Any]


class OnFailure(Protocol):
    """Where records go that are given up. Raises LakeUnavailable when they cannot go there now."""

    def send(self, failed: FailedRecord) -> None:
        """Set one record aside for good; after this the shard goes on without it."""


class OnFailureQueue:
    """An SQS queue. A record too large for a message lies in Bronze's store, the message holds its address.

    Such a record is at `failed/<table>/<sequence number>_<hash>.json` below the Bronze root. No reader of Bronze
    sees it there: they list Parquet files only.
    """

    def __init__(self, client: "SQSClient", queue_url: str, *, store: BronzeStore) -> None:
        self._client = client
        self._queue_url = queue_url
        self._store = store

    def send(self, failed: FailedRecord) -> None:
        """Send one message: the fields of FailedRecord, with `record_uri` in place of `record` when it is large."""
        message = asdict(failed)
        record = json.dumps(failed.record, default=_as_lambda_sends)
        message["record"] = json.loads(record)
        if len(record) > _INLINE_BYTES:
            digest = hashlib.sha256(record.encode()).hexdigest()[:16]
            path = f"failed/{failed.table}/{int(failed.sequence_number):040d}_{digest}.json"
            self._store.put(path, record.encode())
            del message["record"]
            message["record_uri"] = self._store.uri(path)
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message))
        except (ClientError, BotoCoreError) as error:
            raise LakeUnavailable(f"on-failure queue {self._queue_url} took no message: {error}") from error


def _as_lambda_sends(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} in a stream record; boto3 gives none")
