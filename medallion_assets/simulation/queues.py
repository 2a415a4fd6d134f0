"""SQS queues, as far as an on-failure destination needs them.

Belongs here: a queue's messages. Does not belong here: the boto3 calls (clients).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Queue:
    """A standard queue. `messages` are the bodies, oldest first."""

    name: str
    url: str
    arn: str
    messages: list[str] = field(default_factory=list)

    def json(self) -> list[Any]:
        """Return the messages' bodies as data."""
        raise NotImplementedError
