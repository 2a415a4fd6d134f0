"""The Lambda function of a DynamoDB stream: `medallion_assets.capture.handler.handler`.

Belongs here: Lambda's event, and that no record blocks its shard. Does not belong here: what a record becomes
(write_bronze), and what Lambda does after an error (mapping).
"""

import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from medallion_assets.capture.dead_letter import DeadLetter, write_dead_letter
from medallion_assets.capture.envelope import refusal
from medallion_assets.capture.mapping import DEAD_LETTERS, METRICS_NAMESPACE
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import LakeUnavailable, SettingsError
from medallion_assets.telemetry.spans import flush, span

log = logging.getLogger(__name__)


def handler(event: Mapping[str, Any], context: object) -> None:
    """Write the event's records to Bronze; set aside as dead letters those that cannot be written, and go on.

    Raises SettingsError without MEDALLION_BRONZE, and what the store raises: Lambda then calls again with the same
    batch. Any other error is raised for a batch of several records, so that Lambda halves it; a record that is alone
    then is set aside.
    """
    records: Sequence[Mapping[str, Any]] = event["Records"]
    try:
        with span("capture") as counts:
            counts["records"] = len(records)
            counts["dead_letters"] = letters = _capture(records)
    finally:
        flush()  # Lambda may stop this process until the next invocation, or for good.
    if letters:
        _send_metric(letters, context)


def _capture(records: Sequence[Mapping[str, Any]]) -> int:
    """Write records; return how many were set aside."""
    store, letters = _store(), 0
    while records:
        try:
            failed = write_bronze(records, store=store, captured_at=datetime.now(UTC), names=_names())
        except (LakeUnavailable, SettingsError):
            raise
        except Exception as error:
            if len(records) > 1:
                raise
            at, reason, logged = 0, f"{type(error).__name__}: {error}", type(error).__name__
        else:
            if not failed:
                break
            at = next(i for i, record in enumerate(records) if record["dynamodb"]["SequenceNumber"] == failed[0])
            reason = logged = refusal(records[at]) or "reported as failed"
        letter = DeadLetter(failed_at=datetime.now(UTC), reason=reason, record=records[at])
        log.error("a record was set aside as %s: %s", store.uri(write_dead_letter(store, letter, _names())), logged)
        letters += 1
        records = records[at + 1 :]
    return letters


def _send_metric(letters: int, context: object) -> None:
    """Write a line in CloudWatch's embedded metric format: Lambda's log makes a metric of it, without a permission."""
    name, version = getattr(context, "function_name", "capture"), getattr(context, "function_version", "$LATEST")
    metric = {
        "Namespace": METRICS_NAMESPACE,
        "Dimensions": [["FunctionName"], ["FunctionName", "Version"]],
        "Metrics": [{"Name": DEAD_LETTERS, "Unit": "Count"}],
    }
    about = {"Timestamp": int(datetime.now(UTC).timestamp() * 1_000), "CloudWatchMetrics": [metric]}
    sent = {"_aws": about, "FunctionName": name, "Version": version, DEAD_LETTERS: letters}
    sys.stdout.write(json.dumps(sent) + "\n")


@cache
def _store() -> BronzeStore:
    url = os.environ.get("MEDALLION_BRONZE")
    if not url:
        raise SettingsError("MEDALLION_BRONZE is not set; set it to s3://<bucket>/<prefix>, the root of Bronze")
    return open_store(url)


@cache
def _names() -> SourceNames:
    return SourceNames.load()
