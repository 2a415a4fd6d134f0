"""The caller of a request: by its key, or anyone where no key is asked for.

Belongs here: who asks, and what they may. Does not belong here: keys (keys).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request

from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.refusal import Refusal


@dataclass(frozen=True)
class Caller:
    """Who asks. `name` is for logs and limits; the functions say what they may read with SQL and call."""

    name: str
    may_read: Callable[[str, str], bool]
    may_call: Callable[[str], bool]


ANYONE: Final = Caller("anyone", lambda schema, table: True, lambda query: True)
"""The caller of a server that asks for no key."""


async def identify(request: Request, keys: KeyRing | None) -> Caller:
    """Return who asks; without `keys` anyone. Raises Refusal (401) without a key that works, LakeUnavailable."""
    if keys is None:
        return ANYONE
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    key = None
    if scheme.lower() == "bearer":
        now = datetime.now(UTC)
        if keys.is_stale():
            key = await asyncio.to_thread(keys.recognise, text.strip(), now=now)
        else:
            key = keys.recognise(text.strip(), now=now)
    if key is None:
        raise Refusal(
            401,
            "no_key",
            "Expected the header `Authorization: Bearer mk_...` with a key that works. The operator makes one with "
            "`medallion keys make`.",
            {"WWW-Authenticate": "Bearer"},
        )
    return Caller(key.id, key.may_read, key.may_call)
