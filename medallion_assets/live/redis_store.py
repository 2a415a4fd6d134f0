"""Counters in Redis or Valkey: one hash for each counter, one script for each batch, a message for each change.

Belongs here: keys, the script, the messages. Does not belong here: which changes are in a step (step).

- `live:{<counter>}`: the hash. A field is a measure and a group, as in `count ["paid"]`; a measure that is zero has no
  field. The channel of its messages has the same name; a message is a JSON list of fields and their new values.
- `live:{<counter>}:seen:<key>`: an item's last change, for as long as the stream may send it again.
- `live:{<counter>}:frozen`: while the counter is read as a whole.

The braces make all keys of a counter one slot of a cluster, so that one script can write them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import wraps
from typing import Any, Final, ParamSpec, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import orjson
import valkey
from valkey.cluster import ValkeyCluster

from medallion_assets.errors import LakeUnavailable, SettingsError
from medallion_assets.live.change import Key
from medallion_assets.live.counter import COUNT
from medallion_assets.live.step import SEEN_FOR, Seen, Step, Totals
from medallion_assets.live.store import FROZEN_SECONDS, Outcome, Snapshot, read_seen, seen_text

# Numbers in Lua are doubles, which are not exact, so sums are added as text, seven digits at a time. Both have the same
# digits after the point, or one of them is 0.
_ADD: Final = """
local function limbs(text)
  local sign, found = 1, {}
  text = text:gsub('%.', '')
  if text:sub(1, 1) == '-' then sign, text = -1, text:sub(2) end
  for stop = #text, 1, -7 do found[#found + 1] = sign * tonumber(text:sub(math.max(stop - 6, 1), stop)) end
  return found
end
local function carry(number)
  for at = 1, #number - 1 do
    local over = math.floor(number[at] / 1e7)
    number[at], number[at + 1] = number[at] - over * 1e7, number[at + 1] + over
  end
end
local function add(one, other)
  local a, b, sum, sign = limbs(one), limbs(other), {}, ''
  for at = 1, math.max(#a, #b) + 1 do sum[at] = (a[at] or 0) + (b[at] or 0) end
  carry(sum)
  if sum[#sum] < 0 then
    sign = '-'
    for at = 1, #sum do sum[at] = -sum[at] end
    carry(sum)
  end
  local digits = {}
  for at = #sum, 1, -1 do digits[#digits + 1] = string.format('%07.0f', sum[at]) end
  local text = table.concat(digits):gsub('^0+', '')
  if text == '' then return '0' end
  local point = other:find('.', 1, true)
  if point then
    local scale = #other - point
    text = string.rep('0', scale + 1 - #text) .. text
    text = text:sub(1, -scale - 1) .. '.' .. text:sub(-scale)
  end
  return sign .. text
end
"""

# KEYS: the hash, the mark of a frozen counter, the items. ARGV: the seconds for which items are kept, then for each
# item its last change as it was, then as it is, then fields and what is added to each.
_APPLY: Final = (
    _ADD
    + """
local items = #KEYS - 2
if items > 0 and redis.call('EXISTS', KEYS[2]) == 1 then return 'frozen' end
for at = 1, items do
  if (redis.call('GET', KEYS[at + 2]) or '') ~= ARGV[at + 1] then return 'changed' end
end
for at = 1, items do redis.call('SET', KEYS[at + 2], ARGV[items + at + 1], 'EX', ARGV[1]) end
local message = {}
for at = 2 * items + 2, #ARGV, 2 do
  local sum = add(redis.call('HGET', KEYS[1], ARGV[at]) or '0', ARGV[at + 1])
  if sum == '0' then redis.call('HDEL', KEYS[1], ARGV[at]) else redis.call('HSET', KEYS[1], ARGV[at], sum) end
  message[#message + 1] = ARGV[at]
  message[#message + 1] = sum
end
if #message > 0 then redis.call('PUBLISH', KEYS[1], cjson.encode(message)) end
return 'applied'
"""
)

_THAW: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

P = ParamSpec("P")
T = TypeVar("T")


def _reached(call: Callable[P, T]) -> Callable[P, T]:
    """Raise LakeUnavailable for what the client raises when the service cannot answer."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except (valkey.ConnectionError, valkey.TimeoutError, valkey.BusyLoadingError, valkey.ReadOnlyError) as error:
            raise LakeUnavailable(f"the store of the counters does not answer: {error}") from error

    return wrapped


class RedisStore:
    """A LiveStore in Redis or Valkey."""

    changes_at_once = 1_000
    entries_at_once = 3_000

    def __init__(self, client: Any) -> None:
        self._client = client
        self._apply = client.register_script(_APPLY)
        self._thaw = client.register_script(_THAW)

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[Self]:
        """Open the server at `redis://…`, or `rediss://…` with TLS; `?cluster=true` for a cluster.

        The address has user and password, if any. Raises SettingsError for one that cannot be read.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        cluster = options.pop("cluster", "false")
        if options or cluster not in {"true", "false"}:
            raise SettingsError(
                f"the address of the counters' store says {sorted(options) or cluster!r}; expected nothing after ?, "
                "or cluster=true"
            )
        client_of: Any = ValkeyCluster if cluster == "true" else valkey.Valkey
        try:
            plain = urlunsplit(parts._replace(query=""))
            client = client_of.from_url(plain, socket_timeout=10, socket_connect_timeout=5)
        except (valkey.ValkeyError, ValueError) as error:
            raise LakeUnavailable(f"the store of the counters cannot be used: {error}") from error
        try:
            yield cls(client)
        finally:
            client.close()

    @_reached
    def seen(self, counter: str, keys: Collection[Key]) -> dict[Key, Seen]:
        """Return the last changes of those items that have one."""
        return self._read(counter, list(keys))

    @_reached
    def apply(self, counter: str, step: Step, before: Mapping[Key, Seen]) -> Outcome:
        """Apply a step in one script, if the items' last changes are still those in `before`."""
        names = [channel_of(counter), _frozen(counter), *(_item(counter, key) for key in step.seen)]
        was = [seen_text(before[key]) if key in before else "" for key in step.seen]
        now = [seen_text(one) for one in step.seen.values()]
        outcome: bytes = self._apply(
            keys=names, args=[int(SEEN_FOR.total_seconds()), *was, *now, *_fields(step.deltas)]
        )
        return {b"applied": "applied", b"changed": "changed", b"frozen": "frozen"}[outcome]  # type: ignore[return-value]

    @_reached
    def totals(self, counter: str) -> Totals:
        """Return the groups that have an item, and their numbers."""
        return {group: measures for group, measures in self._totals(counter).items() if measures.get(COUNT)}

    @_reached
    def snapshot(self, counter: str) -> Snapshot:
        """Return a counter as it is at one moment. Its writers wait; its readers do not."""
        reader = secrets.token_hex(8)
        if not self._client.set(_frozen(counter), reader, ex=FROZEN_SECONDS, nx=True):
            raise LakeUnavailable(f"counter {counter} is being read as a whole already; try again in a minute")
        try:
            prefix = _item(counter, "")
            keys = [name.decode().removeprefix(prefix) for name in self._client.scan_iter(_glob(prefix), count=1_000)]
            seen: dict[Key, Seen] = {}
            for at in range(0, len(keys), self.changes_at_once):
                seen |= self._read(counter, keys[at : at + self.changes_at_once])
            totals = self._totals(counter)
            if self._client.get(_frozen(counter)) != reader.encode():
                raise LakeUnavailable(f"reading counter {counter} took more than {FROZEN_SECONDS} s; try again")
        finally:
            self._thaw(keys=[_frozen(counter)], args=[reader])
        return Snapshot(totals, seen)

    @_reached
    def correct(self, counter: str, deltas: Totals) -> None:
        """Add deltas in one script; changes that are applied at the same time stay."""
        self._apply(keys=[channel_of(counter), _frozen(counter)], args=[0, *_fields(deltas)])

    @_reached
    def forget(self, counter: str) -> None:
        """Delete all that is kept of a counter."""
        for name in self._client.scan_iter(_glob(channel_of(counter)) + "*", count=1_000):
            self._client.delete(name)

    def _read(self, counter: str, keys: list[Key]) -> dict[Key, Seen]:
        found = self._client.mget([_item(counter, key) for key in keys]) if keys else []
        return {key: read_seen(text) for key, text in zip(keys, found, strict=True) if text is not None}

    def _totals(self, counter: str) -> Totals:
        return totals_of(
            {field.decode(): number.decode() for field, number in self._client.hgetall(channel_of(counter)).items()}
        )


def channel_of(counter: str) -> str:
    """Return the name of a counter's hash, and of the channel of its messages."""
    return f"live:{{{counter}}}"


def totals_of(fields: Mapping[str, str]) -> Totals:
    """Return the groups in the fields of a counter's hash."""
    totals: Totals = {}
    for field, number in fields.items():
        measure, _, group = field.partition(" ")
        totals.setdefault(group, {})[measure] = Decimal(number)
    return totals


def changed_fields(message: str | bytes) -> dict[str, str]:
    """Return the fields in a message, and their new values."""
    pairs = orjson.loads(message)
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _fields(deltas: Totals) -> list[str]:
    return [
        text
        for group, measures in deltas.items()
        for name, number in measures.items()
        for text in (f"{name} {group}", f"{number:f}")
    ]


def _item(counter: str, key: Key) -> str:
    return f"{channel_of(counter)}:seen:{key}"


def _frozen(counter: str) -> str:
    return f"{channel_of(counter)}:frozen"


def _glob(prefix: str) -> str:
    """Return a pattern that matches names which begin with `prefix`."""
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix) + "*"
