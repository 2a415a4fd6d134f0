"""The writes of an imagined application, drawn from a domain's contracts and workload by a seed.

Belongs here: which item is written next, and with which values. Does not belong here: the writing (`writer`), and
anything about one particular domain.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Literal

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.local.moment_text import write_moment
from medallion_assets.local.workload import NEWEST, TableWorkload, Value, Workload

Kind = Literal["insert", "update", "delete", "touch"]
Key = tuple[Any, ...]
Item = dict[str, Any]

_EARLY_WRITES = 40
"""The most writes between a row that refers to a row and the row that it refers to."""
_MAX_LATE_ATTEMPTS = 20
_READABLE = {("date",), ("timestamp",)}
"""The moments that tell when an adopted item was written."""


@dataclass(frozen=True)
class Change:
    """One write. Values are Python's own: text, int, Decimal, bool, bytes, list, frozenset, dict.

    `attributes` is the whole item for insert and touch, what is set for update, empty for delete. `due` is the place
    in the schedule: a steady writer makes write `due` at `due / rate` seconds; the writes of one burst share one place.
    `emits` is False for a write that changes nothing: DynamoDB puts no record of it on the stream.
    """

    table: str
    kind: Kind
    key: Mapping[str, Any]
    attributes: Mapping[str, Any]
    due: int
    emits: bool = True


@dataclass
class _Row:
    """An item in a table: its attributes, its number, and when it was first written."""

    item: Item
    number: int
    written: datetime


class _Rows:
    """The items of one table by key. Picking one takes constant time."""

    def __init__(self, contract: Contract, plan: TableWorkload) -> None:
        self.contract = contract
        self.plan = plan
        self.key_attributes = tuple(column.attribute for column in contract.key_columns)
        self.number = 0
        self.rows: dict[Key, _Row] = {}
        self._keys: list[Key] = []
        self._at: dict[Key, int] = {}

    def key(self, item: Item) -> Key:
        return tuple(item[name] for name in self.key_attributes)

    def add(self, row: _Row) -> None:
        key = self.key(row.item)
        self._at[key] = len(self._keys)
        self._keys.append(key)
        self.rows[key] = row

    def remove(self, key: Key) -> None:
        del self.rows[key]
        at, last = self._at.pop(key), self._keys.pop()
        if last != key:
            self._keys[at] = last
            self._at[last] = at

    def pick(self, rng: random.Random) -> Key:
        """Return a random key; a hot one as often as the workload says."""
        hot = self.plan.hot
        few = hot.keys if hot and rng.random() < hot.share else len(self._keys)
        return self._keys[rng.randrange(min(few, len(self._keys)))]

    def pick_for_update(self, rng: random.Random, now: datetime) -> Key:
        """Return a random key; with `late` in the workload, that of an old row for its share, else of a new row."""
        late = self.plan.late
        if late is None:
            return self.pick(rng)
        if rng.random() < late.share:
            for _ in range(_MAX_LATE_ATTEMPTS):
                key = self._keys[rng.randrange(len(self._keys))]
                if now - self.rows[key].written > timedelta(days=late.days):
                    return key
        return self._keys[-1 - rng.randrange(min(NEWEST, len(self._keys)))]


class Generator:
    """The writes of one domain. The same domain, workload, seed and start give the same writes."""

    def __init__(self, domain: Domain, workload: Workload, *, seed: int, start: datetime) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - test data, not secrets
        self._start = start
        self._now = start
        self._words = workload.words
        self._burst = workload.burst
        self._rows = {name: _Rows(domain.by_name[name], plan) for name, plan in workload.tables.items()}
        self._kinds = [
            (name, kind, float(weight))
            for name, plan in workload.tables.items()
            for kind, weight in _weights(plan)
            if weight
        ]
        self._promised: deque[tuple[int, str, _Row]] = deque()
        self._written = 0

    def adopt(self, table: str, items: Iterable[Item]) -> None:
        """Take over the items that `table` (lake name) has already: they get updates, deletes and references."""
        rows = self._rows[table]
        moments = [name for name, value in rows.plan.item.items() if value.moment in _READABLE]
        for item in sorted(items, key=lambda item: repr(rows.key(item))):
            texts = [item[name] for name in moments if isinstance(item.get(name), str)]
            rows.number += 1
            rows.add(_Row(item, rows.number, _moment(texts[0]) if texts else self._start))

    def initial(self) -> Iterator[Change]:
        """Yield the initial load: inserts only, table after table, all of them due at once."""
        for name, rows in self._rows.items():
            load = rows.plan.initial
            for number in range(load.count):
                back = load.over_days * (1 - (number + self._rng.random()) / load.count)
                self._now = self._start - timedelta(days=back)
                yield self._insert(name, self._new(name, early=False), due=0)
        self._now = self._start

    def live(self, *, rate: float, start: datetime) -> Iterator[Change]:
        """Yield writes without end, `rate` a second on average from `start` on. The caller does the waiting."""
        due = left_in_burst = 0
        for place in count():
            if left_in_burst:
                left_in_burst -= 1
            else:
                due = place
                if self._burst and self._rng.random() < self._burst.chance:
                    left_in_burst = self._burst.size - 1
            self._now = start + timedelta(seconds=due / rate)
            self._written += 1
            yield self._next(due)

    def _next(self, due: int) -> Change:
        if self._promised and self._promised[0][0] <= self._written:
            _, name, row = self._promised.popleft()
            return self._insert(name, row, due=due)
        [(name, kind, _)] = self._rng.choices(self._kinds, [weight for _, _, weight in self._kinds])
        rows = self._rows[name]
        if kind == "insert" or not rows.rows:
            return self._insert(name, self._new(name, early=True), due=due)
        key = rows.pick_for_update(self._rng, self._now) if kind == "update" else rows.pick(self._rng)
        source, named = rows.contract.table, dict(zip(rows.key_attributes, key, strict=True))
        if kind == "delete":
            row = rows.rows[key]
            rows.remove(key)
            if not rows.plan.delete_sets:
                return Change(source, kind, named, {}, due)
            marks = {
                attribute: self._value(value, number=row.number, early=False)
                for attribute, value in rows.plan.delete_sets.items()
            }
            return Change(source, "update", named, marks, due)
        row = rows.rows[key]
        if kind == "touch":
            return Change(source, kind, named, dict(row.item), due, emits=False)
        changing = self._rng.sample(rows.plan.update, self._rng.randint(1, len(rows.plan.update)))
        new = {attribute: self._drawn(name, attribute, number=row.number, early=True) for attribute in changing}
        emits = any(attribute not in row.item or row.item[attribute] != value for attribute, value in new.items())
        row.item.update(new)
        return Change(source, kind, named, new, due, emits=emits)

    def _insert(self, name: str, row: _Row, *, due: int) -> Change:
        rows = self._rows[name]
        rows.add(row)
        named = dict(zip(rows.key_attributes, rows.key(row.item), strict=True))
        return Change(rows.contract.table, "insert", named, dict(row.item), due)

    def _new(self, name: str, *, early: bool) -> _Row:
        """Return a new item of the table, with a key that the table does not have."""
        rows = self._rows[name]
        while True:
            rows.number += 1
            number = rows.number
            item = {key: self._drawn(name, key, number=number, early=early) for key in rows.key_attributes}
            if rows.key(item) not in rows.rows:
                break
        for attribute, value in rows.plan.item.items():
            if attribute not in item and (value.share == 1 or self._rng.random() < value.share):
                item[attribute] = self._drawn(name, attribute, number=number, early=early)
        return _Row(item, number, self._now)

    def _drawn(self, name: str, attribute: str, *, number: int, early: bool) -> Any:
        rows = self._rows[name]
        column = rows.contract.columns.get(attribute)
        drawn = self._value(rows.plan.item[attribute], number=number, early=early)
        return _as_contracted(drawn, column.type) if column else drawn

    def _value(self, value: Value, *, number: int, early: bool) -> Any:
        drawn = self._of_kind(value, number=number, early=early)
        return str(drawn) if value.as_text else drawn

    def _of_kind(self, value: Value, *, number: int, early: bool) -> Any:  # noqa: PLR0911 - one return for each kind
        match value.kind:
            case "text":
                words = {name: self._rng.choice(listed) for name, listed in self._words.items()}
                return str(value.text).format(n=number, **words)
            case "sequence":
                return (value.sequence or 0) + number - 1
            case "choice" if value.choice is not None:
                [drawn] = self._rng.choices(list(value.choice), [float(weight) for weight in value.choice.values()])
                return drawn.isoformat() if isinstance(drawn, date) else drawn
            case "number" if value.number is not None:
                unit = 10**value.number.scale
                drawn_units = self._rng.randint(int(value.number.min * unit), int(value.number.max * unit))
                return Decimal(drawn_units).scaleb(-value.number.scale) if value.number.scale else drawn_units
            case "moment" if value.moment is not None:
                several = value.moment
                return write_moment(self._now, several[0] if len(several) == 1 else self._rng.choice(several))
            case "list" if value.list is not None:
                length = self._rng.randint(value.list.min, value.list.max)
                return [self._value(value.list.of, number=number, early=early) for _ in range(length)]
            case "map" if value.map is not None:
                return {
                    attribute: self._value(part, number=number, early=early)
                    for attribute, part in value.map.items()
                    if part.share == 1 or self._rng.random() < part.share
                }
            case _:
                return self._referred(str(value.reference), early_share=float(value.early) if early else 0.0)

    def _referred(self, name: str, *, early_share: float) -> Any:
        """Return the key of a row of that table; for `early_share`, of a row that is written a few writes later."""
        rows = self._rows[name]
        if rows.rows and (not early_share or self._rng.random() >= early_share):
            return rows.pick(self._rng)[0]
        row = self._new(name, early=False)
        last = self._promised[-1][0] if self._promised else 0
        self._promised.append((max(last, self._written + self._rng.randint(2, _EARLY_WRITES)), name, row))
        return rows.key(row.item)[0]


def _weights(plan: TableWorkload) -> Iterator[tuple[Kind, Decimal]]:
    yield "insert", plan.traffic.insert
    yield "update", plan.traffic.update
    yield "delete", plan.traffic.delete
    yield "touch", plan.traffic.touch


def _as_contracted(drawn: Any, type_: ColumnType) -> Any:
    """Return the value with lists as sets where the contract has a set, also inside lists, maps and structs."""
    if isinstance(drawn, list):
        parts = [_as_contracted(part, type_.element) if type_.element else part for part in drawn]
        return frozenset(parts) if type_.kind == "set" else parts
    if isinstance(drawn, dict):
        inner = {attribute: part for attribute, _, part in type_.fields}
        return {
            name: _as_contracted(part, kind) if (kind := type_.element or inner.get(name)) else part
            for name, part in drawn.items()
        }
    return drawn


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
