"""`python -m medallion_assets.capture.poller`: its arguments; prints one line when it is ready.

Region, endpoint and credentials are boto3's own (`AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL`, ...).
Exit codes: 0 stopped by a signal, 1 a table lost changes and stopped, 2 it could not start.
"""

import argparse
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from medallion_assets.capture.dead_letter import write_dead_letter
from medallion_assets.capture.gap_marker import write_gap_marker
from medallion_assets.capture.heartbeat import write_heartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.process import run_until_stopped, stream_clients
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.stream import find_stream, stream_missing
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze


def main(arguments: list[str] | None = None) -> int:
    """Run the poller until SIGTERM or SIGINT; return the exit code."""
    asked = _parser().parse_args(arguments)
    return run_until_stopped(partial(_run, asked))


def _run(asked: argparse.Namespace, halt: threading.Event) -> list[str]:
    dynamodb, streams = stream_clients()
    store = open_store(asked.bronze)
    tables: list[str] = list(dict.fromkeys(table.partition("=")[0] for table in asked.tables))
    names = SourceNames.parse(",".join(table for table in dict.fromkeys(asked.tables) if "=" in table))
    with Checkpoint.open(asked.checkpoint) as checkpoint:
        for table in asked.resume_after_gap:
            checkpoint.forget(table)
        for table in tables:
            source = names.in_dynamodb(table)
            if find_stream(dynamodb, source) is None and checkpoint.table(table) is None:
                raise stream_missing(source)
            next(store.list(table), None)
        pollers = [
            TablePoller(
                table,
                source=names.in_dynamodb(table),
                dynamodb=dynamodb,
                streams=streams,
                write=partial(write_bronze, store=store, names=names),
                on_dead_letter=partial(write_dead_letter, store, names=names),
                on_gap=partial(write_gap_marker, store),
                on_heartbeat=partial(write_heartbeat, store),
                checkpoint=checkpoint,
                settings=PollerSettings(),
                clock=lambda: datetime.now(UTC),
            )
            for table in tables
        ]

        def ready() -> None:
            sys.stdout.write(f"ready: capturing {', '.join(tables)}\n")
            sys.stdout.flush()

        return poll(pollers, halt=halt, ready=ready)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m medallion_assets.capture.poller",
        description="Capture DynamoDB streams into Bronze, as a Lambda event source mapping would.",
    )
    parser.add_argument(
        "tables",
        nargs="+",
        metavar="TABLE",
        help="a DynamoDB table with a stream; where its contract has another name, <contract's>=<DynamoDB's>",
    )
    parser.add_argument(
        "--bronze", required=True, metavar="URL", help="root of Bronze: s3://bucket/prefix, or a directory"
    )
    parser.add_argument(
        "--checkpoint", required=True, type=Path, metavar="FILE", help="file that stores what was delivered"
    )
    parser.add_argument(
        "--resume-after-gap",
        action="append",
        default=[],
        metavar="TABLE",
        help="restart the capture of this table after it lost changes; backfill it once the poller is ready",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
