"""Markers in Bronze that say: the stream of this table lost changes, the table needs a backfill.

Belongs here: the marker, its path, writing and reading it. Does not belong here: how a gap is detected (poller) and
when it is closed (a repair that started after `detected_at`). Markers are written to
`_gaps/<table>/<detected_at>.json` below the Bronze root, so that every machine can read them. They are never removed.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject


@dataclass(frozen=True, slots=True, kw_only=True)
class GapMarker:
    """The stream of `table` lost changes before they were read. `detected_at` is aware UTC."""

    table: str
    detected_at: datetime
    reason: str


def write_gap_marker(store: BronzeStore, marker: GapMarker) -> None:
    """Write the marker. Raises what the store raises."""
    at = marker.detected_at.astimezone(UTC)
    fields = {**asdict(marker), "detected_at": at.isoformat()}
    store.put(f"{_folder(marker.table)}/{at:%Y%m%dT%H%M%S%fZ}.json", json.dumps(fields).encode())


def read_gap_markers(store: BronzeStore, table: str) -> list[GapMarker]:
    """Return the gap markers of a table, oldest first. Raises CorruptObject for a file that is not a marker."""
    return [_parse(store.read(path), path) for path in store.list(_folder(table), suffix=".json")]


def _folder(table: str) -> str:
    return f"_gaps/{table}"


def _parse(data: bytes, path: str) -> GapMarker:
    try:
        fields = json.loads(data)
        return GapMarker(**{**fields, "detected_at": datetime.fromisoformat(fields["detected_at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptObject(
            f"{path} is not a gap marker ({error}); expected the JSON that the poller writes. Restore the file, or "
            "move it out of Bronze."
        ) from error
