"""Asking a server: one request, its answer as rows.

Belongs here: what `medallion query --url` does. Does not belong here: how rows are shown (cli). Imports no server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from medallion_assets.errors import LakeUnavailable, MartError, SettingsError

KEY: Final = "MEDALLION_KEY"
"""The environment variable of the key that is sent."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?/?")
_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Served:
    """An answer: its columns, its rows as Python values, and what it says of its age, as it was sent."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    freshness: str
    complete_to: str | None
    age_seconds: float | None


def ask_sql(url: str, sql: str, *, freshness: str, key: str | None) -> Served:
    """Return the rows of a SELECT. Raises MartError for one that is refused, SettingsError, LakeUnavailable."""
    body = json.dumps({"sql": sql, "freshness": freshness}).encode()
    return _ask(Request(f"{_base(url)}/v1/sql", body, {"Content-Type": "application/json", **_key(key)}))  # noqa: S310


def ask_saved(url: str, name: str, values: Mapping[str, str], *, key: str | None) -> Served:
    """Return the rows of a saved query. Raises as `ask_sql` does."""
    return _ask(Request(f"{_base(url)}/v1/queries/{quote(name, safe='')}?{urlencode(values)}", headers=_key(key)))  # noqa: S310


def _base(url: str) -> str:
    if not _URL.fullmatch(url):
        raise SettingsError(f"{url!r} is not the address of a server; expected https://host or http://host:port.")
    return url.rstrip("/")


def _key(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _ask(request: Request) -> Served:
    try:
        with urlopen(request, timeout=_SECONDS) as response:  # noqa: S310 - _base admits http and https only
            found = json.loads(response.read())
    except HTTPError as refused:
        raise _refusal(refused) from None
    except (URLError, HTTPException, TimeoutError) as unreached:
        raise LakeUnavailable(f"{request.host} does not answer: {unreached}. Is `medallion serve` up?") from unreached
    decimals = [column["type"].startswith("decimal") for column in found["columns"]]
    rows = [
        [Decimal(cell) if exact and cell is not None else cell for cell, exact in zip(row, decimals, strict=True)]
        for row in found["rows"]
    ]
    names = [column["name"] for column in found["columns"]]
    return Served(names, rows, found["freshness"], found["complete_to"], found["age_seconds"])


def _refusal(refused: HTTPError) -> MartError | SettingsError | LakeUnavailable:
    try:
        message = str(json.loads(refused.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"{refused.code} {refused.reason}; is it a server of `medallion serve`?"
    if refused.code in {401, 403}:
        return SettingsError(f"{message} It is read from {KEY}.")
    return LakeUnavailable(message) if refused.code in {429, 503} else MartError(message)
