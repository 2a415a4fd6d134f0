"""Markers beside Bronze that say: this table lost changes and needs a backfill.

Belongs here: the marker, where it lies, writing and reading it. Does not belong here: how a gap is noticed (poller) and
when it is over (a repair after `detected_at`). Markers lie at `_gaps/<table>/<detected_at>.json` below the Bronze root,
where every machine sees them, and are never removed.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The stream of `table` lost changes before they were read. `detected_at` is aware UTC."""

    table: str
    detected_at: datetime
    reason: str


def put_gap(store: BronzeStore, gap: Gap) -> None:
    """Write the marker. Raises what the store raises."""
    at = gap.detected_at.astimezone(UTC)
    fields = {**asdict(gap), "detected_at": at.isoformat()}
    store.put(f"{_folder(gap.table)}/{at:%Y%m%dT%H%M%S%fZ}.json", json.dumps(fields).encode())


def read_gaps(store: BronzeStore, table: str) -> list[Gap]:
    """Return the gaps of a table, oldest first. Raises CorruptObject for a file that is no marker."""
    return [_parse(store.read(path), path) for path in store.list(_folder(table), suffix=".json")]


def _folder(table: str) -> str:
    return f"_gaps/{table}"


def _parse(data: bytes, path: str) -> Gap:
    try:
        fields = json.loads(data)
        return Gap(**{**fields, "detected_at": datetime.fromisoformat(fields["detected_at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptObject(f"{path} is not a gap marker ({error}); restore it, or move it out of Bronze") from error
