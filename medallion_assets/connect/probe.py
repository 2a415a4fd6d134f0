"""Whether the caller may do one thing with one table, found out by doing it: every action here only reads.

Belongs here: the actions, and telling a refusal from other errors. Does not belong here: what the answers mean
(table_check).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from botocore.exceptions import ClientError

Answer = TypeVar("Answer")
Action = Literal[
    "DescribeTable", "Scan", "BatchGetItem", "ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"
]

TABLE_ACTIONS: Final[tuple[Action, ...]] = ("DescribeTable", "Scan", "BatchGetItem")
STREAM_ACTIONS: Final[tuple[Action, ...]] = ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
_REFUSED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


@dataclass
class Probes:
    """What was tried on one table: the actions that were allowed, and those that were refused."""

    allowed: list[Action] = field(default_factory=list)
    denied: list[Action] = field(default_factory=list)

    def ask(self, action: Action, request: Callable[[], Answer]) -> Answer | None:
        """Return the answer to a request; None if the caller may not make it. Raises botocore's other errors."""
        try:
            answer = request()
        except ClientError as refused:
            if refused.response.get("Error", {}).get("Code") not in _REFUSED:
                raise
            self.denied.append(action)
            return None
        self.allowed.append(action)
        return answer
