"""What deletions cost: a batch of which one change in ten is a deletion, next to the same batch without one.

Belongs here: whole batches through decode, merge, audit and publication of Silver and of its deleted keys.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, record

ITEMS, CHANGES, REPEATS = 200_000, 100_000, 3
OBJECT_ROWS = 10_000

ORDERS = contract(
    "Orders", {"Id": "string", "Customer": "string", "Amount": "decimal(12,2)", "Status": "string"}, key="Id"
)


def run() -> list[dict[str, Any]]:
    """Merge 100,000 changes of 200,000 items, with and without deletions, in turn."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with bench_on_files(folder / "built", ORDERS) as bench:
            _put(bench, range(ITEMS), first_number=1, deletes=False)
            bench.merge_pending("orders")
        for _ in range(REPEATS):
            for deletes, measured in seconds.items():
                measured.append(_measure(folder, deletes=deletes))
    ours, other = (statistics.median(seconds[deletes]) for deletes in (True, False))
    return [
        {
            "work": "merge-deletes",
            "ours": round(ours, 3),
            "other": round(other, 3),
            "unit": "s",
            "ratio": round(other / ours, 2),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "what_other_is": "the same batch with an update in place of each deletion; a ratio of 0.77 is asked for",
        }
    ]


def _measure(folder: Path, *, deletes: bool) -> float:
    """Merge the batch into a copy of the table. The copy is at the same path, because Iceberg's paths are absolute."""
    shutil.copytree(folder / "built", folder / "kept")
    with bench_on_files(folder / "built", ORDERS) as bench:
        _put(bench, range(0, ITEMS, ITEMS // CHANGES), first_number=ITEMS + 1, deletes=deletes)
        start = time.perf_counter()
        (result,) = bench.merge_pending("orders")
        measured = time.perf_counter() - start
    if result.merged != CHANGES or result.deleted != (CHANGES // 10 if deletes else 0):
        raise RuntimeError(f"expected {CHANGES} merged changes, saw {result.counts}")
    shutil.rmtree(folder / "built")
    (folder / "kept").rename(folder / "built")
    return measured


def _put(bench: Bench, items: range, *, first_number: int, deletes: bool) -> None:
    changes = [
        record(
            "Orders",
            first_number + at,
            {"Id": {"S": f"order-{item:07d}"}},
            None
            if deletes and at % 10 == 0
            else {
                "Customer": {"S": f"customer-{item % 1000}"},
                "Amount": {"N": f"{item % 9000}.{at % 100:02d}"},
                "Status": {"S": "paid"},
            },
        )
        for at, item in enumerate(items)
    ]
    for start in range(0, len(changes), OBJECT_ROWS):
        bench.put(*changes[start : start + OBJECT_ROWS])
