"""The handover from a snapshot to the stream: which snapshots may be loaded, and from when on.

No key may ever show an older value than before, and no change may be missing. Let T be the snapshot's point in time.

- Every change after T is captured: the stream exists and its capture began before T.
- Every change before T is merged before the first row of the snapshot is written, and none waits for a redrive.
  Otherwise a key could show the snapshot's value, and then the value of an earlier change that arrives late.
- Rows of the snapshot are older than every change of the stream (bronze_rows). So a key that has changed since the
  capture began keeps the stream's value, or stays deleted, however long the load takes.

Where changes were lost before T, a key may keep an older value than the snapshot has; see known.

Belongs here: these conditions. Does not belong here: the rows (bronze_rows, known).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from medallion_assets.bronze.chunks import read_object
from medallion_assets.capture.dead_letter import list_dead_letters
from medallion_assets.capture.given_up import GivenUp
from medallion_assets.capture.heartbeat import read_heartbeat
from medallion_assets.capture.naming import ObjectName, floor
from medallion_assets.capture.sequence import stream_created_at
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import NotCaughtUp, SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.backfill import unrecorded_gaps
from medallion_assets.ledger.gap import Gap
from medallion_assets.ledger.gaps import list_open_gaps
from medallion_assets.reconciliation.catch_up import CatchUp, wait_until_merged

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""By how much the clocks of DynamoDB, of the capture and of this machine may differ, and the second to which a stream
rounds the time of a change."""


_MENDED_OTHERWISE: Final = frozenset({"dead_lettered", "given_up", "skipped_object"})
"""Kinds of gaps whose changes still exist."""


def require_captured(
    store: BronzeStore, contract: Contract, *, stream_arn: str | None, at: datetime, now: datetime
) -> str:
    """Check that every change after `at` is captured; return the ARN of the stream. Raises SettingsError."""
    if stream_arn is None:
        raise SettingsError(
            f"{contract.table} has no stream, so changes during a backfill would be lost. Switch on its stream with "
            "the view type NEW_AND_OLD_IMAGES, start its capture, and make the snapshot after that."
        )
    began = _capture_began(store, contract, stream_arn, now)
    if began is None:
        raise SettingsError(
            f"the stream of {contract.table} is not captured yet, so changes during a backfill would be lost. Start "
            "the poller, or, if a Lambda function captures, change one item. Then make the snapshot."
        )
    if (since := max(began, stream_created_at(stream_arn))) > at - CLOCK_TOLERANCE:
        raise SettingsError(
            f"the snapshot of {contract.table} is of {at:%Y-%m-%d %H:%M:%S} UTC, and its stream is captured since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC: changes between would be lost. Make the snapshot at least "
            f"{CLOCK_TOLERANCE.total_seconds():.0f} s after that."
        )
    return stream_arn


def lossy_gaps(lake: Lake, store: BronzeStore, contract: Contract, *, at: datetime) -> list[Gap]:
    """Return the gaps of the table that a snapshot of `at` closes. Raises SettingsError if there is another one."""
    gaps = _losses(lake, store, contract)
    for gap in gaps:
        if gap.kind in _MENDED_OTHERWISE:
            raise SettingsError(f"changes of {contract.table} are missing ({gap.reason}). {gap.remedy}, then run this.")
        if gap.detected_at > at - CLOCK_TOLERANCE:
            raise SettingsError(
                f"changes of {contract.table} were lost until {gap.detected_at:%Y-%m-%d %H:%M:%S} UTC ({gap.reason}), "
                f"and the snapshot is of {at:%Y-%m-%d %H:%M:%S} UTC. Make a newer one."
            )
    return gaps


def require_within(contract: Contract, gaps: Sequence[Gap], *, since: datetime, at: datetime) -> None:
    """Check that all lost changes were made from `since` to `at`, so that what changed between is enough.

    Raises SettingsError.
    """
    window = f"{since:%Y-%m-%d %H:%M:%S} to {at:%Y-%m-%d %H:%M:%S} UTC"
    if not gaps:
        raise SettingsError(
            f"no changes of {contract.table} were lost, so there is no gap that an incremental export of {window} "
            "closes. What was there before the stream needs a full export, or a scan."
        )
    for gap in gaps:
        if gap.kind == "stream_replaced" or gap.since is None or gap.since < since + CLOCK_TOLERANCE:
            lost = f"{gap.since:%Y-%m-%d %H:%M:%S} UTC" if gap.since else "an unknown time"
            raise SettingsError(
                f"changes of {contract.table} may be missing since {lost} ({gap.reason}), and the incremental export "
                f"has those of {window}: it does not close that gap. Load a full export, or an incremental one that "
                f"begins at least {CLOCK_TOLERANCE.total_seconds():.0f} s before that."
            )


def is_after_losses(lake: Lake, store: BronzeStore, contract: Contract, at: datetime) -> bool:
    """Return whether all changes that were lost were made before `at`."""
    return all(gap.detected_at <= at - CLOCK_TOLERANCE for gap in _losses(lake, store, contract))


def _losses(lake: Lake, store: BronzeStore, contract: Contract) -> list[Gap]:
    found = [*list_open_gaps(lake, contract.lake_name), *unrecorded_gaps(lake, store, contract)]
    return [gap for gap in found if gap.lossy]


def wait_until_handed_over(
    lake: Lake, store: BronzeStore, contract: Contract, *, past: datetime, catch_up: CatchUp
) -> None:
    """Wait until every change made before `past` is merged. Raises NotCaughtUp."""
    behind = wait_until_merged(lake, store, contract, past=past + CLOCK_TOLERANCE, catch_up=catch_up)
    if behind is not None:
        raise NotCaughtUp(
            f"silver.{contract.lake_name} does not contain every change before the snapshot yet ({behind}); nothing of "
            "the snapshot is written before that. Check that the pipeline runs, then run this again."
        )


def require_nothing_set_aside(store: BronzeStore, contract: Contract, given_up: Mapping[str, GivenUp]) -> None:
    """Check that no change of the table waits for a redrive. Raises SettingsError."""
    waiting = len(list_dead_letters(store).get(contract.table, ()))
    if contract.table in given_up:
        waiting += given_up[contract.table].batches
    if waiting:
        raise SettingsError(
            f"{waiting:,} dead letters, or batches that Lambda gave up, hold changes of {contract.table} that may be "
            f"older than the snapshot. Correct their cause, run `medallion redrive {contract.lake_name}`, then this."
        )


def _capture_began(store: BronzeStore, contract: Contract, stream_arn: str, now: datetime) -> datetime | None:
    """Return when the capture of this stream began, or had begun; None if nothing shows that it has."""
    heartbeat = read_heartbeat(store, contract.table, now=now)
    if heartbeat is not None:
        return heartbeat.started_at if heartbeat.stream_arn == stream_arn else None
    return next(_captured_at(store, contract, stream_arn), None)


def _captured_at(store: BronzeStore, contract: Contract, stream_arn: str) -> Iterator[datetime]:
    """Yield when objects with changes of this stream were captured, oldest first."""
    for path in store.list(contract.table, after=floor(contract.table, stream_created_at(stream_arn))):
        name = ObjectName.parse(path)
        if name.first_sequence and stream_arn in read_object(store, path)["stream_arn"].unique().to_pylist():
            yield name.captured_at
