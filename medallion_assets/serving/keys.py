"""API keys: who may ask for what. Each is a small JSON object in a bucket or a directory; the secret is not in it.

Belongs here: a key, making, replacing and revoking one, and recognising the key of a request. Does not belong here:
HTTP (caller), what a scope protects (reader, tables).

A key is shown once, as `mk_<id>_<secret>`. Its secret has 256 random bits, so its SHA-256 is enough: there is nothing
to guess. A server reads all keys again every ten seconds, so a revoked key works for so long at most.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from medallion_assets.capture.store import BronzeStore
from medallion_assets.errors import CorruptObject, SettingsError

REFRESH_SECONDS: Final = 10.0
_FOLDER: Final = "keys"
_TEXT: Final = re.compile(r"mk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)

Scope = Annotated[str, Field(pattern=r"^(\*|[a-z]+(\.[A-Za-z0-9_]+)?)$")]
QueryScope = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_]*)$")]


class Key(BaseModel):
    """A key as it is kept. Times are aware UTC.

    - hash: SHA-256 of the secret, in hex
    - reads: what it may read with SQL: `*`, a schema (`gold`) or a table (`silver.orders`)
    - queries: which saved queries it may call: `*` or names; they read what they read
    - expires_at, revoked_at: it does not work from then on
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str = Field(min_length=1, max_length=100)
    hash: str
    reads: tuple[Scope, ...]
    queries: tuple[QueryScope, ...]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def works(self, now: datetime) -> bool:
        """Return whether it may be used at this time."""
        return all(end is None or now < end for end in (self.expires_at, self.revoked_at))

    def may_read(self, schema: str, table: str) -> bool:
        """Return whether it may read a table with SQL."""
        return not {"*", schema, f"{schema}.{table}"}.isdisjoint(self.reads)

    def may_call(self, query: str) -> bool:
        """Return whether it may call a saved query."""
        return not {"*", query}.isdisjoint(self.queries)


class KeyRing:
    """The keys in one place, `s3://bucket/prefix` or a directory. Threads may share it.

    Methods raise LakeUnavailable, and SettingsError for an object that is no key.
    """

    def __init__(self, store: BronzeStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, Key] = {}
        self._read_at: float | None = None

    def make(
        self, name: str, *, reads: Sequence[str], queries: Sequence[str], now: datetime, lasts: timedelta | None
    ) -> tuple[Key, str]:
        """Keep a new key; return it, and the text that its owner sends."""
        secret = secrets.token_urlsafe(32)
        key = Key(
            id=secrets.token_hex(6),
            name=name,
            hash=_hash(secret),
            reads=tuple(reads),
            queries=tuple(queries),
            created_at=now,
            expires_at=now + lasts if lasts else None,
        )
        self._keep(key)
        return key, f"mk_{key.id}_{secret}"

    def replace(self, key_id: str, *, now: datetime, overlap: timedelta, lasts: timedelta | None) -> tuple[Key, str]:
        """Keep a new key that may do what this one may; the old one ends after `overlap`. Raises SettingsError."""
        old = self.find(key_id)
        made = self.make(old.name, reads=old.reads, queries=old.queries, now=now, lasts=lasts)
        ends = min(filter(None, (old.expires_at, now + overlap)))
        self._keep(old.model_copy(update={"expires_at": ends}))
        return made

    def revoke(self, key_id: str, *, now: datetime) -> Key:
        """End a key. Raises SettingsError if there is none."""
        key = self.find(key_id)
        revoked = key.model_copy(update={"revoked_at": key.revoked_at or now})
        self._keep(revoked)
        return revoked

    def list(self) -> list[Key]:
        """Return every key, the oldest first."""
        found = [self._parse(path) for path in self._store.list(_FOLDER, suffix=".json")]
        return sorted(found, key=lambda key: key.created_at)

    def find(self, key_id: str) -> Key:
        """Return a key. Raises SettingsError if there is none."""
        for key in self.list():
            if key.id == key_id:
                return key
        raise SettingsError(f"There is no key {key_id!r}; `medallion keys list` shows them.")

    def recognise(self, text: str, *, now: datetime) -> Key | None:
        """Return the key that a caller sent, if it works now. What is known may be ten seconds old."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        if self.is_stale():
            with self._lock:
                if self.is_stale():
                    self._known, self._read_at = {key.id: key for key in self.list()}, time.monotonic()
        key = self._known.get(match[1])
        if key is None or not hmac.compare_digest(key.hash, _hash(match[2])) or not key.works(now):
            return None
        return key

    def is_stale(self) -> bool:
        """Return whether `recognise` would read the keys again."""
        return self._read_at is None or time.monotonic() - self._read_at > REFRESH_SECONDS

    def _keep(self, key: Key) -> None:
        self._store.put(f"{_FOLDER}/{key.id}.json", key.model_dump_json().encode())

    def _parse(self, path: str) -> Key:
        try:
            return Key.model_validate_json(self._store.read(path))
        except (ValueError, CorruptObject) as wrong:
            raise SettingsError(f"{self._store.uri(path)} is no key. Remove it, or make it again.") from wrong


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
