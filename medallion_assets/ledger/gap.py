"""A gap: something that is missing from a table or from Bronze, why, and what to do; one function for each kind.

Belongs here: the value, and the words of each kind. Does not belong here: finding gaps (inspect and its rules), and the
table of gaps (gaps). A reason names an object or a shard and range, never a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from medallion_assets.capture.gap_marker import GapMarker
from medallion_assets.capture.given_up import GivenUp
from medallion_assets.capture.naming import ObjectName
from medallion_assets.contracts.model import Contract
from medallion_assets.ledger.ranges import Range

GapKind = Literal[
    "stream_gap",
    "stream_replaced",
    "capture_restarted",
    "missing_range",
    "dead_lettered",
    "given_up",
    "skipped_object",
    "missing_object",
    "changed_object",
]
"""`stream_gap`: the poller found that the stream lost records before they were read.
`stream_replaced`: changes come from another stream than before: the table was made anew, or its stream switched off.
`capture_restarted`: the poller started without its checkpoint, after the stream had dropped records not read before.
`missing_range`: a range of a shard is in no Bronze object.
`dead_lettered`: capture set records aside as dead letters.
`given_up`: Lambda gave batches up and stored them in its bucket.
`skipped_object`: an object appeared in Bronze too late, and the table's position is past it.
`missing_object`: an object that the table contains is no longer in Bronze.
`changed_object`: an object that the table contains has other content now."""

_REDRIVE: Final = "Correct the cause that the letters name, then run `medallion redrive {}`"

_LOSSY: Final[frozenset[GapKind]] = frozenset(
    {
        "stream_gap",
        "stream_replaced",
        "capture_restarted",
        "missing_range",
        "dead_lettered",
        "given_up",
        "skipped_object",
    }
)

BRONZE_KINDS: Final[tuple[GapKind, ...]] = ("missing_object", "changed_object")
"""The kinds that concern only Bronze: the table has the changes."""


@dataclass(frozen=True)
class Gap:
    """One gap of one table (its lake name). Times are aware UTC.

    `gap` is its key, `<table>/<kind>/<subject>`: a gap that is detected twice has the same key. `since`: changes made
    from then on may be missing; None if the table was never known to be complete.
    """

    gap: str
    table: str
    kind: GapKind
    since: datetime | None
    detected_at: datetime
    reason: str
    remedy: str

    @property
    def subject(self) -> str:
        """What is missing: an object's path, a shard's range, the time of a gap marker."""
        return self.gap.split("/", 2)[2]

    @property
    def lossy(self) -> bool:
        """Whether changes are missing from the Silver table, and from the marts that read it; else only from Bronze."""
        return self.kind in _LOSSY

    @property
    def reopens(self) -> bool:
        """Whether a gap that was closed can occur again: an object can be lost twice, a repaired range cannot."""
        return self.kind in BRONZE_KINDS

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        need = f"needs a backfill{since}" if self.lossy else "is complete, Bronze is not"
        return f"{self.table} {need}: {self.reason}. {self.remedy}"


class ShardKey(NamedTuple):
    """A shard by its stream and its id: a table's next stream may use the same id again."""

    stream_arn: str
    shard_id: str

    @property
    def label(self) -> str:
        """Return `<stream label>/<shard id>`; the label distinguishes a table's streams."""
        return f"{stream_label(self.stream_arn)}/{self.shard_id}"


def stream_label(stream_arn: str) -> str:
    """Return the last part of a stream's ARN, the time of its creation."""
    return stream_arn.rpartition("/")[2]


def gap_key(table: str, kind: GapKind, subject: str) -> str:
    """Return the key of a gap."""
    return f"{table}/{kind}/{subject}"


def stream_gap(contract: Contract, marker: GapMarker, *, since: datetime | None) -> Gap:
    """Return the gap that the poller marked in Bronze."""
    name = contract.lake_name
    return Gap(
        gap=gap_key(name, "stream_gap", marker.detected_at.isoformat()),
        table=name,
        kind="stream_gap",
        since=min(since, marker.detected_at) if since else None,
        detected_at=marker.detected_at,
        reason=marker.reason,
        remedy=f"Start the poller with --resume-after-gap {contract.table}, then run `medallion repair {name}`",
    )


def stream_replaced(table: str, created_at: datetime, *, now: datetime) -> Gap:
    """Return the gap of a table whose changes come from a new stream, which was created at `created_at`."""
    return Gap(
        gap=gap_key(table, "stream_replaced", created_at.isoformat()),
        table=table,
        kind="stream_replaced",
        since=created_at,
        detected_at=now,
        reason=(
            f"its changes come from a new stream, created {created_at:%Y-%m-%d %H:%M:%S} UTC: the table was made anew, "
            "or its stream was switched off and on. No stream says what was lost with the old one, for example items "
            "that the new table does not have"
        ),
        remedy=f"Run `medallion repair {table}`",
    )


def capture_restarted(table: str, started_at: datetime, *, since: datetime, now: datetime) -> Gap:
    """Return the gap between the time `since` and a capture that started after the stream's retention."""
    return Gap(
        gap=gap_key(table, "capture_restarted", started_at.isoformat()),
        table=table,
        kind="capture_restarted",
        since=since,
        detected_at=now,
        reason=(
            f"the poller started without its checkpoint at {started_at:%Y-%m-%d %H:%M:%S}, more than 24 hours after "
            "the time up to which the table is complete; the stream keeps records for 24 hours"
        ),
        remedy=f"Run `medallion repair {table}`, and keep the poller's checkpoint file",
    )


def missing_range(table: str, shard: ShardKey, lost: Range, *, since: datetime | None, now: datetime) -> Gap:
    """Return the gap of a range of a shard that is in no Bronze object."""
    return Gap(
        gap=gap_key(table, "missing_range", f"{shard.label}/{lost}"),
        table=table,
        kind="missing_range",
        since=since,
        detected_at=now,
        reason=f"no Bronze object contains the records {lost} of {shard.shard_id}",
        remedy=(
            "If the bucket keeps older versions, restore the object and materialize its capture day again; "
            f"otherwise run `medallion repair {table}`"
        ),
    )


def dead_lettered(
    table: str, shard: ShardKey, *, after: str | None, count: int, since: datetime | None, now: datetime
) -> Gap:
    """Return the gap of `count` dead letters of the poller, after the padded sequence number `after`."""
    place = (after or "").lstrip("0") or "start"
    return Gap(
        gap=gap_key(table, "dead_lettered", f"{shard.label}/{place}/{count}"),
        table=table,
        kind="dead_lettered",
        since=since,
        detected_at=now,
        reason=f"{count} records of {shard.shard_id} after {place} were set aside as dead letters",
        remedy=_REDRIVE.format(table),
    )


def set_aside(table: str, count: int, newest: str, *, now: datetime) -> Gap:
    """Return the gap of `count` dead letters of a Lambda function; `newest` is the path of the last one."""
    return Gap(
        gap=gap_key(table, "dead_lettered", newest.rpartition("/")[2]),
        table=table,
        kind="dead_lettered",
        since=None,
        detected_at=now,
        reason=f"{count} records were set aside as dead letters",
        remedy=_REDRIVE.format(table),
    )


def given_up(table: str, batches: GivenUp, *, now: datetime) -> Gap:
    """Return the gap of the batches that Lambda gave up."""
    oldest = f"{batches.oldest:%Y-%m-%d %H:%M:%S} UTC"
    return Gap(
        gap=gap_key(table, "given_up", batches.last_name),
        table=table,
        kind="given_up",
        since=None,
        detected_at=now,
        reason=f"Lambda gave changes up since {oldest}; batches in its bucket: {batches.batches}",
        remedy=f"Correct what stops the capture function, then run `medallion redrive {table}`",
    )


def skipped_object(table: str, name: str, *, since: datetime, now: datetime) -> Gap:
    """Return the gap of a Bronze object that the table's position is past, and that the table does not contain."""
    return Gap(
        gap=gap_key(table, "skipped_object", name),
        table=table,
        kind="skipped_object",
        since=since,
        detected_at=now,
        reason=f"Bronze object {name} appeared too late and is not in the table",
        remedy=f"Materialize silver/{table} for {ObjectName.parse(name).captured_at.date()} again",
    )


def missing_object(table: str, name: str, *, recorded: str, now: datetime) -> Gap:
    """Return the gap of an object that is gone from Bronze. `recorded` says what it held."""
    reason = f"Bronze object {name}{recorded} is gone; the table contains it"
    return _bronze_gap("missing_object", table, name, reason, now)


def changed_object(table: str, name: str, *, recorded: str, found: str, now: datetime) -> Gap:
    """Return the gap of an object with other content. `recorded` says what it held, `found` what it holds now."""
    reason = f"Bronze object {name} was recorded{recorded}; now {found}"
    return _bronze_gap("changed_object", table, name, reason, now)


def _bronze_gap(kind: GapKind, table: str, name: str, reason: str, now: datetime) -> Gap:
    return Gap(
        gap=gap_key(table, kind, name),
        table=table,
        kind=kind,
        since=ObjectName.parse(name).captured_at,
        detected_at=now,
        reason=reason,
        remedy=(
            "Restore the version that the table was made from. If there is none, the table is still right, but if it "
            f"is made again from Bronze it needs `medallion repair {table}` afterwards"
        ),
    )
