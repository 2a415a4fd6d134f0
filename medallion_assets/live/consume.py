"""`python -m medallion_assets.live.consume`: a second consumer of the streams, which keeps a domain's live counters.

Belongs here: arguments, and what becomes of a record that cannot be read. Does not belong here: how a
stream is read (capture.poller), and what a record does to a counter (apply). A stream may have two readers at once: one
is this, the other writes Bronze.

Exit codes: 0 stopped by a signal, 1 a table lost changes and stopped, 2 it could not start.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.dead_letter import DeadLetter
from medallion_assets.capture.gap_marker import GapMarker
from medallion_assets.capture.heartbeat import PollerHeartbeat
from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.capture.poller.poller import poll
from medallion_assets.capture.poller.process import run_until_stopped, stream_clients
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.table import TablePoller
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.live.apply import apply_records
from medallion_assets.live.counter import Counter
from medallion_assets.live.store import LiveStore, open_store

log = logging.getLogger(__name__)

# A batch a tenth of a second after its first record: who watches a counter sees a write within a second.
SETTINGS: Final = PollerSettings(window_seconds=0.1, idle_seconds=0.2)


def pollers(
    counters: Sequence[Counter],
    store: LiveStore,
    checkpoint: Checkpoint,
    *,
    dynamodb: Any,
    streams: Any,
    names: SourceNames,
    settings: PollerSettings = SETTINGS,
) -> list[TablePoller]:
    """Return what reads the tables of the counters, each table once."""

    def write(records: Sequence[Mapping[str, Any]], *, captured_at: datetime, coverage: ShardCoverage) -> list[str]:
        apply_records(records, counters=counters, store=store, names=names)
        return []

    return [
        TablePoller(
            table,
            source=names.in_dynamodb(table),
            dynamodb=dynamodb,
            streams=streams,
            write=write,
            on_dead_letter=partial(_say_unread, table),
            on_gap=_say_gap,
            on_heartbeat=_ignore,
            checkpoint=checkpoint,
            settings=settings,
            clock=lambda: datetime.now(UTC),
        )
        for table in dict.fromkeys(counter.table for counter in counters)
    ]


def _say_unread(table: str, letter: DeadLetter) -> None:
    log.error(
        "%s: a change is in no counter (%s). Its dead letter is in Bronze; when it is in Silver, correct the counters "
        "with `medallion live rebuild`.",
        table,
        letter.reason,
    )


def _say_gap(gap: GapMarker) -> None:
    log.error(
        "%s: %s. When Silver is repaired, start this consumer with another checkpoint and correct the counters with "
        "`medallion live rebuild`.",
        gap.table,
        gap.reason,
    )


def _ignore(heartbeat: PollerHeartbeat) -> None:
    """Bronze's consumer says how far the stream is read; a counter says itself what it contains."""


def main(arguments: list[str] | None = None) -> int:
    """Run the consumer until SIGTERM or SIGINT; return the exit code."""
    asked = _parser().parse_args(arguments)
    return run_until_stopped(partial(_run, asked))


def _run(asked: argparse.Namespace, halt: threading.Event) -> list[str]:
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.live.counter_file import load_counters

    counters = load_counters(load_domain(asked.domain))
    dynamodb, streams = stream_clients()
    with ExitStack() as opened:
        found = pollers(
            counters,
            opened.enter_context(open_store(asked.store)),
            opened.enter_context(Checkpoint.open(asked.checkpoint)),
            dynamodb=dynamodb,
            streams=streams,
            names=SourceNames.load(),
        )

        def ready() -> None:
            sys.stdout.write(f"ready: counting {', '.join(counter.name for counter in counters)}\n")
            sys.stdout.flush()

        return poll(found, halt=halt, ready=ready)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m medallion_assets.live.consume",
        description="Keep the live counters of a domain from the streams of its tables.",
    )
    parser.add_argument("--domain", required=True, help="a shipped domain's name or the folder of your own")
    parser.add_argument("--store", required=True, metavar="URL", help="redis://…, rediss://… or dynamodb:<table>")
    parser.add_argument(
        "--checkpoint", required=True, type=Path, metavar="FILE", help="file that stores what was applied"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
