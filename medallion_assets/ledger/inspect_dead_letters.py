"""Inspect the dead letters of one table: are records set aside, and are those of before in Bronze again.

Belongs here: what the letters in Bronze say about gaps. Does not belong here: the counts that a poller states in its
objects and its heartbeat (inspect_shards), redriving letters (capture.redrive).
"""

from __future__ import annotations

from collections.abc import Sequence

from medallion_assets.ledger.findings import Findings
from medallion_assets.ledger.gap import set_aside
from medallion_assets.ledger.view import TableView


def inspect_dead_letters(view: TableView, letters: Sequence[str]) -> Findings:
    """Return the gap of records that a Lambda function set aside, and the gaps that a redrive has filled.

    `letters` are the paths of the table's letters, the oldest first, as listed before the view was read. A redrive
    removes a letter after its record is in Bronze. So once no letter is left and Silver contains all of Bronze, every
    record that was set aside is in the table. A poller states its letters itself. A function cannot, so its letters are
    a gap; while one is open no other is added, and letters of before a repair are none.
    """
    open_ = [gap for gap in view.gaps.open if gap.kind == "dead_lettered"]
    if letters:
        is_new = view.heartbeat is None and not open_
        return Findings(gaps=[set_aside(view.name, len(letters), letters[-1], now=view.now)] if is_new else [])
    if view.merged.behind or view.listing.pending(view.position):
        return Findings()
    return Findings(over=frozenset(gap.gap for gap in open_))
