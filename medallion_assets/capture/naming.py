"""The name of a Bronze object: its table, the time of capture, its first sequence number and a hash of its rows.

Belongs here: how a name is written, parsed and ordered. Does not belong here: which names a reader has seen (position).
The names of one table sort by time of capture, so "everything since" is one listing that starts after a name.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from medallion_assets.capture.sequence import SEQUENCE_DIGITS, pad_sequence
from medallion_assets.errors import CaptureError

TABLE_NAME: Final = r"[A-Za-z0-9_.-]{3,255}"
"""The names that DynamoDB gives tables, as a regular expression. The first part of every Bronze path."""

OTHER_FOLDERS: Final = frozenset({"_backfill", "_compacted", "_dead_letters", "_gaps", "_heartbeat"})
"""What else is below the root of Bronze; no table of a contract can have such a name."""

_PATH: Final = re.compile(
    rf"(?P<table>{TABLE_NAME})/(?P<day>year=\d{{4}}/month=\d{{2}}/day=\d{{2}})/"
    rf"(?P<stamp>\d{{8}}T\d{{12}}Z)_(?P<sequence>\d{{{SEQUENCE_DIGITS}}})_(?P<hash>[0-9a-f]{{16}})\.parquet",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """One captured batch of one table. `captured_at` is aware UTC, `content_hash` 16 hex digits."""

    table: str
    captured_at: datetime
    first_sequence: int
    content_hash: str

    @property
    def path(self) -> str:
        """Return the path below the Bronze root."""
        first = pad_sequence(self.first_sequence)
        return f"{floor(self.table, self.captured_at)}_{first}_{self.content_hash}.parquet"

    @classmethod
    def parse(cls, path: str) -> Self:
        """Return the parts of a path below the Bronze root. Raises CaptureError for a foreign name."""
        match = _PATH.fullmatch(path)
        if match is None or _day(at := _time(match["stamp"], path)) != match["day"]:
            raise CaptureError(
                f"{path!r} is not the name of a Bronze object; expected <table>/year=YYYY/month=MM/day=DD/"
                "<YYYYMMDDTHHMMSSffffffZ>_<sequence number, 40 digits>_<hash, 16 digits>.parquet of that day. "
                "Move it out of the Bronze prefix."
            )
        return cls(match["table"], at, int(match["sequence"]), match["hash"])


def require_table_name(name: str) -> str:
    """Return `name` if a DynamoDB table can have it. Raises ValueError."""
    if not re.fullmatch(TABLE_NAME, name):
        raise ValueError(
            f"{name!r:.80} is no name of a DynamoDB table; expected 3 to 255 letters, digits, underscores, hyphens and "
            "points"
        )
    return name


def require_folder_name(name: str) -> str:
    """Return `name` if it can be a table's name in Bronze. Raises ValueError."""
    if require_table_name(name) in OTHER_FOLDERS:
        raise ValueError(
            f"{name!r}: Bronze has a folder of this name; give the table another name here, and say its name in "
            "DynamoDB with MEDALLION_SOURCE_TABLES (sources.tables of an environment)"
        )
    return name


def floor(table: str, captured_at: datetime) -> str:
    """Return text that sorts before every name of `table` captured at `captured_at` or later, and after all others."""
    at = captured_at.astimezone(UTC)
    clock = f"{at.hour:02d}{at.minute:02d}{at.second:02d}{at.microsecond:06d}"
    return f"{table}/{_day(at)}/{at.year:04d}{at.month:02d}{at.day:02d}T{clock}Z"


def _day(at: datetime) -> str:
    return f"year={at.year:04d}/month={at.month:02d}/day={at.day:02d}"


def _time(stamp: str, path: str) -> datetime:
    # Slices, not strptime: a listing of 200,000 names spends its time here.
    parts = (stamp[0:4], stamp[4:6], stamp[6:8], stamp[9:11], stamp[11:13], stamp[13:15], stamp[15:21])
    try:
        return datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError as error:
        raise CaptureError(
            f"{path!r} names a time that does not exist ({error}); move it out of the Bronze prefix"
        ) from error
