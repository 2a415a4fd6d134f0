"""Inspect what is parked of one table: is something set aside or given up, and is that of before in Bronze again.

Belongs here: what parked objects say about gaps. Does not belong here: the counts that a poller states in its objects
and its heartbeat (inspect_shards), redriving (capture.redrive).
"""

from __future__ import annotations

from collections.abc import Sequence

from medallion_assets.capture.given_up import GivenUp
from medallion_assets.ledger.findings import Findings
from medallion_assets.ledger.gap import Gap, GapKind, given_up, set_aside
from medallion_assets.ledger.view import TableView


def inspect_parked(view: TableView, letters: Sequence[str], batches: GivenUp | None) -> Findings:
    """Return the gaps of what a Lambda function set aside and of what Lambda gave up, and those that a redrive filled.

    `letters` are the paths of the table's letters, the oldest first; both were listed before the view was read. A
    redrive removes an object after its records are in Bronze. So once none is left and Silver contains all of Bronze,
    every record that was parked is in the table. A poller states its letters itself. A function cannot, so its letters
    are a gap. While a gap is open no other of its kind is added, and what was parked before a repair is none.
    """
    unstated = letters if view.heartbeat is None else ()
    return Findings.combine(
        [
            _inspect(
                view,
                "dead_lettered",
                is_empty=not letters,
                gap=set_aside(view.name, len(unstated), unstated[-1], now=view.now) if unstated else None,
            ),
            _inspect(
                view,
                "given_up",
                is_empty=batches is None,
                gap=given_up(view.name, batches, now=view.now) if batches else None,
            ),
        ]
    )


def _inspect(view: TableView, kind: GapKind, *, is_empty: bool, gap: Gap | None) -> Findings:
    open_ = [gap for gap in view.gaps.open if gap.kind == kind]
    if not is_empty:
        return Findings(gaps=[gap] if gap and not open_ else [])
    if view.merged.behind or view.listing.pending(view.position):
        return Findings()
    return Findings(over=frozenset(gap.gap for gap in open_))
