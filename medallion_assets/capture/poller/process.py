"""A reader of streams as a process: its log, its clients, the signals that stop it, its exit codes.

Belongs here: what every such process has. Does not belong here: its arguments, and what it does with changes.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.poller.tolerant_streams import TolerantStreams
from medallion_assets.errors import MedallionError


def run_until_stopped(run: Callable[[threading.Event], Sequence[str]]) -> int:
    """Run until SIGTERM or SIGINT, which set the event; return the exit code.

    `run` returns the tables that lost changes and stopped. The code is 0 without any, 1 with some, and 2 if `run`
    raised MedallionError or an error of AWS, which is written to standard error.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("medallion_assets").setLevel(logging.INFO)
    halt = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        halt.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        return 1 if run(halt) else 0
    except MedallionError as error:
        sys.stderr.write(f"error: {error}\n")
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(
            f"error: AWS cannot be used: {error} Check AWS_DEFAULT_REGION, the credentials and AWS_ENDPOINT_URL; "
            "is the local stack running?\n"
        )
    return 2


def stream_clients() -> tuple[Any, Any]:
    """Return clients of DynamoDB and of its streams. One attempt per call: the poller waits by itself, and a signal
    ends its wait at once."""
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, max_pool_connections=100)
    return boto3.client("dynamodb", config=config), TolerantStreams(boto3.client("dynamodbstreams", config=config))
