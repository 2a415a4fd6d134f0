"""The differential suite against a real Trino: `python -m medallion_assets_tests.real_engines.differential`.

Prints what differs and the figures that docs/marts.md gives. `--record` writes Trino's answers for the fast tests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp

from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.engines.embedded import Embedded
from medallion_assets.engines.engine import Input, Limits, TrinoSettings
from medallion_assets.engines.query import read_query
from medallion_assets.engines.trino_client import TrinoEngine
from medallion_assets.engines.types import describe, element_type
from medallion_assets.errors import MartError, MedallionError
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.publish import publish
from medallion_assets.lake.replace import stage_replace
from medallion_assets.local.emulator import REGION
from medallion_assets_tests.engines.differential.compare import (
    ERROR,
    TODAY,
    Answer,
    TrinoError,
    agree,
    as_text,
    from_duckdb,
    from_trino,
    in_trino,
)
from medallion_assets_tests.engines.differential.corpus import Item, corpus
from medallion_assets_tests.engines.differential.edges import COLUMNS, KEYS, TABLE, edge_rows
from medallion_assets_tests.engines.differential.ours import (
    SelectAnswer,
    answer_select,
    show_usual_tables,
    trinos_select,
)
from medallion_assets_tests.engines.differential.recorded import recorded_items, write_recorded
from medallion_assets_tests.engines.differential.usual import USUAL
from medallion_assets_tests.engines.differential.usual_tables import usual_rows
from medallion_assets_tests.real_engines.artifacts import TRINO_SERVER
from medallion_assets_tests.real_engines.trino import Trino, run_trino

_MART_COLUMNS = 40
_KINDS = {
    exp.DType.VARCHAR: "string",
    exp.DType.TEXT: "string",
    exp.DType.BOOLEAN: "bool",
    exp.DType.INT: "int",
    exp.DType.BIGINT: "bigint",
    exp.DType.DOUBLE: "double",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMPTZ: "timestamp",
    exp.DType.VARBINARY: "binary",
}


@dataclass(frozen=True)
class Received:
    """How many expressions are equal as columns of marts by Trino, and those that are not, as text."""

    equal: int
    different: Sequence[str]


class Differential:
    """Both engines over one lake that holds the edges and the usual tables."""

    def __init__(self, trino: Trino, lake: Lake) -> None:
        self._trino = trino
        self._lake = lake
        for name, rows in {TABLE: edge_rows(), **usual_rows()}.items():
            write_table(lake, name, rows)
        self._catalog = trino.add_lake(lake.settings)
        self._engine = TrinoEngine(
            TrinoSettings(
                url=f"http://127.0.0.1:{trino.port}",
                catalog=self._catalog,
                user="medallion",
                limits=Limits(timeout_seconds=300, result_bytes=2**28),
            )
        )

    def ask(self, items: Sequence[Item]) -> list[tuple[Item, Answer, Answer | None]]:
        """Return (expression, our answer, Trino's) of each; Trino is not asked what we refuse."""
        with Embedded(self._lake) as session:
            session.show_rows("silver", TABLE, edge_rows())
            ours = [(item, from_duckdb(session, item)) for item in items]
        asked = [(item, answer) for item, answer in ours if not answer.refused]
        theirs = dict(zip((item for item, _ in asked), from_trino(self._run, asked), strict=True))
        return [(item, answer, theirs.get(item)) for item, answer in ours]

    def received(self, answers: Sequence[tuple[Item, Answer, Answer | None]]) -> Received:
        """Compare what a mart receives from Trino with our own answers, in value and in Arrow's type.

        Several expressions are columns of one mart; if that fails, each is asked alone, and a failure is a difference.
        Rows in which either engine fails are left out.
        """
        asked = [(item, _failing_in_either(ours, theirs)) for item, ours, theirs in answers if theirs is not None]
        asked = [(item, ours) for item, ours in asked if _is_whole(item, ours)]
        found: dict[Item, Answer] = {}
        for groups in (True, False):
            some = [(item, ours) for item, ours in asked if (item.family == "aggregates") is groups]
            for at in range(0, len(some), _MART_COLUMNS):
                found |= self._mart(some[at : at + _MART_COLUMNS])
        different = []
        for item, ours in asked:
            if item not in found:  # no column can hold it
                continue
            query = read_query(item.select, {TABLE: COLUMNS}, where="query.sql", doubles=True, keys=KEYS)
            if not _is_received(ours, found[item], column_type(query.columns["v"])):
                different.append(f"{item.sql}\n  DuckDB: {ours}\n  mart by Trino: {found[item]}")
        return Received(len(found) - len(different), different)

    def _mart(self, asked: Sequence[tuple[Item, Answer]]) -> dict[Item, Answer]:
        selects = []
        for at, (item, ours) in enumerate(asked):
            failed = [key for key, value in ours.values.items() if value == ERROR]
            value = f"IF(id NOT IN ({', '.join(failed)}), {item.sql})" if failed else item.sql
            selects.append(f"{value} AS v{at}")
        key = asked[0][0].key
        sql = f"SELECT {', '.join([f'{key} AS k', *selects])} FROM silver.{TABLE}"
        if asked[0][0].family == "aggregates":
            sql += f" GROUP BY {key}"
        query = read_query(sql, {TABLE: COLUMNS}, where="query.sql", doubles=True, keys=KEYS)
        table = self._lake.table("silver", TABLE)
        inputs = {TABLE: Input(COLUMNS, table, table.metadata.current_snapshot_id)}
        columns = {name: column_type(kind) for name, kind in query.columns.items()}
        known = {name: kind for name, kind in columns.items() if kind is not None}
        if len(known) < len(columns):
            held = [one for at, one in enumerate(asked) if f"v{at}" in known]
            return self._mart(held) if held else {}
        try:
            rows = self._engine.compute(query, inputs, known, today=TODAY)
        except (MedallionError, OverflowError) as failure:
            if len(asked) == 1:
                return {asked[0][0]: Answer(str(failure), {})}
            half = len(asked) // 2
            return {**self._mart(asked[:half]), **self._mart(asked[half:])}
        keys = [as_text(one) for one in rows.column("k").to_pylist()]
        return {
            item: Answer(
                str(rows.schema.field(f"v{at}").type),
                dict(zip(keys, map(as_text, rows.column(f"v{at}").to_pylist()), strict=True)),
            )
            for at, (item, _) in enumerate(asked)
        }

    def selects(self) -> Mapping[str, tuple[SelectAnswer | str, SelectAnswer | str]]:
        """Return both answers to each usual SELECT that is admitted; a failure is its text."""
        found: dict[str, tuple[SelectAnswer | str, SelectAnswer | str]] = {}
        with Embedded(self._lake) as session:
            show_usual_tables(session)
            for usual in USUAL:
                if usual.refused is None:
                    ours = _ours(session, usual.sql)
                    found[usual.sql] = (ours, self._select(usual.sql, {} if isinstance(ours, str) else ours[0]))
        return found

    def value(self, expression: str) -> Any:
        """Return Trino's value of one expression."""
        return self._trino.run(f"SELECT {expression}").rows[0][0]

    def _select(self, sql: str, types: Mapping[str, str]) -> SelectAnswer | str:
        # Times in UTC, because Trino's client loses the hour that comes twice.
        times = [name for name, kind in types.items() if kind == "timestamp with time zone"]
        if times:
            columns = (f"{name} AT TIME ZONE 'UTC' AS {name}" if name in times else name for name in types)
            sql = f"SELECT {', '.join(columns)} FROM ({sql}) AS answer"
        try:
            answer = self._trino.run(in_trino(sql, self._catalog))
        except Exception as failure:  # noqa: BLE001 - the client's errors, and Python's for a value that it has none for
            return str(failure)
        return trinos_select(answer.columns, answer.rows)

    def _run(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        try:
            types, rows = self._trino.run_columns(in_trino(sql, self._catalog))
        except Exception as failure:
            raise TrinoError(str(failure)) from failure
        return types, rows


def _is_whole(item: Item, ours: Answer) -> bool:
    """Return whether the rows that fail can be left out: of a group or a window they cannot."""
    return ERROR not in ours.values.values() or item.family not in {"aggregates", "windows"}


def column_type(kind: exp.DataType) -> ColumnType | None:
    """Return the type that mart.yaml declares for a column of Trino's type; None if no column can hold it."""
    text = _column_text(kind)
    return parse_type(text) if text is not None else None


def _column_text(kind: exp.DataType) -> str | None:
    if kind.this is exp.DType.ARRAY:
        element = _column_text(element_type(kind))
        return f"list<{element}>" if element is not None else None
    if kind.this is exp.DType.DECIMAL:
        return describe(kind).replace(" ", "")
    return _KINDS.get(kind.this)


def _failing_in_either(ours: Answer, theirs: Answer) -> Answer:
    """Return our answer, with an error in each row in which either engine fails."""
    failed = {key: ERROR for key, value in theirs.values.items() if value == ERROR}
    return Answer(ours.type, {**ours.values, **failed})


def _is_received(ours: Answer, theirs: Answer, kind: ColumnType | None) -> bool:
    """Return whether a mart received the declared type and our values; rows that fail were left out."""
    declared = str(kind.arrow()) if kind is not None else None
    values = {key: "null" if value == ERROR else value for key, value in ours.values.items()}
    return theirs.type == declared and theirs.values == values


def _ours(session: Embedded, sql: str) -> SelectAnswer | str:
    try:
        return answer_select(session, sql)
    except MartError as refused:
        return str(refused)


def write_table(lake: Lake, name: str, rows: pa.Table) -> None:
    """Write a Silver table with these rows."""
    table = lake.ensure("silver", name, rows.schema)
    publish(lake, table, stage_replace(lake, table, rows))


def figures(answers: Sequence[tuple[Item, Answer, Answer | None]]) -> Counter[str]:
    """Return how many expressions are equal, an error in both engines for some row, refused, and different."""
    found: Counter[str] = Counter()
    for item, ours, theirs in answers:
        if theirs is None:
            found["refused"] += 1
        elif not agree(item, ours, theirs):
            found["different"] += 1
        elif ours.values != theirs.values:
            found["equal, but for errors in one engine only"] += 1
        elif ERROR in ours.values.values():
            found["equal, with errors in both"] += 1
        else:
            found["equal"] += 1
    return found


def main() -> None:
    """Run the suite as a command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nested", type=int, default=1000, help="how many expressions of expressions are asked")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--record", action="store_true", help="write Trino's answers for the fast tests")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_trino(Path(folder) / "trino") as trino:
        settings = LakeSettings(warehouse=f"{folder}/lake", catalog="sqlite", region=REGION)
        with Lake.open(settings) as lake:
            suite = Differential(trino, lake)
            answers = suite.ask(corpus(asked.nested, seed=asked.seed))
            received = suite.received(answers)
            selects = suite.selects()
    for item, ours, theirs in answers:
        if theirs is not None and not agree(item, ours, theirs):
            sys.stdout.write(f"{item.sql}\n  DuckDB: {ours}\n  Trino:  {theirs}\n")
    sys.stdout.write("".join(f"{one}\n" for one in received.different))
    for sql, (mine, trinos) in selects.items():
        if mine != trinos:
            sys.stdout.write(f"{sql}\n  DuckDB: {mine}\n  Trino:  {trinos}\n")
    sys.stdout.write(f"Trino {TRINO_SERVER.version}, {len(answers)} expressions: {dict(figures(answers))}\n")
    sys.stdout.write(
        f"as columns of marts computed by Trino: {received.equal} equal, {len(received.different)} different\n"
    )
    same = sum(mine == trinos for mine, trinos in selects.values())
    sys.stdout.write(f"{len(USUAL)} usual SELECTs: {len(selects)} admitted, {same} of them equal\n")
    if asked.record:
        wanted = set(recorded_items())
        write_recorded(
            TRINO_SERVER.version,
            [(item, theirs) for item, _, theirs in answers if item in wanted and theirs is not None],
            {sql: trinos for sql, (_, trinos) in selects.items() if not isinstance(trinos, str)},
        )


if __name__ == "__main__":
    main()
