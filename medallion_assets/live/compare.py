"""Compare a counter with Silver: what must be added so that it says what Silver's rows say.

Belongs here: the right numbers at the moment at which the counter was read, from a Silver snapshot of about then. Does
not belong here: writing them (rebuild).

A counter and a Silver table are never at one moment: the counter is some seconds ahead. But both know the last change
of each item. So the right numbers are Silver's, and for each item whose last change in the counter is later than in
Silver, what the counter says of it instead of what Silver says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.errors import TableMissing
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, literal, timestamp_literal
from medallion_assets.lake.outage import translate_outages
from medallion_assets.live.change import Key, place_of
from medallion_assets.live.contribution import EXACT, LONGEST_GROUP, Contribution, Group
from medallion_assets.live.counter import COUNT, Condition, Counter, sum_of, values_of
from medallion_assets.live.step import SEEN_FOR, Seen, Totals, add, without_zeros
from medallion_assets.live.store import LiveStore
from medallion_assets.silver.table import CAPTURED_AT, CHANGED_AT, DELETED, SEQUENCE, SILVER, STREAM_CREATED_AT

if TYPE_CHECKING:
    import duckdb

_BATCH: Final = 10_000


@dataclass(frozen=True)
class Comparison:
    """What a counter lacks.

    - totals: what it says; wrong: what must be added to that
    - ahead: the items that Silver has a later change of than the counter, and that change
    - unseen: those that Silver has a change of within the last day, and the counter none
    - snapshot_id: the snapshot of Silver that it was compared with
    """

    totals: Totals
    wrong: Totals
    ahead: Mapping[Key, Seen]
    unseen: Mapping[Key, Seen]
    snapshot_id: int


@translate_outages()
def compare(lake: Lake, contract: Contract, counter: Counter, store: LiveStore, *, now: datetime) -> Comparison:
    """Return what the counter lacks beside the published Silver table of its contract.

    Its writers wait while it is read. Raises TableMissing before Silver has rows, LakeUnavailable.
    """
    table = lake.find(SILVER, contract.lake_name)
    if table is None or (snapshot_id := table.metadata.current_snapshot_id) is None:
        raise TableMissing(f"silver.{contract.lake_name} has no rows yet; wait for the first run, then compare again")
    found = store.snapshot(counter.name)
    silver = _Silver(contract, counter, lake.scan_sql(table, snapshot_id))
    deleted = lake.find(DELETED, contract.lake_name)
    ahead: dict[Key, Seen] = {}
    unseen: dict[Key, Seen] = {}
    with lake.duckdb() as connection:
        right = silver.totals(connection)
        published = silver.items(connection, found.seen, changed_since=now - SEEN_FOR)
        if deleted is not None and (deletions := deleted.metadata.current_snapshot_id) is not None:
            scan = lake.scan_sql(deleted, deletions)
            # Of a key that was written again, Silver's row is the later one.
            published = silver.deletions(connection, scan, found.seen, changed_since=now - SEEN_FOR) | published
    for key, one in published.items():
        known = found.seen.get(key)
        if known is None:
            unseen[key] = one
        elif one.place > known.place:
            ahead[key] = one
    for key, last in found.seen.items():
        row = published.get(key)
        if row is None or row.place != last.place:
            add(counter, right, last.adds, 1)
            add(counter, right, row.adds if row else None, -1)
    for group, measures in found.totals.items():
        into = right.setdefault(group, {})
        for name, number in measures.items():
            into[name] = EXACT.subtract(into.get(name, Decimal(0)), number)
    return Comparison(found.totals, without_zeros(right), ahead, unseen, snapshot_id)


class _Silver:
    """The rows of a Silver table, as a counter sees them."""

    def __init__(self, contract: Contract, counter: Counter, scan: str) -> None:
        self._counter = counter
        self._scan = scan
        self._key = sorted(contract.key_columns, key=lambda column: column.attribute)
        parts = [identifier(value.name) for value in counter.by]
        self._parts = [*parts, *([f"CAST({identifier(counter.day.name)} AS DATE)"] if counter.day else [])]
        self._sums = [identifier(value.name) for value in counter.sums]
        # Silver has the rows of the contract's own conditions only; what is left is the counter's own.
        members = {
            Condition(attribute, pattern.text, pattern.is_prefix)
            for attribute, pattern in (contract.where or {}).items()
        }
        columns = {column.attribute: column for column in contract.columns.values()}
        own = [_sql(one, columns[one.attribute]) for one in counter.passes if one not in members]
        self._counted = " AND ".join(own) or "TRUE"

    def totals(self, connection: duckdb.DuckDBPyConnection) -> Totals:
        """Return the numbers of all rows."""
        measures = ["count(*)", *(f"{name}({one})" for one in self._sums for name in ("sum", "count"))]
        names = [COUNT, *(name for one in self._counter.sums for name in (sum_of(one.name), values_of(one.name)))]
        rows = connection.execute(
            f"SELECT {', '.join([*self._parts, *measures])} FROM {self._scan} WHERE {self._counted}"
            + (f" GROUP BY {', '.join(self._parts)}" if self._parts else "")
        ).fetchall()
        totals: Totals = {}
        for row in rows:
            group = _group(row[: len(self._parts)])
            if group is not None:
                numbers = zip(names, row[len(self._parts) :], strict=True)
                totals[group] = {name: Decimal(number) for name, number in numbers if number}
        return totals

    def items(
        self, connection: duckdb.DuckDBPyConnection, wanted: Iterable[Key], *, changed_since: datetime
    ) -> dict[Key, Seen]:
        """Return the rows of wanted keys, and all rows that changed since then."""
        return self._read(
            connection, self._scan, [self._counted, *self._parts, *self._sums], wanted, changed_since=changed_since
        )

    def deletions(
        self, connection: duckdb.DuckDBPyConnection, scan: str, wanted: Iterable[Key], *, changed_since: datetime
    ) -> dict[Key, Seen]:
        """Return the deletions of wanted keys, and all since then. `scan` reads the table of deleted keys."""
        return self._read(
            connection,
            scan,
            ["FALSE", *("NULL" for _ in self._parts + self._sums)],
            wanted,
            changed_since=changed_since,
        )

    def _read(
        self,
        connection: duckdb.DuckDBPyConnection,
        scan: str,
        adds: Sequence[str],
        wanted: Iterable[Key],
        *,
        changed_since: datetime,
    ) -> dict[Key, Seen]:
        keys = [identifier(column.name) for column in self._key]
        connection.register("wanted", self._typed(wanted))
        version = [identifier(STREAM_CREATED_AT), identifier(SEQUENCE)]
        found: dict[Key, Seen] = {}
        try:
            rows = connection.execute(
                f"SELECT {', '.join([*keys, *version, *adds])} FROM {scan} WHERE ({', '.join(keys)}) IN "
                f"(SELECT ({', '.join(keys)}) FROM wanted) OR coalesce({CHANGED_AT}, {CAPTURED_AT}) >= "
                f"{timestamp_literal(changed_since)}"
            )
            while batch := rows.fetchmany(_BATCH):
                found |= dict(map(self._item, batch))
        finally:
            connection.unregister("wanted")
        return found

    def _item(self, row: tuple[Any, ...]) -> tuple[Key, Seen]:
        count = len(self._key)
        key = orjson.dumps([_text(one) for one in row[:count]]).decode()
        created, sequence, counted = row[count : count + 3]
        parts, amounts = row[count + 3 :][: len(self._parts)], row[count + 3 + len(self._parts) :]
        group = _group(parts) if counted else None
        adds = None if group is None else Contribution(group, tuple(_amount(one) for one in amounts))
        return key, Seen(place_of(created, sequence), adds)

    def _typed(self, keys: Iterable[Key]) -> pa.Table:
        """Return keys as Silver has them, without those that do not fit: Silver cannot have them."""
        rows = [values for key in keys if (values := _typed_key(self._key, json.loads(key))) is not None]
        arrays = [pa.array([row[at] for row in rows], type=column.type.arrow()) for at, column in enumerate(self._key)]
        return pa.table(arrays, names=[column.name for column in self._key])


def _sql(one: Condition, column: Column) -> str:
    name = identifier(column.name)
    if one.text is None:
        return f"{name} IS NOT NULL"
    return f"coalesce(CAST({name} AS VARCHAR) = {literal(one.text)}, FALSE)"


def _group(parts: Sequence[Any]) -> Group | None:
    group = orjson.dumps([one.isoformat() if isinstance(one, date) else one for one in parts])
    return group.decode() if len(group) <= LONGEST_GROUP else None


def _amount(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _text(value: Any) -> str:
    """Return a value of a key as `change.key_of` does."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return f"{value.normalize(EXACT):f}" if isinstance(value, Decimal) else str(value)


def _typed_key(columns: Sequence[Column], texts: Sequence[str]) -> list[Any] | None:
    values: list[Any] = []
    for column, text in zip(columns, texts, strict=True):
        type_ = column.type
        try:
            match type_.kind:
                case "int" | "bigint":
                    value: Any = int(text)
                    if abs(value) >= 2 ** (31 if type_.kind == "int" else 63):
                        return None
                case "decimal":
                    value = Decimal(text).quantize(Decimal(1).scaleb(-type_.scale), context=EXACT)
                    if len(value.as_tuple().digits) > type_.precision or value != Decimal(text):
                        return None
                case "binary":
                    value = base64.b64decode(text)
                case _:
                    value = text
        except (ValueError, InvalidOperation):
            return None
        values.append(value)
    return values
