"""The Lambda function of a DynamoDB stream: `medallion_assets.capture.handler.handler`.

Belongs here: Lambda's event and its response. Does not belong here: anything else; `write_bronze` does the work.
The event source mapping must enable ReportBatchItemFailures; otherwise Lambda ignores the response.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import SettingsError


def handler(event: Mapping[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
    """Write the event's records to Bronze and report those that failed; Lambda redelivers from the lowest of them.

    Raises SettingsError without MEDALLION_BRONZE, and what the store raises: Lambda then retries the batch.
    """
    failures = write_bronze(event["Records"], store=_store(), captured_at=datetime.now(UTC))
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failures]}


@cache
def _store() -> BronzeStore:
    url = os.environ.get("MEDALLION_BRONZE")
    if not url:
        raise SettingsError("MEDALLION_BRONZE is not set; set it to s3://<bucket>/<prefix>, the root of Bronze")
    return open_store(url)
