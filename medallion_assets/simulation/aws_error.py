"""An error answer of AWS: code and message, before a client turns it into an error of botocore."""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """A request that AWS answers with an error: `code` is AWS's, `fields` what the answer holds beside it."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields


def invalid(message: str) -> AwsError:
    """Return a ValidationException."""
    return AwsError("ValidationException", message)
