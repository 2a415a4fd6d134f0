"""Rules for the Bronze objects that a Silver table contains: which row of the ledger each gets, and which gap.

Belongs here: the rules, from values to values. Does not belong here: reading objects (object_stats), and deciding which
objects to read (inspect).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from medallion_assets.bronze.object_stats import ObjectStats
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.sequence import SEQUENCE_START, pad_sequence
from medallion_assets.capture.store import Entry
from medallion_assets.ledger.findings import Findings
from medallion_assets.ledger.follow import Origin
from medallion_assets.ledger.gap import Gap, changed_object, gap_key, missing_object
from medallion_assets.ledger.listing import Listing
from medallion_assets.ledger.ranges import Range
from medallion_assets.ledger.row import CHANGED, MISSING, PRESENT, Row
from medallion_assets.ops.tables import LEDGER


def new_row(table: str, name: str, origin: Origin, listing: Listing) -> Row:
    """Return the row of an object that the table contains and that is not recorded yet, before it is read."""
    entry = listing.entries.get(name)
    return {
        **dict.fromkeys(column.name for column in LEDGER.columns if column.name != "recorded_at"),
        "object": name,
        "table_name": table,
        "captured_at": ObjectName.parse(name).captured_at,
        "snapshot_id": origin.snapshot_id,
        "run_id": origin.run_id,
        "tag": entry.tag if entry else None,
        "state": PRESENT,
    }


def assess_object(name: str, row: Row, stats: ObjectStats | None, listing: Listing, *, now: datetime) -> Findings:
    """Return what an object that the table contains is now, compared with its row, as recorded or new.

    `stats` are from its bytes; None: it is gone, or is not a complete Bronze object.
    """
    table, is_new, entry = row["table_name"], "recorded_at" not in row, listing.entries.get(name)
    state = _state(row, stats, entry, listed=is_new or listing.covers(name))
    found = {**row, **(_content(stats) if stats and state == PRESENT else {}), "state": state, "recorded_at": now}
    if entry:
        found |= {"bytes": entry.bytes, "tag": entry.tag}
    is_news = is_new or found != {**row, "recorded_at": now}
    gaps: list[Gap] = []
    if state == MISSING != row["state"]:
        gaps = [missing_object(table, name, recorded=_recorded(row), now=now)]
    elif state == CHANGED != row["state"]:
        content = f"it has {stats.rows} records and another hash" if stats else "it cannot be read"
        gaps = [changed_object(table, name, recorded=_recorded(row), found=content, now=now)]
    over = {gap_key(table, "skipped_object", name)}
    over |= {gap_key(table, "missing_object", name)} if state != MISSING else set()
    over |= {gap_key(table, "changed_object", name)} if state != CHANGED else set()
    return Findings({name: found} if is_news else {}, gaps, frozenset(over))


def select_suspects(rows: Mapping[str, Row], listing: Listing) -> set[str]:
    """Return the recorded objects that are not as recorded: they vanished, were overwritten, or came back."""
    gone = {name for name, row in rows.items() if name not in listing.entries and row["state"] != MISSING}
    there = {name: rows[name] for name in listing.entries if name in rows}
    overwritten = {name for name, row in there.items() if row["tag"] != listing.entries[name].tag}
    back = {name for name, row in there.items() if row["state"] == MISSING}
    return gone | overwritten | back


def _state(row: Row, stats: ObjectStats | None, entry: Entry | None, *, listed: bool) -> str:
    if stats is not None:
        return PRESENT if row["content_hash"] in (None, stats.content_hash) else CHANGED
    if not listed:
        state: str = row["state"]
        return state
    return CHANGED if entry else MISSING


def _recorded(row: Row) -> str:
    records = "" if row["rows"] is None else f" with {row['rows']} records"
    if row["up_to"] is None:
        return records
    return f"{records} ({Range(row['after'] or SEQUENCE_START, row['up_to'])} of {row['shard_id']})"


def _content(stats: ObjectStats) -> dict[str, Any]:
    coverage = stats.coverage
    return {
        "rows": stats.rows,
        "first_sequence": stats.first_sequence,
        "last_sequence": stats.last_sequence,
        "newest_change": stats.newest_change,
        "content_hash": stats.content_hash,
        "stream_arn": coverage.stream_arn if coverage else None,
        "shard_id": coverage.shard_id if coverage else None,
        "after": pad_sequence(coverage.after) if coverage and coverage.after is not None else None,
        "up_to": pad_sequence(coverage.up_to) if coverage else None,
        "dead_lettered": coverage.dead_lettered if coverage else None,
    }
