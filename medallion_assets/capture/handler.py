"""The Lambda function behind a DynamoDB stream: `medallion_assets.capture.handler.handler`.

Belongs here: Lambda's event and answer. Does not belong here: anything else; the work is `process`.
The event source mapping must ask for ReportBatchItemFailures, or the answer is ignored.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.capture.write_bronze import process
from medallion_assets.errors import SettingsError


def handler(event: Mapping[str, Any], context: object) -> dict[str, list[dict[str, str]]]:
    """Write the event's records to Bronze and report those that failed; Lambda sends again from the lowest.

    Raises SettingsError without MEDALLION_BRONZE, and whatever the store raises: Lambda then retries the batch.
    """
    failures = process(event["Records"], store=_store(), captured_at=datetime.now(UTC))
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failures]}


@cache
def _store() -> BronzeStore:
    url = os.environ.get("MEDALLION_BRONZE")
    if not url:
        raise SettingsError("MEDALLION_BRONZE is not set; set it to s3://<bucket>/<prefix>, the root of Bronze")
    return open_store(url)
