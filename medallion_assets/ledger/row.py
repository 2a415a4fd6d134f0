"""A row of `ops.ledger`: one Bronze object, and the state in which it was recorded.

Belongs here: names that rules, queries and the update share. Does not belong here: the columns (ops.tables).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""A row by column; the columns are those of `ops.tables.LEDGER`."""

PRESENT: Final = "present"
"""The object is in Bronze as it was recorded."""

MISSING: Final = "missing"
"""The object is no longer in Bronze."""

CHANGED: Final = "changed"
"""The object is in Bronze with other content."""
