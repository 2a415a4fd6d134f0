"""What an engine answers to a statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The rows of a query, and its columns with the types as the engine writes them: "decimal(38,0)"."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]
