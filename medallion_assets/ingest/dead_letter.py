"""The dead-letter queue of the inbox: messages that were refused, each with its reason.

The body is the message as it was sent, the reason a message attribute. A message without one was given up by SQS, after
it had been received too often.

Belongs here: putting messages there, looking at them, sending them again, dropping them. Does not belong here: why a
message is refused (inbox).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from medallion_assets.ingest.refusal import SHOWN_MISMATCHES, Refused

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

_REASON: Final = "reason"
_PAGE: Final = 10
_LOOK_SECONDS: Final = 60


@dataclass(frozen=True)
class DeadLetter:
    """A message in the queue.

    - table: what the message says, or `?`
    - code, text, mismatches: of the refusal
    - sent_at: when it came into this queue
    - receipt: with which it is removed, for a minute
    """

    id: str
    table: str
    code: str
    text: str
    mismatches: Sequence[Mapping[str, str]]
    sent_at: datetime
    body: str
    receipt: str


def put_dead_letter(client: SQSClient, url: str, body: str, table: str, refused: Refused) -> None:
    """Put a refused message into the queue. Raises botocore's errors."""
    reason = {
        "table": table,
        "code": refused.code,
        "text": str(refused),
        "mismatches": [one.as_json() for one in refused.mismatches[:SHOWN_MISMATCHES]],
    }
    attribute: MessageAttributeValueTypeDef = {"DataType": "String", "StringValue": json.dumps(reason)}
    client.send_message(QueueUrl=url, MessageBody=body, MessageAttributes={_REASON: attribute})


def dead_letters(client: SQSClient, url: str) -> Iterator[DeadLetter]:
    """Yield each message once, and leave those that are not removed meanwhile. Others do not see them for a minute.

    Raises botocore's errors.
    """
    seen: set[str] = set()
    left: list[str] = []
    try:
        while True:
            answer: Any = client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_PAGE,
                VisibilityTimeout=_LOOK_SECONDS,
                WaitTimeSeconds=1,  # without a wait SQS asks only some of its servers
                MessageAttributeNames=[_REASON],
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            new = [one for one in answer.get("Messages", []) if one["MessageId"] not in seen]
            if not new:
                return
            for message in new:
                seen.add(message["MessageId"])
                left.append(message["ReceiptHandle"])
                yield _read(message)
    finally:
        # So that the next look sees them at once; a message that was removed meanwhile is no error to SQS.
        for receipt in left:
            _show_again(client, url, receipt)


def move(client: SQSClient, url: str, chosen: Callable[[DeadLetter], bool], *, to: str | None) -> Mapping[str, int]:
    """Send the chosen messages to another queue, or drop them (`to` None); return how many, by table.

    A message that is sent and refused again meanwhile is not sent a second time.
    A process that dies between sending and removing leaves a message in both queues. Raises botocore's errors.
    """
    moved: dict[str, int] = {}
    sent: set[bytes] = set()
    for letter in dead_letters(client, url):
        if not chosen(letter):
            continue
        if to is not None:
            content = hashlib.sha256(letter.body.encode()).digest()
            if content in sent:
                continue
            sent.add(content)
            client.send_message(QueueUrl=to, MessageBody=letter.body)
        client.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt)
        moved[letter.table] = moved.get(letter.table, 0) + 1
    return moved


def _read(message: Mapping[str, Any]) -> DeadLetter:
    attribute = message.get("MessageAttributes", {}).get(_REASON)
    reason: Mapping[str, Any] = json.loads(attribute["StringValue"]) if attribute else {}
    return DeadLetter(
        id=message["MessageId"],
        table=reason.get("table", "?"),
        code=reason.get("code", "given_up"),
        text=reason.get("text", "SQS gave it up: it was received too often without an answer."),
        mismatches=reason.get("mismatches", ()),
        sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        body=message["Body"],
        receipt=message["ReceiptHandle"],
    )


def _show_again(client: SQSClient, url: str, receipt: str) -> None:
    from botocore.exceptions import ClientError

    try:
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {
            "MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
            "InvalidParameterValue",
            "ReceiptHandleIsInvalid",
        }:
            raise
