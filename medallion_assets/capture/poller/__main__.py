"""`python -m medallion_assets.capture.poller`: arguments, clients, signals; prints one line when it is ready.

Region, endpoint and credentials are boto3's own (`AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL`, ...).
Exit codes: 0 stopped as asked, 1 a table lost changes and stopped, 2 it could not start.
"""

import argparse
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.gap_marker import put_gap
from medallion_assets.capture.heartbeat import put_polled
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.failed import OnFailureQueue
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.table import TablePoller, enabled_stream, no_stream
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import process
from medallion_assets.errors import MedallionError


def main(arguments: list[str] | None = None) -> int:
    """Run the poller until SIGTERM or SIGINT; return the exit code."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("medallion_assets").setLevel(logging.INFO)
    halt = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        halt.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        gaps = _run(asked, halt)
    except MedallionError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(
            f"error: AWS cannot be used: {error} Check AWS_DEFAULT_REGION, the credentials and AWS_ENDPOINT_URL; "
            "is the local stack running?\n"
        )
        return 2
    return 1 if gaps else 0


def _run(asked: argparse.Namespace, halt: threading.Event) -> list[str]:
    # One attempt each: the poller has its own backoff, which ends at once when it is asked to stop.
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, max_pool_connections=100)
    dynamodb = boto3.client("dynamodb", config=config)
    streams = boto3.client("dynamodbstreams", config=config)
    sqs = boto3.client("sqs")
    store = open_store(asked.bronze)
    tables: list[str] = list(dict.fromkeys(asked.tables))
    with Checkpoint.open(asked.checkpoint) as checkpoint:
        for table in asked.resume_after_gap:
            checkpoint.forget(table)
        for table in tables:
            if enabled_stream(dynamodb, table) is None and checkpoint.table(table) is None:
                raise no_stream(table)
            next(store.list(table), None)
        sqs.get_queue_attributes(QueueUrl=asked.on_failure)
        pollers = [
            TablePoller(
                table,
                dynamodb=dynamodb,
                streams=streams,
                process=lambda records, at, claim: process(records, store=store, captured_at=at, claim=claim),
                on_failure=OnFailureQueue(sqs, asked.on_failure, store=store),
                on_gap=partial(put_gap, store),
                on_polled=partial(put_polled, store),
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
    parser.add_argument("tables", nargs="+", metavar="TABLE", help="name of a DynamoDB table with a stream")
    parser.add_argument(
        "--bronze", required=True, metavar="URL", help="root of Bronze: s3://bucket/prefix, or a directory"
    )
    parser.add_argument(
        "--checkpoint", required=True, type=Path, metavar="FILE", help="file that remembers what is done"
    )
    parser.add_argument("--on-failure", required=True, metavar="QUEUE_URL", help="SQS queue for records given up")
    parser.add_argument(
        "--resume-after-gap",
        action="append",
        default=[],
        metavar="TABLE",
        help="begin this table anew after it lost changes; run a backfill of it once the poller is ready",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
