"""SQS queues, as far as an on-failure destination needs them.

Belongs here: a queue's messages. Does not belong here: the boto3 calls (clients).
Source: SQS developer guide, "Standard queues", "Visibility timeout".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

_HIDDEN: Final = timedelta(seconds=30)


@dataclass(slots=True)
class Message:
    """One message: hidden from receivers until `visible_at`. `receipt` is the newest receiver's handle."""

    message_id: str
    body: str
    visible_at: datetime
    receipt: str = ""


@dataclass
class Queue:
    """A standard queue. `messages` are those not deleted yet, oldest first."""

    name: str
    url: str
    arn: str
    clock: Callable[[], datetime]
    messages: list[Message] = field(default_factory=list)
    _sent: int = 0
    _received: int = 0

    def send(self, body: str) -> Message:
        """Add a message."""
        self._sent += 1
        message = Message(f"{self.name}-{self._sent:08d}", body, self.clock())
        self.messages.append(message)
        return message

    def receive(self, most: int, hidden: timedelta = _HIDDEN) -> list[Message]:
        """Return up to `most` visible messages and hide them for a while."""
        now = self.clock()
        taken = [message for message in self.messages if message.visible_at <= now][:most]
        for message in taken:
            self._received += 1
            message.visible_at = now + hidden
            message.receipt = f"{message.message_id}/{self._received}"
        return taken

    def delete(self, receipt: str) -> None:
        """Delete the message with that newest receipt; an older receipt deletes nothing."""
        self.messages = [message for message in self.messages if message.receipt != receipt or not receipt]

    def json(self) -> list[Any]:
        """Return the messages' bodies as data."""
        return [json.loads(message.body) for message in self.messages]
