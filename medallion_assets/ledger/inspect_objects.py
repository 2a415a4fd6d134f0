"""Inspect the Bronze objects of one table: record what Silver has merged, and find what it skipped or what was lost.

Belongs here: which objects are read, and in which order. Does not belong here: the rules for one object (objects).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from medallion_assets.bronze.stats import read_stats
from medallion_assets.capture.naming import ObjectName
from medallion_assets.ledger.findings import Findings
from medallion_assets.ledger.follow import Origin
from medallion_assets.ledger.gap import BRONZE_KINDS, gap_key, skipped_object
from medallion_assets.ledger.objects import assess_object, new_row, select_suspects
from medallion_assets.ledger.row import Row
from medallion_assets.ledger.silver_contains import silver_contains
from medallion_assets.ledger.view import Sources, TableView

MAX_SUSPECTS: Final = 100
"""Suspect objects of one kind that are read per inspection; the next one reads the others."""


def inspect_objects(sources: Sources, view: TableView) -> Findings:
    """Record what Silver has merged, and find objects that it skipped, that vanished, or that were overwritten."""
    listed = sources.ledger.objects(view.name, view.listing.ranges)
    merged = view.merged.objects
    recorded = listed.keys() | sources.ledger.named(view.name, merged.keys() - listed.keys()).keys()
    new = {name: origin for name, origin in merged.items() if name not in recorded}
    found = [_record_new(sources, view, new)]
    if not view.merged.behind:
        unknown = view.listing.entries.keys() - recorded - new.keys()
        found.append(_inspect_skipped(sources, view, unknown))
    found.append(_inspect_suspects(sources, view, listed))
    return Findings.combine(found)


def _record_new(sources: Sources, view: TableView, origins: Mapping[str, Origin]) -> Findings:
    """Record objects that the table contains."""
    rows = {name: new_row(view.name, name, origin, view.listing) for name, origin in sorted(origins.items())}
    return _assess(sources, view, rows)


def _assess(sources: Sources, view: TableView, rows: Mapping[str, Row]) -> Findings:
    stats = read_stats(sources.store, rows)
    return Findings.combine(
        assess_object(name, row, stats[name], view.listing, now=view.now) for name, row in rows.items()
    )


def _inspect_skipped(sources: Sources, view: TableView, unknown: Collection[str]) -> Findings:
    """Inspect objects that the table's position is past and that no snapshot names.

    One whose gap was closed by a repair is not inspected again.
    """
    list_after, assumed_through = view.position.list_after, view.offset.assumed_through
    past = {name for name in unknown if list_after is not None and name <= list_after}
    assumed = {name for name in past if assumed_through is not None and name <= assumed_through}
    repaired = {name for name in past if view.gaps.closed_at.get(gap_key(view.name, "skipped_object", name))}
    contained = set(assumed)
    gaps, over = [], set()
    suspects = (past - assumed - repaired) | view.gaps.subjects("skipped_object")
    for name in sorted(suspects)[:MAX_SUSPECTS]:
        if view.listing.covers(name) and name not in view.listing.entries:
            over.add(gap_key(view.name, "skipped_object", name))  # Somebody moved it away.
        elif silver_contains(sources.lake, sources.store, view.contract, name):
            contained.add(name)
        else:
            stats = read_stats(sources.store, [name])[name]
            since = stats.oldest_change if stats and stats.oldest_change else ObjectName.parse(name).captured_at
            gaps.append(skipped_object(view.name, name, since=since, now=view.now))
    recorded = _record_new(sources, view, dict.fromkeys(contained, Origin(view.current_snapshot, None)))
    return Findings.combine([recorded, Findings(gaps=gaps, over=frozenset(over))])


def _inspect_suspects(sources: Sources, view: TableView, listed: Mapping[str, Row]) -> Findings:
    """Read objects again that are not as they were recorded."""
    suspects = {
        *sorted(select_suspects(listed, view.listing))[:MAX_SUSPECTS],
        *sorted(view.gaps.subjects(*BRONZE_KINDS))[:MAX_SUSPECTS],
    }
    rows = {**sources.ledger.named(view.name, suspects - listed.keys()), **listed}
    return _assess(sources, view, {name: rows[name] for name in sorted(suspects & rows.keys())})
