"""What each check is about, in words.

Belongs here: a sentence for each name of a check. Does not belong here: what to do when it fails (defs.checks).
"""

from __future__ import annotations

from typing import Final

DESCRIPTIONS: Final = {
    "keys": "Every key is in the table once and is never null.",
    "columns": "The table has exactly the declared columns and types.",
    "bronze_counts": "Every row of a batch is redelivered, merged, superseded, unchanged, quarantined, dropped or of "
    "another entity.",
    "quarantine_rate": "The share of the batch's changes that break the contract is within what the contract allows.",
    "quarantine": "No change is open in quarantine.",
    "row_rules": "Rows keep those rules of the contract that only warn.",
    "references": "Rows refer only to rows that are in the other table.",
    "row_count": "The table has not lost more of its rows since the day before than the contract allows.",
    "freshness": "The newest change is not older than the contract allows.",
    "completeness": "No change is known to be missing, and the table is complete up to a time that is recent enough.",
    "files": "Every dropped file fits the contract.",
    "silver": "A live counter equals its Silver table, group by group, at the counter's own moment.",
    "source": "Silver has every item of the source with the same values, and no other row.",
    "grain": "Every row has its grain, and no two rows have the same.",
    "rules": "Every row keeps the rules of the mart's columns. A row that breaks one stops the publication.",
    "warning_rules": "Every row keeps those rules of the mart's columns that only warn.",
}
"""What each check is about, shown before it ever ran. A result repeats it with the numbers of its contract."""
