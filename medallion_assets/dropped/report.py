"""The report of a rejected file: JSON lines, with a line about the file first, then a line for each fault.

Belongs here: its text. Does not belong here: finding faults (check). It has no value of the file.
"""

from __future__ import annotations

import orjson

from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.check import Checked
from medallion_assets.dropped.fault import Fault
from medallion_assets.dropped.inbox import DroppedFile

SUFFIX = ".report.jsonl"


def report(contract: Contract, file: DroppedFile, checked: Checked) -> bytes:
    """Return the report. Rows count from 1, without a header."""
    faults = checked.faults
    counts = [
        {"column": attribute, "problem": problem, "rows": count}
        for (attribute, problem), count in faults.counts.most_common(len(faults.listed))
    ]
    first = {
        "file": file.path,
        "table": contract.table,
        "rows": checked.rows,
        "faults": faults.count,
        "listed": len(faults.listed),
        "counts": counts,
    }
    lines = [first, *({"row": one.row, "column": one.attribute, "problem": one.problem} for one in faults.listed)]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def sentence(fault: Fault) -> str:
    """Return a fault as text."""
    place = [f"row {fault.row}" if fault.row is not None else "", fault.attribute or ""]
    return f"{', '.join(filter(None, place)) or 'the file'}: {fault.problem}"
