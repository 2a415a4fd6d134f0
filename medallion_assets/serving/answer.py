"""An answer: rows with how old they are, written as JSON, CSV or an Arrow stream.

Belongs here: these formats, and what every answer says about its age. Does not belong here: computing it (reader).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

import orjson
import pyarrow as pa

from medallion_assets.errors import MartError
from medallion_assets.serving.reader import Result
from medallion_assets.serving.status_reader import Snapshot

Format = Literal["json", "csv", "arrow"]

MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}


@dataclass(frozen=True)
class SourceTable:
    """A table that an answer was computed from. Times are aware UTC; None: not known.

    - name: with its schema
    - snapshot_id: the Iceberg snapshot, as text, because it has more digits than a JavaScript number
    - published_at: when its rows changed last
    - complete_to: every change up to then is in it
    - captured_to: it was read with what is not merged yet; every change that was captured up to then is in it
    - blocked_by: the check that blocks a newer version
    """

    name: str
    snapshot_id: str | None
    published_at: datetime | None
    complete_to: datetime | None
    captured_to: datetime | None
    blocked_by: str | None


@dataclass(frozen=True)
class Answer:
    """Rows, and how old they are at `answered_at`. It is complete up to where the least complete table is."""

    result: Result
    tables: tuple[SourceTable, ...]
    answered_at: datetime

    @classmethod
    def of(cls, result: Result, snapshot: Snapshot, *, answered_at: datetime) -> Answer:
        """Return the answer with these rows."""
        return cls(result, (), answered_at).at(answered_at, snapshot)

    def at(self, answered_at: datetime, snapshot: Snapshot) -> Answer:
        """Return the answer with the same rows, given at another time: more may be known of how complete they are."""
        tables = []
        for read in self.result.tables:
            status = snapshot.of(read.schema, read.name)
            tables.append(
                SourceTable(
                    name=f"{read.schema}.{read.name}",
                    snapshot_id=None if read.snapshot_id is None else str(read.snapshot_id),
                    published_at=status.published_at if status else None,
                    complete_to=status.complete_to if status else None,
                    captured_to=read.captured_to,
                    blocked_by=str(status.blocked_by) if status and status.blocked_by else None,
                )
            )
        return Answer(self.result, tuple(tables), answered_at)

    def without_rows(self) -> Answer:
        """Return it without its rows, which somebody has written already; they are counted still."""
        return replace(self, result=replace(self.result, rows=self.result.rows.schema.empty_table()))

    @property
    def freshness(self) -> Literal["published", "fresh"]:
        """`fresh` if changes that are not merged yet were read, which were not audited."""
        return "fresh" if any(table.captured_to for table in self.tables) else "published"

    @property
    def complete_to(self) -> datetime | None:
        """Every change up to then is in the rows; None if that is not known of each table."""
        return _earliest([table.complete_to for table in self.tables])

    @property
    def age_seconds(self) -> float | None:
        """How long before the answer the rows were complete, by what was captured for tables that were read fresh."""
        up_to = _earliest([table.captured_to or table.complete_to for table in self.tables])
        return None if up_to is None else max(0.0, round((self.answered_at - up_to).total_seconds(), 3))

    def headers(self) -> dict[str, str]:
        """Return the age as headers, for formats that have no place for it."""
        return {
            "Medallion-Freshness": self.freshness,
            "Medallion-Complete-To": self.complete_to.isoformat() if self.complete_to else "unknown",
            "Medallion-Age-Seconds": "unknown" if self.age_seconds is None else str(self.age_seconds),
            "Medallion-Tables": ", ".join(f"{table.name}@{table.snapshot_id or 'none'}" for table in self.tables),
        }

    def body(self, format_: Format) -> bytes:
        """Return the answer in a format."""
        match format_:
            case "json":
                return with_age(self, self.rows_json())
            case "csv":
                return self._csv()
            case "arrow":
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, self.result.rows.schema) as writer:
                    writer.write_table(self.result.rows)
                return bytes(sink.getvalue())

    def rows_json(self) -> bytes:
        """Return the rows as a JSON list of lists."""
        return orjson.dumps(list(_rows(self.result.rows)), default=_plain, option=orjson.OPT_NON_STR_KEYS)

    def _csv(self) -> bytes:
        """RFC 4180 with a header; null is empty, lists and maps are JSON."""
        written = io.StringIO(newline="")
        writer = csv.writer(written, lineterminator="\r\n")
        writer.writerow(self.result.rows.column_names)
        writer.writerows([_cell(value) for value in row] for row in _rows(self.result.rows))
        return written.getvalue().encode()


def _earliest(times: Sequence[datetime | None]) -> datetime | None:
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def with_age(answer: Answer, rows: bytes) -> bytes:
    """Return the JSON of an answer whose rows are written already (`rows_json`)."""
    return orjson.dumps(
        {
            "columns": [{"name": name, "type": kind} for name, kind in answer.result.types.items()],
            "rows": orjson.Fragment(rows),
            "row_count": answer.result.row_count,
            "freshness": answer.freshness,
            "audited": answer.freshness == "published",
            "answered_at": answer.answered_at,
            "complete_to": answer.complete_to,
            "age_seconds": answer.age_seconds,
            "tables": answer.tables,
        }
    )


def _rows(rows: pa.Table) -> Iterator[Sequence[Any]]:
    """Return the rows. Raises MartError for a date or time that ISO 8601 has no four digits for."""
    if not rows.num_columns:
        return iter(())
    try:
        return zip(*[column.to_pylist() for column in rows.columns], strict=True)
    except (OverflowError, ValueError) as far:
        raise MartError(
            "The result has a date or time outside of the years 1 to 9999, which JSON and CSV cannot have. Leave such "
            "rows out, or ask for the format arrow."
        ) from far


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: decimals as text with all digits, binary in hex, intervals in seconds."""
    match value:
        case Decimal():
            return str(value)
        case bytes():
            return value.hex()
        case timedelta():
            return value.total_seconds()
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime() | date() | time():
            return value.isoformat()
        case list() | dict() | tuple():
            return json.dumps(orjson.loads(orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)))
        case bytes() | timedelta():
            return str(_plain(value))
        case _:
            return str(value)
