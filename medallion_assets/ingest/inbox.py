"""The inbound queue: each message is one write, checked and done as a request to the API.

A message is an operation as a batch has it: `{"verb": "put", "table": "orders", "key": {...}, "item": {...}}`. Who may
send to the queue may write the tables that the policy's `inbox` names. A message that is refused goes to the
dead-letter queue with its reason, an alert and a metric; one that DynamoDB did not answer is tried again.

Belongs here: what becomes of a message. Does not belong here: the dead-letter queue (dead_letter).
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.mapping import METRICS_NAMESPACE
from medallion_assets.ingest.dead_letter import put_dead_letter
from medallion_assets.ingest.deployed import METRIC
from medallion_assets.ingest.item_body import read_json
from medallion_assets.ingest.items import Items
from medallion_assets.ingest.mismatch import NotAnItem
from medallion_assets.ingest.once import Once
from medallion_assets.ingest.operation import Operation, read_operation
from medallion_assets.ingest.policy import Policy
from medallion_assets.ingest.refusal import SHOWN_MISMATCHES, Refused, mismatched

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

_TRY_AGAIN: Final = frozenset({"in_progress", "busy"})


@dataclass(frozen=True)
class Inbox:
    """The queue's consumer. `sns` is a client of SNS, which publishes alerts to `alerts_topic`."""

    items: Mapping[str, Items]
    policy: Policy
    once: Once
    sqs: SQSClient
    sns: Any
    dead_letters: str
    alerts_topic: str

    def take(self, records: Sequence[Mapping[str, Any]], context: Any) -> list[str]:
        """Do what the messages say; return the ids of those that SQS shall deliver again.

        `context` is Lambda's. Raises nothing for a message.
        """
        again: list[str] = []
        refusals: Counter[str] = Counter()
        for record in records:
            refused = self._refused(record, context)
            if refused is None:
                continue
            table, why = refused
            if why.status >= 500 or why.code in _TRY_AGAIN:
                log.warning("a message of %s is tried again: %s", table, why.code)
                again.append(record["messageId"])
                continue
            try:
                put_dead_letter(self.sqs, self.dead_letters, record["body"], table, why)
            except (ClientError, BotoCoreError) as error:
                log.error("the dead-letter queue did not take a message: %s", type(error).__name__)
                again.append(record["messageId"])
                continue
            named = sorted({one.as_json()["field"] for one in why.mismatches[:SHOWN_MISMATCHES]})
            fields = ", ".join(named)
            refusals[f"{table}: {why.code}{f' of {fields}' if fields else ''}"] += 1
        if refusals:
            self._alert(refusals, context)
        return again

    def _refused(self, record: Mapping[str, Any], context: Any) -> tuple[str, Refused] | None:
        """Do what a message says; return why it was not done, and its table."""
        table = "?"
        try:
            operation = _operation(record["body"])
            if operation.table not in self.policy.inbox:
                raise Refused(403, "forbidden", "The policy's `inbox` does not name the table.")
            table = operation.table
            digest = hashlib.sha256(record["body"].encode()).hexdigest()
            # SQS may deliver a message more than once, and an item that was made already would be refused.
            self.once.do(["message", record["messageId"]], digest, lambda: self._do(operation), context)
        except Refused as refused:
            return table, refused
        return None

    def _do(self, operation: Operation) -> dict[str, Any]:
        return {"version": operation.do(self.items[operation.table]).version}

    def _alert(self, refusals: Counter[str], context: Any) -> None:
        total = refusals.total()
        log.error("%d messages were refused", total)
        metric = {
            "Namespace": METRICS_NAMESPACE,
            "Dimensions": [["FunctionName"]],
            "Metrics": [{"Name": METRIC, "Unit": "Count"}],
        }
        about = {"Timestamp": int(datetime.now(UTC).timestamp() * 1000), "CloudWatchMetrics": [metric]}
        name = getattr(context, "function_name", "inbox")
        sys.stdout.write(json.dumps({"_aws": about, "FunctionName": name, METRIC: total}) + "\n")
        lines = [f"{count} x {reason}" for reason, count in refusals.most_common(20)]
        text = "\n".join([f"{total} messages of the inbox were refused.", *lines, "", "medallion inbox list"])
        try:
            self.sns.publish(TopicArn=self.alerts_topic, Subject="Medallion: messages refused", Message=text)
        except (ClientError, BotoCoreError) as error:
            # The messages are in the dead-letter queue; delivering them again would put them there twice.
            log.error("the alert was not published: %s", type(error).__name__)


def _operation(body: str) -> Operation:
    try:
        return read_operation(read_json(body))
    except NotAnItem as wrong:
        raise mismatched(wrong.mismatches) from None
