"""The Lambda function `medallion_assets.ingest.handler.handler` behind an HTTP API.

Belongs here: building the application from the environment. Does not belong here: the requests (app).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from medallion_assets.capture.source_names import SourceNames
from medallion_assets.contracts.loader import default_domain, load_domain
from medallion_assets.errors import SettingsError
from medallion_assets.ingest.app import IngestApp
from medallion_assets.ingest.deployed import REQUESTS
from medallion_assets.ingest.policy import load_policy
from medallion_assets.telemetry.spans import flush, span


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request. Raises SettingsError and ContractError if the function is not set up."""
    try:
        with span("ingest") as counts:
            answer = open_app().resolve(event, context)
            counts["status"] = answer["statusCode"]
        return answer
    finally:
        flush()  # Lambda may stop this process until the next invocation, or for good.


@cache
def open_app() -> IngestApp:
    """Return the application over the tables of MEDALLION_DOMAIN in DynamoDB.

    Raises SettingsError without MEDALLION_INGEST_REQUESTS, and ContractError for a mistake in the domain or its policy.
    """
    requests = os.environ.get(REQUESTS)
    if not requests:
        raise SettingsError(f"{REQUESTS} is not set; set it to the DynamoDB table that keeps answers of requests")
    domain = load_domain(default_domain())
    # A request waits 29 seconds at most, at the gateway.
    client = boto3.client(
        "dynamodb",
        config=Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}),
    )
    return IngestApp(client, domain, load_policy(domain), requests_table=requests, names=SourceNames.load())
