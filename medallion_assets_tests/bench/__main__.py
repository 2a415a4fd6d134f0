"""`make bench`: runs the works and prints one JSON object per measured figure, with a table on the error stream.

What belongs here: choosing and printing. How a work is measured is its own module's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from rich.console import Console
from rich.table import Table

WORKS = {
    "capture": ("capture", "run"),
    "decode": ("decode", "run"),
    "decode-formats": ("formats", "run"),
    "throughput": ("throughput", "run"),
    "throughput-10m": ("throughput", "run_10m"),
    "merge-10m": ("merge", "merge_10m"),
    "merge-1m": ("merge", "merge_1m"),
    "merge-composite": ("merge", "merge_composite"),
    "merge-deletes": ("deletes", "run"),
    "gold-key": ("gold_key", "run"),
    "scan": ("scan", "run"),
    "reconcile": ("reconcile", "run"),
    "backfill": ("backfill", "run"),
    "rebuild": ("rebuild", "run"),
    "freshness": ("freshness", "run"),
    "s3": ("s3", "run"),
    "sustained": ("sustained", "run"),
    "sensor": ("sensor", "run"),
    "week": ("week", "run"),
    "decade": ("decade", "run"),
    "infer": ("infer", "run"),
    "cost": ("cost", "run"),
    "simulation": ("simulation", "run"),
    "definitions": ("definitions", "run"),
    "ingest": ("ingest", "run"),
    "serve": ("serve", "run"),
    "large-domain": ("large_domain", "run"),
}
FIELDS = ("work", "ours", "other", "unit", "ratio", "peak_mb", "what_other_is")


NAMED_ONLY = {
    "growth": ("growth", "run"),  # half an hour of the processor
    "scale": ("scale", "run"),  # ten minutes, and 5 GB of disk
}
"""Works that run only when they are named."""


def main() -> None:
    """Run one work, or all but those of NAMED_ONLY."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(WORKS | NAMED_ONLY), help="one work instead of all")
    only = parser.parse_args().only
    table = Table(*FIELDS)
    works = WORKS if only is None else {only: (WORKS | NAMED_ONLY)[only]}
    for module, function in works.values():
        for figure in getattr(importlib.import_module(f"medallion_assets_tests.bench.{module}"), function)():
            print(json.dumps({field: figure[field] for field in FIELDS}), flush=True)  # noqa: T201 - the output
            table.add_row(*(str(figure[field]) for field in FIELDS))
    Console(file=sys.stderr, width=160).print(table)


if __name__ == "__main__":
    main()
