"""The Lambda function `medallion_assets.ingest.inbox_handler.handler` of the inbound queue.

Belongs here: Lambda's event and partial answer, and building the consumer. Does not belong here: messages (inbox).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3

from medallion_assets.capture.source_names import SourceNames
from medallion_assets.contracts.loader import default_domain, load_domain
from medallion_assets.errors import SettingsError
from medallion_assets.ingest.deployed import ALERTS, DEAD_LETTERS, REQUESTS
from medallion_assets.ingest.inbox import Inbox
from medallion_assets.ingest.items import items_of
from medallion_assets.ingest.once import Once
from medallion_assets.ingest.policy import load_policy
from medallion_assets.telemetry.spans import flush, span


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Take a batch of messages; answer which of them SQS shall deliver again. Raises as open_inbox does."""
    try:
        with span("inbox") as counts:
            again = open_inbox().take(event["Records"], context)
            counts["messages"], counts["again"] = len(event["Records"]), len(again)
        return {"batchItemFailures": [{"itemIdentifier": one} for one in again]}
    finally:
        flush()  # Lambda may stop this process until the next invocation, or for good.


@cache
def open_inbox() -> Inbox:
    """Return the consumer of MEDALLION_DOMAIN's inbox.

    Raises SettingsError without its variables, and ContractError for a mistake in the domain or its policy.
    """
    if missing := [name for name in (REQUESTS, DEAD_LETTERS, ALERTS) if not os.environ.get(name)]:
        raise SettingsError(f"{', '.join(missing)} not set; the function of the inbox needs each")
    domain, client = load_domain(default_domain()), boto3.client("dynamodb")
    policy = load_policy(domain)
    return Inbox(
        items_of(client, domain, policy, SourceNames.load()),
        policy,
        Once(client, os.environ[REQUESTS]),
        boto3.client("sqs"),
        boto3.client("sns"),
        os.environ[DEAD_LETTERS],
        os.environ[ALERTS],
    )
