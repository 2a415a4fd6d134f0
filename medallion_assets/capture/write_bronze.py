"""Stream records become Bronze objects: the one act that Lambda, the poller and the tests share.

Belongs here: a batch in, one object per table out, and what could not be written. Does not belong here: where records
come from, or what happens to those that fail.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from medallion_assets.capture.coverage import Claim
from medallion_assets.capture.envelope import Row, content_hash, envelope, parquet, sequence_number
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CaptureError

_log = logging.getLogger(__name__)


def process(
    records: Iterable[Mapping[str, Any]], *, store: BronzeStore, captured_at: datetime, claim: Claim | None = None
) -> list[str]:
    """Write the records to Bronze, one object per table; return the sequence numbers that failed, lowest first.

    A record that cannot be enveloped fails. Whoever delivered the batch sends everything from the lowest failure on
    again, so what comes before it is written and what comes after is left for then: no record is written twice for
    a neighbour's sake. All records before the lowest failure are durable when this returns.

    `captured_at` is the time of this attempt, aware UTC: the objects' names promise that the write ends within 15
    minutes of it. `claim` is what the object accounts for if all the records get into it, all being of one shard; it
    is cut to the records that do. Raises CaptureError for a record without a sequence number (it could not be
    reported), and what the store raises.
    """
    rows: list[Row] = []
    failures: list[str] = []
    for record in records:
        try:
            rows.append(envelope(record))
        except CaptureError as error:
            failures.append(sequence_number(record))
            _log.warning("record %s: %s", failures[-1], error)
    failures.sort(key=int)
    if failures:
        lowest = int(failures[0])
        rows = [row for row in rows if int(row.sequence_number) < lowest]
    by_table: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_table[row.table_name].append(row)
    for table, batch in by_table.items():
        numbers = sorted((row.sequence_number for row in batch), key=int)
        name = ObjectName(table, captured_at, int(numbers[0]), content_hash(batch))
        written = replace(claim, upto=numbers[-1]) if claim else None
        store.put(name.path, parquet(batch, captured_at=captured_at, claim=written))
        _log.debug("wrote %d records to %s", len(batch), name.path)
    return failures
