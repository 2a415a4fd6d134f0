"""What AWS refuses: its error code and its words, before a client makes a botocore error of them."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that AWS answers with an error: `code` is AWS's, `fields` what the answer holds beside it."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields


def invalid(message: str) -> Refused:
    """Return a ValidationException."""
    return Refused("ValidationException", message)
