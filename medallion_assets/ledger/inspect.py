"""One look at one table: what Silver has taken in since the last one, and what of Bronze is not as it should be.

Belongs here: comparing what Silver published, what Bronze lists and what the poller tells with what is recorded. Does
not belong here: writing any of it down (record), several tables at once (record).

A look costs three listings and one small read, whatever the size of Bronze: the names that can still appear, the
markers of gaps, and one page of older names. The pages go round, so a table of up to a thousand objects is looked at in
whole every time, and a larger one in turns.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of

from medallion_assets.capture.heartbeat import PollerHeartbeat, read_heartbeat
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.position import Position
from medallion_assets.capture.sequence import SEQUENCE_START, STREAM_RETENTION, pad_sequence
from medallion_assets.capture.store import BronzeStore, Entry
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.history import snapshot_summary
from medallion_assets.ledger.backfill import unrecorded_gaps
from medallion_assets.ledger.completeness import ShardEnd, assess_completeness
from medallion_assets.ledger.gaps import Gap, Kind
from medallion_assets.ledger.object_stats import ObjectStats, read_stats
from medallion_assets.ledger.ranges import Range, missing, union
from medallion_assets.ledger.reader import LedgerReader
from medallion_assets.ledger.silver_contains import silver_contains
from medallion_assets.ledger.table import CHANGED, MISSING, PRESENT, FollowerOffset
from medallion_assets.silver.table import OBJECTS, RUN_ID, SILVER, read_position

PAGE: Final = 1000
"""Older names looked at at a time: what S3 gives for one request."""

MAX_OBJECTS: Final = 1000
"""Objects read in one look; what Silver has taken in beyond them is left to the next."""

MAX_DOUBTS: Final = 100
"""Doubtful objects of a kind read in one look; the others wait for the next."""

# A shard by its stream and its id: a stream that is made again may use an id again.
Shard = tuple[str, str]


@dataclass(frozen=True)
class LedgerStatus:
    """What is known of one table. Times are aware UTC.

    Up to `complete_to` the table has every change that the stream shows; None while nobody can tell, which is always so
    where no poller captures (`polled`): a Lambda function sees no shards. Every object captured before `merged_to` is
    in the table, and `waiting` later ones are not yet. `gaps` are open, oldest first.
    """

    table: str
    complete_to: datetime | None
    merged_to: datetime
    waiting: int
    polled: bool
    gaps: tuple[Gap, ...]

    @property
    def whole(self) -> bool:
        """Whether no change is known to be missing from the table."""
        return not any(gap.lossy for gap in self.gaps)


@dataclass(frozen=True)
class ScanCursor:
    """What one look leaves to the next: the name after which the next page begins, and the last `complete_to`.

    Losing it costs nothing but a round begun anew and a time told a few minutes older.
    """

    page: str | None = None
    complete_to: datetime | None = None


@dataclass(frozen=True)
class Inspection:
    """What a look found: rows to record, gaps to note and to close, how far it followed."""

    rows: Sequence[Mapping[str, Any]]
    noted: Sequence[Gap]
    closed: Sequence[Gap]
    followed: FollowerOffset
    state: LedgerStatus
    cursor: ScanCursor


@dataclass(frozen=True)
class KnownGaps:
    """The gaps as the look finds them: the open ones of its table, and every key ever noted with when it was closed."""

    open: Sequence[Gap]
    keys: Mapping[str, datetime | None]


def inspect_table(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    recorded: LedgerReader,
    gaps: KnownGaps,
    *,
    cursor: ScanCursor,
    now: datetime,
) -> Inspection:
    """Inspect one table; change nothing. Raises LakeUnavailable, SettingsError, CaptureError for a foreign name."""
    # In this order: what the marker tells of was put before, so it is in the listing; and what Silver publishes after
    # its position was read counts as waiting.
    polled = read_heartbeat(store, contract.table, now=now)
    silver = lake.find(SILVER, contract.lake_name)
    position = read_position(silver)
    listing = _list(store, contract.table, position, cursor.page)
    return _Inspector(lake, store, contract, recorded, gaps, polled, silver, position, listing, cursor, now).make()


@dataclass(frozen=True)
class _Listing:
    """What was listed, by name, and between which names it is all there is (`covered`)."""

    entries: Mapping[str, Entry]
    covered: Sequence[tuple[str | None, str]]
    page: str | None

    def covers(self, name: str) -> bool:
        return any((after or "") < name <= up_to for after, up_to in self.covered)


def _last(table: str) -> str:
    """Text that sorts after every name of the table: "0" follows "/"."""
    return f"{table}0"


def _list(store: BronzeStore, table: str, position: Position, page: str | None) -> _Listing:
    last = _last(table)
    reach = position.list_after
    found = {entry.path: entry for entry in islice(store.entries(table, after=page), PAGE)}
    end = max(found, default=None)
    if len(found) < PAGE or end is None:
        return _Listing(found, [(page, last)], None)
    if reach is not None and end <= reach:
        found |= {entry.path: entry for entry in store.entries(table, after=reach)}
        return _Listing(found, [(page, end), (reach, last)], end)
    found |= {entry.path: entry for entry in store.entries(table, after=end)}
    return _Listing(found, [(page, last)], None)


@dataclass
class _Inspector:
    lake: Lake
    store: BronzeStore
    contract: Contract
    recorded: LedgerReader
    gaps: KnownGaps
    polled: PollerHeartbeat | None
    silver: Table | None
    position: Position
    listing: _Listing
    cursor: ScanCursor
    now: datetime
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    noted: list[Gap] = field(default_factory=list)
    closed: dict[str, Gap] = field(default_factory=dict)

    def make(self) -> Inspection:
        self.followed = FollowerOffset.read(self.recorded.properties, self.name)
        if self.cursor.complete_to is not None:
            self.followed = replace(self.followed, complete_to=self.cursor.complete_to)
        self.noted += [
            gap for gap in unrecorded_gaps(self.lake, self.store, self.contract) if gap.gap not in self.gaps.keys
        ]
        contained = self._follow()
        old = self._old_rows()
        known = old.keys() | self.recorded.named(self.name, contained.keys() - old.keys()).keys()
        self._record({name: told for name, told in contained.items() if name not in known})
        if not self.behind:
            self._doubt({name for name in self.listing.entries if name not in known and name not in self.rows})
        self._revisit(old)
        self._find_holes()
        self._find_absence()
        return self._done()

    @property
    def name(self) -> str:
        return self.contract.lake_name

    def _follow(self) -> dict[str, tuple[int | None, str | None]]:
        """The objects that the table has taken in since the last look, with the snapshot and run that tell of them."""
        self.behind = False
        found: dict[str, tuple[int | None, str | None]] = {}
        if self.silver is None:
            return found
        current = self.silver.metadata.current_snapshot_id
        lineage = []
        known = False
        for snapshot in ancestors_of(self.silver.current_snapshot(), self.silver.metadata):
            if known := snapshot.snapshot_id == self.followed.snapshot_id:
                break
            lineage.append(snapshot)
        if not known and lineage and lineage[-1].parent_snapshot_id is not None:
            # Its history no longer reaches back to where the ledger left it, or to its beginning.
            self.followed = replace(self.followed, assumed_through=self.position.newest)
        told = {snapshot.snapshot_id: snapshot_summary(self.silver, snapshot.snapshot_id) for snapshot in lineage}
        objects = {number: json.loads(summary.get(OBJECTS, "[]")) for number, summary in told.items()}
        # A day that was made before an older object was taken in waits for it: until then that would look like a hole.
        oldest = min(
            set(self._waiting()) - {name for names in objects.values() for name in names},
            default=_last(self.contract.table),
        )
        for snapshot in reversed(lineage):
            number = snapshot.snapshot_id
            if len(found) >= MAX_OBJECTS or any(name > oldest for name in objects[number]):
                self.behind = True
                return found
            for name in objects[number]:
                found.setdefault(name, (number, told[number].get(RUN_ID)))
            self.followed = replace(self.followed, snapshot_id=number)
        # A batch that changed nothing commits no snapshot; the position tells of it.
        for name in self.position.seen:
            if name < oldest:
                found.setdefault(name, (current, None))
        return found

    def _waiting(self) -> list[str]:
        """The objects that the table's position has still before it."""
        reach, seen = self.position.list_after, self.position.seen
        return [name for name in self.listing.entries if name not in seen and (reach is None or name > reach)]

    def _old_rows(self) -> dict[str, dict[str, Any]]:
        """What is recorded of the names that were looked at."""
        found: dict[str, dict[str, Any]] = {}
        for after, up_to in self.listing.covered:
            found |= self.recorded.objects(self.name, after=after, up_to=up_to)
        return found

    def _record(self, told: Mapping[str, tuple[int | None, str | None]]) -> None:
        """Record objects that the table contains."""
        facts = read_stats(self.store, told)
        for name, (snapshot_id, run_id) in sorted(told.items()):
            entry = self.listing.entries.get(name)
            row = {
                **dict.fromkeys(_FACTS),
                "object": name,
                "table_name": self.name,
                "captured_at": ObjectName.parse(name).captured_at,
                "snapshot_id": snapshot_id,
                "run_id": run_id,
                "tag": entry.tag if entry else None,
                "state": PRESENT,
            }
            self._judge(name, row, facts[name])

    def _doubt(self, names: Collection[str]) -> None:
        """Inspection into objects that the table's position has passed over and no snapshot tells of."""
        reach, current = self.position.list_after, self.silver.metadata.current_snapshot_id if self.silver else None
        over = sorted(name for name in names if reach is not None and name <= reach)
        assumed_through = [
            name for name in over if self.followed.assumed_through is not None and name <= self.followed.assumed_through
        ]
        self._record(dict.fromkeys(assumed_through, (current, None)))
        settled = [name for name in over if self.gaps.keys.get(self._key("skipped_object", name)) is not None]
        late = {name for name in over if name not in self.rows and name not in settled}
        late |= {gap.subject for gap in self.gaps.open if gap.kind == "skipped_object"}
        for name in sorted(late)[:MAX_DOUBTS]:
            facts = read_stats(self.store, [name])[name]
            if self.listing.covers(name) and name not in self.listing.entries:
                self._close(self._key("skipped_object", name))  # somebody moved it away
            elif silver_contains(self.lake, self.store, self.contract, name):
                self._record({name: (current, None)})
            else:
                captured_at = ObjectName.parse(name).captured_at
                self._note(
                    "skipped_object",
                    name,
                    since=facts.oldest_change if facts and facts.oldest_change else captured_at,
                    reason=f"Bronze object {name} is not in the table, which has passed it over",
                    remedy=f"Materialize silver/{self.name} for {captured_at.date()} again",
                )

    def _revisit(self, old: Mapping[str, dict[str, Any]]) -> None:
        """Read again what is not as it was recorded: objects that vanished, were written again, or came back."""
        gone = {name for name, row in old.items() if name not in self.listing.entries and row["state"] != MISSING}
        retagged = {
            name for name, entry in self.listing.entries.items() if name in old and old[name]["tag"] != entry.tag
        }
        back = {name for name, row in old.items() if row["state"] == MISSING and name in self.listing.entries}
        noted = {gap.subject for gap in self.gaps.open if gap.kind in _BRONZE_KINDS.values()}
        suspects = {*sorted(gone | retagged | back)[:MAX_DOUBTS], *sorted(noted)[:MAX_DOUBTS]}
        rows = self.recorded.named(self.name, suspects - old.keys()) | dict(old)
        for name, facts in sorted(read_stats(self.store, suspects & rows.keys()).items()):
            self._judge(name, rows[name], facts)

    def _judge(self, name: str, row: Mapping[str, Any], facts: ObjectStats | None) -> None:
        """Decide what an object that the table contains is now, by its bytes, and record it if that is news."""
        entry, was, first = self.listing.entries.get(name), row["state"], "recorded_at" not in row
        if facts is None:
            looked = first or self.listing.covers(name)
            state = (CHANGED if entry else MISSING) if looked else was
            found = dict(row)
        elif row["content_hash"] in (None, facts.content_hash):
            state, found = PRESENT, {**row, **_facts(facts)}
        else:
            state, found = CHANGED, dict(row)
        found |= {"state": state, "recorded_at": self.now}
        if entry:
            found |= {"bytes": entry.bytes, "tag": entry.tag}
        if first or found != {**row, "recorded_at": self.now}:
            self.rows[name] = found
        for of, kind in _BRONZE_KINDS.items():
            if state == of and was != of:
                self._note_bronze(kind, name, row, facts)
            elif state != of:
                self._close(self._key(kind, name))
        self._close(self._key("skipped_object", name))

    def _note_bronze(self, kind: Kind, name: str, row: Mapping[str, Any], facts: ObjectStats | None) -> None:
        rows = "" if row["rows"] is None else f" with {row['rows']} records"
        range_ = (
            ""
            if row["up_to"] is None
            else f", {Range(row['after'] or SEQUENCE_START, row['up_to'])} of {row['shard_id']}"
        )
        if kind == "missing_object":
            reason = f"Bronze object {name}{rows}{range_} is gone; the table contains it"
        else:
            there = f"it holds {facts.rows} records and another hash" if facts else "it cannot be read"
            reason = f"Bronze object {name} was recorded{rows}{range_}, now {there}"
        self._note(
            kind,
            name,
            since=row["captured_at"],
            reason=reason,
            remedy=(
                "Restore the version that the table was made from; if there is none, the table is right, but making it "
                f"again from Bronze needs `medallion repair {self.name}` afterwards"
            ),
        )

    def _find_holes(self) -> None:
        """Compare the claims of what was recorded now with how far each shard was recorded before."""
        claims: dict[Shard, list[dict[str, Any]]] = {}
        for row in self.rows.values():
            if row["shard_id"] is not None and row["state"] == PRESENT:
                claims.setdefault((row["stream_arn"], row["shard_id"]), []).append(row)
        streams = {stream for stream, _ in claims} | ({self.polled.stream_arn} if self.polled else set())
        self.reached: dict[Shard, ShardEnd] = {}
        for stream in streams:
            shards = {shard for at, shard in claims if at == stream}
            if self.polled and self.polled.stream_arn == stream:
                shards |= {shard.shard_id for shard in self.polled.shards if shard.up_to is not None}
            found = self.recorded.reached(self.name, stream, shards)
            self.reached |= {(stream, shard): reached for shard, reached in found.items()}
        for (stream, shard), up_to in self._noted_ends().items():
            before = self.reached.get((stream, shard))
            if before is None or before.up_to < up_to:
                self.reached[stream, shard] = ShardEnd(up_to, before.newest_change if before else None)
        for at, rows in claims.items():
            self._extend(at, rows)
            self._fill(at, rows)

    def _find_absence(self) -> None:
        """Compare when this capture began with the time up to which the one before it was complete.

        A capture begins with the oldest records its stream has, so what lies further back than that is lost. Not if the
        poller was told to begin anew after a gap: that one says so already.
        """
        started_at = self.polled.started_at if self.polled else None
        complete_to = self.followed.complete_to
        if started_at is None or complete_to is None:
            return
        prefix = self._key("stream_gap", "")
        keys = [*self.gaps.keys, *(gap.gap for gap in self.noted)]
        told = [datetime.fromisoformat(key.removeprefix(prefix)) for key in keys if key.startswith(prefix)]
        if started_at - complete_to > STREAM_RETENTION and not any(complete_to <= at <= started_at for at in told):
            self._note(
                "capture_restarted",
                started_at.isoformat(),
                since=complete_to,
                reason=(
                    f"the poller began anew at {started_at:%Y-%m-%d %H:%M:%S}, more than 24 hours after what is "
                    "complete, and the stream keeps no more than that"
                ),
                remedy=f"Run `medallion repair {self.name}`, and keep the poller's checkpoint file",
            )

    def _fill(self, at: Shard, rows: Iterable[Mapping[str, Any]]) -> None:
        """Close the holes that objects have filled since."""
        stream, shard = at
        prefix = self._key("missing_range", f"{_label(stream)}/{shard}/")
        noted = [gap for gap in self.gaps.open if gap.gap.startswith(prefix)]
        if noted:
            ranges = self.recorded.claims(self.name, stream, shard)
            ranges += [Range(row["after"] or SEQUENCE_START, row["up_to"]) for row in rows]
            whole = union(ranges)
            self.closed |= {gap.gap: gap for gap in noted if any(_holds(part, gap.subject) for part in whole)}

    def _extend(self, at: Shard, rows: Iterable[Mapping[str, Any]]) -> None:
        before = self.reached.get(at)
        ordered = sorted(rows, key=lambda row: (row["after"] or SEQUENCE_START, row["up_to"]))
        ranges = [Range(row["after"] or SEQUENCE_START, row["up_to"]) for row in ordered]
        for hole in missing([*ranges, *([Range(SEQUENCE_START, before.up_to)] if before else [])]):
            if hole.after == SEQUENCE_START and self.followed.assumed_through is not None:
                continue  # its beginning may be from before the ledger's
            known = before.newest_change if before else None
            earlier = [row["newest_change"] for row in ordered if row["up_to"] <= hole.after and row["newest_change"]]
            self._note_hole(at, hole, since=max(earlier, default=known))
        for row in ordered:
            if row["dead_lettered"]:
                self._note_given_up(at, row["after"], row["dead_lettered"])
        changes = [row["newest_change"] for row in ordered if row["newest_change"]]
        changes += [before.newest_change] if before and before.newest_change else []
        up_to = max([row["up_to"] for row in ordered] + ([before.up_to] if before else []))
        self.reached[at] = ShardEnd(up_to, max(changes, default=None))

    def _noted_ends(self) -> dict[Shard, str]:
        """How far holes that are noted already reach, of the streams that are known."""
        labels = {_label(self.polled.stream_arn): self.polled.stream_arn} if self.polled else {}
        labels |= {_label(row["stream_arn"]): row["stream_arn"] for row in self.rows.values() if row["stream_arn"]}
        ends: dict[Shard, str] = {}
        prefix = self._key("missing_range", "")
        for key in self.gaps.keys:
            if key.startswith(prefix):
                label, shard, text = key.removeprefix(prefix).rsplit("/", 2)
                if label in labels:
                    at = (labels[label], shard)
                    ends[at] = max(ends.get(at, SEQUENCE_START), Range.parse(text).up_to)
        return ends

    def _done(self) -> Inspection:
        waiting = [ObjectName.parse(name).captured_at for name in self._waiting()]
        complete_to = None
        if self.polled is not None:
            stream = self.polled.stream_arn
            judgement = assess_completeness(
                self.polled,
                {shard: reached for (at, shard), reached in self.reached.items() if at == stream},
                waiting=waiting,
                behind=self.behind,
                before=self.followed.complete_to,
            )
            complete_to = judgement.complete_to
            for shard, tail in judgement.tails.items():
                self._note_hole((stream, shard), tail, since=self._reached_change((stream, shard)))
            for polled in self.polled.shards:
                if polled.dead_lettered:
                    after = pad_sequence(polled.up_to) if polled.up_to else None
                    self._note_given_up((stream, polled.shard_id), after, polled.dead_lettered)
        gaps = [gap for gap in self.gaps.open if gap.gap not in self.closed] + self.noted
        if complete_to is not None:
            since = [gap.since for gap in gaps if gap.lossy]
            complete_to = None if None in since else min([complete_to, *(at for at in since if at is not None)])
        self.followed = replace(self.followed, complete_to=complete_to)
        state = LedgerStatus(
            table=self.name,
            complete_to=complete_to,
            merged_to=min(waiting, default=self.now),
            waiting=len(waiting),
            polled=self.polled is not None,
            gaps=tuple(sorted(gaps, key=lambda gap: (gap.detected_at, gap.gap))),
        )
        cursor = ScanCursor(self.listing.page, complete_to)
        return Inspection(
            list(self.rows.values()), self.noted, list(self.closed.values()), self.followed, state, cursor
        )

    def _reached_change(self, at: Shard) -> datetime | None:
        known = self.reached.get(at)
        return known.newest_change if known else None

    def _note_hole(self, at: Shard, hole: Range, *, since: datetime | None) -> None:
        stream, shard = at
        self._note(
            "missing_range",
            f"{_label(stream)}/{shard}/{hole}",
            since=self.followed.complete_to or since,
            reason=f"no Bronze object holds the records {hole} of {shard}",
            remedy=(
                "If the bucket keeps older versions, restore the object and materialize its capture day again; "
                f"else run `medallion repair {self.name}`"
            ),
        )

    def _note_given_up(self, at: Shard, after: str | None, count: int) -> None:
        stream, shard = at
        behind = Range(SEQUENCE_START, after or SEQUENCE_START).up_to.lstrip("0") or "start"
        self._note(
            "dead_lettered",
            f"{_label(stream)}/{shard}/{behind}/{count}",
            since=self.followed.complete_to,
            reason=f"{count} records of {shard} after {behind} went to the on-failure queue",
            remedy=f"Inspection at the queue's messages for the cause, then run `medallion repair {self.name}`",
        )

    def _note(self, kind: Kind, subject: str, *, since: datetime | None, reason: str, remedy: str) -> None:
        key = self._key(kind, subject)
        already = any(gap.gap == key for gap in [*self.gaps.open, *self.noted])
        # What was closed may happen again to an object; a range that was repaired stays repaired.
        if not already and (kind in _BRONZE_KINDS.values() or key not in self.gaps.keys):
            self.noted.append(Gap(key, self.name, kind, since, self.now, reason, remedy))

    def _close(self, key: str) -> None:
        self.closed |= {gap.gap: gap for gap in self.gaps.open if gap.gap == key}

    def _key(self, kind: Kind, subject: str) -> str:
        return f"{self.name}/{kind}/{subject}"


_BRONZE_KINDS: Final[Mapping[str, Kind]] = {MISSING: "missing_object", CHANGED: "changed_object"}
"""The kind of gap for the state of a row."""

_FACTS: Final = (
    "rows",
    "first_sequence",
    "last_sequence",
    "newest_change",
    "bytes",
    "content_hash",
    "stream_arn",
    "shard_id",
    "after",
    "up_to",
    "dead_lettered",
)


def _facts(facts: ObjectStats) -> dict[str, Any]:
    coverage = facts.coverage
    return {
        "rows": facts.rows,
        "first_sequence": facts.first_sequence,
        "last_sequence": facts.last_sequence,
        "newest_change": facts.newest_change,
        "content_hash": facts.content_hash,
        "stream_arn": coverage.stream_arn if coverage else None,
        "shard_id": coverage.shard_id if coverage else None,
        "after": pad_sequence(coverage.after) if coverage and coverage.after is not None else None,
        "up_to": pad_sequence(coverage.up_to) if coverage else None,
        "dead_lettered": coverage.dead_lettered if coverage else None,
    }


def _holds(part: Range, subject: str) -> bool:
    """Whether a covered range holds the hole that is a gap's subject."""
    hole = Range.parse(subject.rpartition("/")[2])
    return part.after <= hole.after and hole.up_to <= part.up_to


def _label(stream_arn: str) -> str:
    """What tells a table's streams apart."""
    return stream_arn.rpartition("/")[2]
