"""Names for the lake in proposed contracts: of tables, entities and columns.

Belongs here: a usable name that nothing else has. Does not belong here: which names are usable (contracts.names).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from medallion_assets.contracts.names import identifier, snake_case


def free_name(attribute: str, names: Mapping[str, str]) -> str:
    """Return a name for the lake that no other column has: snake_case, or that with `attribute_` or a number."""
    wanted = snake_case(attribute)
    try:
        identifier(wanted)
    except ValueError:
        wanted = re.sub(r"[^a-z0-9_]", "", f"attribute_{wanted}")[:100].strip("_")
    return next(name for number in range(1, len(names) + 3) if (name := _numbered(wanted, number)) not in names)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def lake_name(table: str) -> str:
    """Return the name in the lake that a proposed contract gives a table: snake_case, or that with `table_`."""
    try:
        return identifier(snake_case(table))
    except ValueError:
        return free_name(f"table_{table}", {})
