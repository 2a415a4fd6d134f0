"""Dead letters: a record that capture cannot write becomes a message on the dead-letter queue.

Belongs here: what the message holds, and where large records are stored. Does not belong here: when a record is
dead-lettered (delivery). The record has the shape of a Lambda event's record, as ASCII JSON (text that is not valid
UTF-8 is escaped). So `handler({"Records": [message["record"]]}, None)` delivers it once the cause is fixed.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.sequence import pad_sequence
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import LakeUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# By default a queue takes 256 KiB per message; a record with both images has up to 800 KB.
_MAX_INLINE_BYTES: Final = 240_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that was not written to Bronze, and why. `failed_at` is ISO 8601."""

    table: str
    stream_arn: str
    shard_id: str
    sequence_number: str
    reason: str
    attempts: int
    failed_at: str
    record: Mapping[str, Any]


class DeadLetterSink(Protocol):
    """Where dead letters go. Raises LakeUnavailable when it does not accept them now."""

    def send(self, letter: DeadLetter) -> None:
        """Store one dead letter durably; after this the shard goes on without the record."""


class DeadLetterQueue:
    """An SQS queue. A record that is too large for a message is stored in Bronze; the message holds its address.

    Such a record is at `_dead_letters/<table>/<sequence number>_<hash>.json` below the Bronze root. Readers of Bronze
    do not see it: they list Parquet files only.
    """

    def __init__(self, client: "SQSClient", queue_url: str, *, store: BronzeStore) -> None:
        self._client = client
        self._queue_url = queue_url
        self._store = store

    def send(self, letter: DeadLetter) -> None:
        """Send one message: the fields of DeadLetter, with `record_uri` in place of `record` when it is large."""
        message = asdict(letter)
        record = json.dumps(letter.record, default=_as_lambda_sends)
        message["record"] = json.loads(record)
        if len(record) > _MAX_INLINE_BYTES:
            digest = hashlib.sha256(record.encode()).hexdigest()[:16]
            path = f"_dead_letters/{letter.table}/{pad_sequence(letter.sequence_number)}_{digest}.json"
            self._store.put(path, record.encode())
            del message["record"]
            message["record_uri"] = self._store.uri(path)
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message))
        except (ClientError, BotoCoreError) as error:
            raise LakeUnavailable(f"the dead-letter queue {self._queue_url} took no message: {error}") from error


def _as_lambda_sends(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} in a stream record; boto3 returns no such type")
