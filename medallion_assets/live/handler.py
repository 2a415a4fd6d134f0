"""The Lambda function `medallion_assets.live.handler.handler`: a second consumer of a table's stream.

Belongs here: Lambda's event. Does not belong here: what a record does to a counter (apply), and what Lambda does after
an error (the event source mapping: it halves the batch and sends it again, which is harmless).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any

from medallion_assets.capture.source_names import SourceNames
from medallion_assets.errors import SettingsError
from medallion_assets.live.apply import apply_records
from medallion_assets.live.counter import Counter, load_counters
from medallion_assets.live.store import VARIABLE, LiveStore, open_store
from medallion_assets.telemetry.spans import flush, span

log = logging.getLogger(__name__)

_opened = ExitStack()
"""What is open for the life of the process."""


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Apply the event's records to the counters of their tables.

    Returns an empty state, which an event source mapping with a tumbling window asks for. Raises SettingsError without
    MEDALLION_COUNTERS or MEDALLION_LIVE, CaptureError for a record that cannot be read, and LakeUnavailable.
    """
    records = event["Records"]
    try:
        with span("live") as counts:
            counts["records"] = len(records)
            counts["again"] = apply_records(records, counters=_counters(), store=_store(), names=_names())
    finally:
        flush()  # Lambda may stop this process until the next invocation, or for good.
    return {"state": {}}


@cache
def _counters() -> tuple[Counter, ...]:
    return load_counters()


@cache
def _store() -> LiveStore:
    url = os.environ.get(VARIABLE)
    if not url:
        raise SettingsError(
            f"{VARIABLE} is not set; set it to the store of the counters: rediss://… or dynamodb:<table>"
        )
    return _opened.enter_context(open_store(url))


@cache
def _names() -> SourceNames:
    return SourceNames.load()
