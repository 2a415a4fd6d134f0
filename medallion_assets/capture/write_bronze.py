"""Write stream records to Bronze: the one act that Lambda, the poller and the tests share.

Belongs here: a batch in, one object per table out, and the records that failed. Does not belong here: where records
come from, and what happens to those that fail.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.envelope import Row, content_hash, envelope, sequence_number, to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.sequence import parse_sequence
from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CaptureError
from medallion_assets.telemetry.spans import object_span

log = logging.getLogger(__name__)


def write_bronze(
    records: Iterable[Mapping[str, Any]],
    *,
    store: BronzeStore,
    captured_at: datetime,
    coverage: ShardCoverage | None = None,
    names: SourceNames = SAME_NAMES,
) -> list[str]:
    """Write the records to Bronze, one object per table; return the sequence numbers that failed, lowest first.

    A record without an envelope fails. The caller redelivers everything from the lowest failure on. Therefore the
    records before it are written, and the records after it are left to the redelivery: no record is written twice
    because its neighbour failed. All records before the lowest failure are durable when this returns.

    `captured_at` is the time of this attempt, aware UTC. The objects are named by it; the write must end within 15
    minutes of it. `coverage` is what the object covers if it holds all the records, which are then of one shard; it
    is shortened to the records that are written. `names` are those of tables that have two. Raises CaptureError for a
    record without a sequence number (it cannot be reported), and what the store raises.
    """
    rows: list[Row] = []
    failures: list[str] = []
    for record in records:
        try:
            rows.append(envelope(record, names))
        except CaptureError as error:
            failures.append(sequence_number(record))
            log.warning("record %s: %s", failures[-1], error)
    failures.sort(key=parse_sequence)
    if failures:
        lowest = parse_sequence(failures[0])
        rows = [row for row in rows if parse_sequence(row.sequence_number) < lowest]
    by_table: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_table[row.table_name].append(row)
    for table, batch in by_table.items():
        numbers = sorted((row.sequence_number for row in batch), key=parse_sequence)
        name = ObjectName(table, captured_at, parse_sequence(numbers[0]), content_hash(batch))
        written = replace(coverage, up_to=numbers[-1]) if coverage else None
        with object_span(name.path, table=table) as counts:
            counts["changes"] = len(batch)
            store.put(name.path, to_parquet(batch, captured_at=captured_at, coverage=written))
        log.debug("wrote %d records to %s", len(batch), name.path)
    return failures
