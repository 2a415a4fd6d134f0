"""How old and how complete the numbers of each mart are, and which rule holds a table back, as JSON.

Belongs here: what a reader of a panel has to know of its mart. Does not belong here: the panels' values (document),
reading the status (health.status).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from medallion_assets.checks.descriptions import DESCRIPTIONS
from medallion_assets.gold.spec import Mart
from medallion_assets.health.blocks import Block
from medallion_assets.health.status import Status


def mart_states(status: Status, marts: Mapping[str, Mart], *, dagster_url: str | None) -> dict[str, dict[str, Any]]:
    """Return the state of every mart by name; times are ISO 8601 in UTC.

    - contains_to: everything that was captured up to then is in the mart
    - complete_to: every change of the source up to then is in the mart; null if that is not known
    - missing: changes of its tables that are set aside or lost
    - held: the tables on the mart's way that a failed rule holds back, with the rule and since when
    """
    by_table = {table.table: table for table in status.tables}
    by_mart = {mart.mart: mart for mart in status.marts}
    blocks = {f"silver/{name}": table.blocked_by for name, table in by_table.items()}
    blocks |= {f"gold/{name}": mart.blocked_by for name, mart in by_mart.items()}
    found = {}
    for name, mart in marts.items():
        reads = [by_table[table] for table in mart.tables]
        found[name] = {
            "contains_to": by_mart[name].contains_to.isoformat(),
            "complete_to": complete.isoformat() if (complete := by_mart[name].complete_to) else None,
            "missing": sum(
                table.quarantined_rows + table.parked.dead_letters + sum(gap.lossy for gap in table.gaps)
                for table in reads
            ),
            "held": [_held(asset, block, dagster_url) for asset in _way(mart) if (block := blocks[asset]) is not None],
        }
    return found


def _way(mart: Mart) -> Iterator[str]:
    """Yield what a mart is made from, and itself, as assets."""
    yield from (f"silver/{name}" for name in mart.tables)
    yield from sorted(_marts(mart))


def _marts(mart: Mart) -> set[str]:
    return {f"gold/{mart.name}"}.union(*(_marts(other) for other in mart.upstream.values()))


def _held(asset: str, block: Block, dagster_url: str | None) -> dict[str, Any]:
    return {
        "asset": asset,
        "rule": block.check,
        "means": DESCRIPTIONS.get(block.check, ""),
        "since": block.since.isoformat(),
        "url": f"{dagster_url.rstrip('/')}/assets/{quote(asset)}" if dagster_url else None,
    }
