"""The Lambda function `medallion_assets.capture.handler.handler`, of DynamoDB streams and of Kinesis Data Streams.

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
from medallion_assets.capture.kinesis import KinesisTables, is_of_kinesis, receive
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
            changes, refused = _receive(records)
            counts["dead_letters"] = letters = refused + _capture(changes)
    finally:
        flush()  # Lambda may stop this process until the next invocation, or for good.
    if letters:
        _send_metric(letters, context)


def _receive(records: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """Return the changes among records; those of Kinesis that are none are set aside and counted."""
    changes: list[Mapping[str, Any]] = []
    letters = 0
    for record in records:
        if not is_of_kinesis(record):
            changes.append(record)
            continue
        received = receive(record, _kinesis_tables(), _names())
        if received is None:
            continue
        # Numbers of Kinesis are in no order, so no record may be left to the refusal of a whole rest (write_bronze).
        if (reason := received.refused or refusal(received.record)) is None:
            changes.append(received.record)
        else:
            _set_aside(received.record, reason, logged=reason)
            letters += 1
    return changes, letters


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
        _set_aside(records[at], reason, logged=logged)
        letters += 1
        records = records[at + 1 :]
    return letters


def _set_aside(record: Mapping[str, Any], reason: str, *, logged: str) -> None:
    store = _store()
    path = write_dead_letter(store, DeadLetter(failed_at=datetime.now(UTC), reason=reason, record=record), _names())
    log.error("a record was set aside as %s: %s", store.uri(path), logged)


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
def _kinesis_tables() -> KinesisTables:
    return KinesisTables.load()


@cache
def _names() -> SourceNames:
    return SourceNames.load()
