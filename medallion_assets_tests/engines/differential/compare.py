"""Both engines' answers to one SELECT, in a form that can be compared and written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc

from medallion_assets.engines.embedded import Embedded
from medallion_assets.engines.query import read_query
from medallion_assets.engines.types import describe
from medallion_assets.errors import MartError
from medallion_assets_tests.engines.differential.corpus import Item
from medallion_assets_tests.engines.differential.edges import COLUMNS, KEYS, TABLE, edge_rows

TODAY = date(2026, 3, 15)
"""What `current_date` is in DuckDB; Trino's SQL has it as a literal."""

REFUSED = "refused"
ERROR = "error"
_FAILURES = (MartError, OverflowError)  # Python, and Trino's client, have no day beyond the year 9999


@dataclass(frozen=True)
class Answer:
    """What an engine said: the type of the value, and the value of each row by its key, as text; "error" is one too.

    One that was refused when it was loaded has the reason as its type and no values.
    """

    type: str
    values: Mapping[str, str]

    @property
    def refused(self) -> bool:
        """Whether a mart may not hold the expression."""
        return self.type.startswith(REFUSED)


def from_duckdb(session: Embedded, item: Item) -> Answer:
    """Return our answer over the edges. If the SELECT fails, each row or group is asked alone."""
    try:
        query = read_query(item.select, {TABLE: COLUMNS}, where=REFUSED, doubles=True, keys=KEYS)
    except MartError as refused:
        return Answer(str(refused).splitlines()[0], {})
    type_ = plain_type(describe(query.columns["v"]))

    def ask() -> list[tuple[Any, Any]]:
        return [(row["k"], row["v"]) for row in session.compute(query, today=TODAY).to_pylist()]

    try:
        return Answer(type_, {as_text(key): as_text(value) for key, value in ask()})
    except _FAILURES:
        pass
    if item.family == "windows":  # a row alone has another window
        return Answer(type_, dict.fromkeys(item.keys, ERROR))
    rows = edge_rows()

    def one(key: str) -> list[tuple[Any, Any]]:
        keys = rows[item.key]
        session.show_rows("silver", TABLE, rows.filter(pc.is_null(keys) if key == "null" else pc.equal(keys, int(key))))
        return ask()

    try:
        return Answer(type_, _each(one, item.keys, _FAILURES))
    finally:
        session.show_rows("silver", TABLE, rows)


def _only(item: Item, sql: str, key: str) -> str:
    condition = f"WHERE {item.key} IS NULL" if key == "null" else f"WHERE {item.key} = {key}"
    return sql.replace("FROM silver.t", f"FROM silver.t {condition}", 1)


def _each(
    ask: Callable[[str], Iterable[tuple[Any, Any]]],
    keys: Sequence[str],
    failure: type[Exception] | tuple[type[Exception], ...],
) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in keys:
        try:
            found |= {as_text(one): as_text(value) for one, value in ask(key)}
        except failure:
            found[key] = ERROR
    return found


def as_text(value: Any) -> str:
    """Return a value in one form for both engines."""
    match value:
        case None:
            return "null"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case bytes():
            return value.hex()
        case list() | tuple():
            return f"[{', '.join(map(as_text, value))}]"
        case Decimal():
            return f"{value:f}"
        case str():
            return ascii(value)
        case float():
            return repr(value + 0.0)
        case _:
            return str(value)


def plain_type(written: str) -> str:
    """Return a type without what a table does not keep: the length of texts, the digits of a second."""
    shortened = re.sub(r"varchar\(\d+\)", "varchar", written.lower().replace(", ", ","))
    return re.sub(r"timestamp\(\d+\) with time zone( in .*)?", "timestamp with time zone", shortened).replace(
        "int,", "integer,"
    )


Run = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]
"""Runs SQL on Trino over silver.t; returns the columns' types and the rows, or raises TrinoError."""

_BATCH = 40
_CONFIRMED = 2
"""Of the rows in which our answer is an error, so many are asked of Trino alone; of the others TRY must give null."""


def from_trino(run: Run, asked: Sequence[tuple[Item, Answer]]) -> list[Answer]:
    """Return Trino's answer to each item, of which our answer is known: most are asked together, in batches."""
    answers: dict[str, Answer] = {}
    rows = [(item, ours) for item, ours in asked if item.family != "aggregates"]
    for at in range(0, len(rows), _BATCH):
        answers |= _together(run, rows[at : at + _BATCH])
    for item, ours in asked:
        if item.sql not in answers:
            answers[item.sql] = _alone(run, item, ours)
    return [answers[item.sql] for item, _ in asked]


def _together(run: Run, asked: Sequence[tuple[Item, Answer]]) -> dict[str, Answer]:
    """Ask several items in one SELECT: each value where ours is one, and TRY of it where ours is an error."""
    selects = []
    for item, ours in asked:
        value, failed = _asked(item, ours), _failed(ours)
        if failed and item.family != "windows":
            among = ", ".join(failed)
            selects.append(f"IF(id NOT IN ({among}), {value}), IF(id IN ({among}), TRY({value}))")
        else:
            selects.append(f"{value}, NULL")
    try:
        types, rows = run(f"SELECT id, {', '.join(selects)} FROM silver.t")
    except TrinoError:
        if len(asked) > 1:
            half = len(asked) // 2
            return {**_together(run, asked[:half]), **_together(run, asked[half:])}
        return {asked[0][0].sql: _alone(run, *asked[0])}
    found = {}
    for at, (item, ours) in enumerate(asked):
        values = {as_text(row[0]): as_text(row[1 + 2 * at]) for row in rows}
        tried = {as_text(row[0]): as_text(row[2 + 2 * at]) for row in rows}
        if item.family != "windows":
            values |= {key: ERROR if tried[key] == "null" else tried[key] for key in _failed(ours)}
            for key in [key for key in _failed(ours) if values[key] == ERROR][:_CONFIRMED]:
                values |= _row_alone(run, item, ours, key)
        found[item.sql] = Answer(plain_type(types[1 + 2 * at]), values)
    return found


def _failed(ours: Answer) -> list[str]:
    return [key for key, value in ours.values.items() if value == ERROR]


def _asked(item: Item, ours: Answer) -> str:
    """Return the expression as Trino is asked: times in UTC, because its client loses the hour that comes twice."""
    return f"({item.sql}) AT TIME ZONE 'UTC'" if ours.type == "timestamp with time zone" else item.sql


def _row_alone(run: Run, item: Item, ours: Answer, key: str) -> dict[str, str]:
    """Return the value of one row or group."""
    select = Item(item.family, _asked(item, ours)).select
    return _each(lambda one: [(row[0], row[1]) for row in run(_only(item, select, one))[1]], [key], TrinoError)


def _alone(run: Run, item: Item, ours: Answer) -> Answer:
    """Ask one item; if it fails, each row or group by itself."""
    select = Item(item.family, _asked(item, ours)).select
    try:
        types, rows = run(select)
        return Answer(plain_type(types[1]), {as_text(row[0]): as_text(row[1]) for row in rows})
    except TrinoError:
        if item.family == "windows":
            return Answer(ERROR, dict.fromkeys(item.keys, ERROR))
    seen: set[str] = set()

    def one(key: str) -> list[tuple[Any, Any]]:
        types, rows = run(_only(item, select, key))
        seen.add(plain_type(types[1]))
        return [(row[0], row[1]) for row in rows]

    values = _each(one, item.keys, TrinoError)
    return Answer(seen.pop() if seen else ERROR, values)


def in_trino(sql: str, catalog: str) -> str:
    """Return a SELECT as it is asked of Trino: in its catalog, on the same day."""
    dated = re.sub(r"\bcurrent_date\b", f"DATE '{TODAY.isoformat()}'", sql, flags=re.IGNORECASE)
    return re.sub(r"\bsilver\.", f"{catalog}.silver.", dated)


class TrinoError(Exception):
    """Trino refused or failed."""


def agree(item: Item, ours: Answer, trinos: Answer) -> bool:
    """Return whether the answers are equal; the type of an answer that is an error in every row is not known.

    An expression of several parts may fail in one engine alone, where the other does not need the part that fails.
    """
    if trinos.type not in {ours.type, ERROR}:
        return False
    if not item.nested:
        return ours.values == trinos.values
    both = [(ours.values.get(key), value) for key, value in trinos.values.items()]
    return ours.values.keys() == trinos.values.keys() and all(a == b or ERROR in {a, b} for a, b in both)
