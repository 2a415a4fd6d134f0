"""A request that is not answered: the HTTP status, a code for programs, and a sentence for people.

Belongs here: which error is which status. Does not belong here: when a request is refused (gate, reader, app).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from medallion_assets import errors


class Refusal(errors.MedallionError):
    """A refused request. `code` stays the same between versions; `headers` are added to the response."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers

    @property
    def body(self) -> dict[str, dict[str, str]]:
        """The response's body."""
        return {"error": {"code": self.code, "message": str(self)}}


_STATUS: Final[Mapping[type[errors.MedallionError], tuple[int, str]]] = {
    errors.MartError: (400, "wrong_query"),
    errors.TableMissing: (404, "no_such_table"),
    errors.QueryFailed: (422, "query_failed"),
    errors.LakeUnavailable: (503, "lake_unavailable"),
    errors.NotCaughtUp: (503, "lagging"),
}


def refusal_of(error: errors.MedallionError) -> Refusal:
    """Return the refusal for an error. Of one that concerns the operator only, the caller sees no detail."""
    if isinstance(error, Refusal):
        return error
    for kind, (status, code) in _STATUS.items():
        if isinstance(error, kind):
            return Refusal(status, code, str(error), {"Retry-After": "5"} if status == 503 else {})
    return Refusal(500, "broken", "The server cannot answer; its log says why.")
