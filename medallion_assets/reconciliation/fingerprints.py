"""Fingerprints of rows, on both sides: one hash of the key and one of all columns; and the keys that differ.

Belongs here: the hashes of a source's pages and of a Silver snapshot, in bounded memory, and finding the keys whose
hashes differ. Does not belong here: the text of one value (canonical), what a difference means (reconcile).

Hashes are Parquet files in a folder that the caller names, 16 bytes a row. Keys are divided into buckets, and the
hashes of each bucket are added up, so that the order of rows does not matter. Only buckets whose sums differ are
compared row by row. A sum hides a difference with a probability of 2^-64.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import orjson
import pyarrow as pa

from medallion_assets.contracts.model import Column, Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import apart_by_case, identifier, literal, sql_types
from medallion_assets.reconciliation.canonical import (
    ODD,
    as_data,
    as_stored,
    extra_text,
    in_sql,
    lake_sql,
    lake_text,
    typed_sql,
)
from medallion_assets.reconciliation.canonical_format import shape, source_sql, source_text
from medallion_assets.reconciliation.expected import expects_row
from medallion_assets.reconciliation.reference_decoder import comparable, extra_of
from medallion_assets.silver.decode import bronze_version_sql
from medallion_assets.silver.table import DROPPED, EXTRA, IS_DELETION, OPEN, QUARANTINE

BUCKETS: Final = 4096

_BATCH_BYTES: Final = 8 * 1024 * 1024
_CONCURRENCY: Final = 2
_BATCH_ROWS: Final = 50_000
_ITEMS: Final = """SELECT unnest(from_json(body, '{"Items": ["JSON"]}').Items) AS _item FROM pages"""


@dataclass(frozen=True)
class Fingerprints:
    """The Parquet files of a folder, one row for each row: `_key_hash`, `_row_hash`, and further columns."""

    folder: Path
    rows: int

    @property
    def sql(self) -> str:
        """Return a DuckDB table expression of the rows."""
        return f"read_parquet({literal(str(self.folder / '*.parquet'))}, union_by_name = true)"

    def add(self, lake: Lake, sql: str) -> Fingerprints:
        """Return the same with the rows of a SELECT in one more file."""
        with lake.duckdb() as connection:
            added = _copy(connection, sql, self.folder / f"{len(list(self.folder.iterdir())):06d}.parquet")
        return Fingerprints(self.folder, self.rows + added)


def of_source(
    lake: Lake,
    contract: Contract,
    pages: Iterable[bytes],
    folder: Path,
    *,
    typed: Sequence[str] = (),
    items: bool = False,
    only: Fingerprints | None = None,
) -> Fingerprints:
    """Return fingerprints of the items in the pages (documents `{"Items": [...]}`), the key as text in `_key_0`, ...

    Items that should have no row in Silver are left out. The columns `typed` are added as the lake would store them,
    null for a value that does not fit. With `items`, the item itself is added as `_item`, in DynamoDB JSON; then the
    others are there, too, and have no `_row_hash`. `only` limits the keys to its own. Raises what `pages` raises.
    """
    folder.mkdir()
    expected = expects_row(contract, "_item")
    sought = _ITEMS if items else f"FROM ({_ITEMS}) WHERE {expected}"
    reading = _SourceRows(
        contract, typed=typed, carried=["_item"] if items else [], only=only, hashed=expected if items else "TRUE"
    )
    rows = 0

    def write(number: int, batch: list[bytes]) -> int:
        bodies = pa.array([page.decode() for page in batch], pa.string())
        with lake.duckdb() as connection:
            connection.register("pages", pa.table({"body": bodies}))
            return reading.write(connection, sought, folder / f"{number:06d}.parquet")

    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        waiting: deque[Future[int]] = deque()
        for number, batch in enumerate(_batches(pages)):
            waiting.append(pool.submit(write, number, batch))
            if len(waiting) > _CONCURRENCY:
                rows += waiting.popleft().result()
        rows += sum(one.result() for one in waiting)
    return Fingerprints(folder, rows)


def of_silver(lake: Lake, contract: Contract, scan: str, folder: Path) -> Fingerprints:
    """Return fingerprints of the rows of a Silver table; `scan` is SQL of its rows."""
    folder.mkdir()
    return Fingerprints(folder, _SilverRows(contract, all_columns=False).write(lake, scan, folder))


def of_silver_keys(
    lake: Lake, contract: Contract, scan: str, folder: Path, *, only: Sequence[Fingerprints]
) -> Fingerprints:
    """Return the rows of the keys in `only`, with all columns and `_key_0`, ...

    `scan` is SQL of Silver's rows and of deleted keys, which have IS_DELETION and get no `_row_hash`.
    """
    folder.mkdir()
    keys = silver_key_hash(contract)
    wanted = " UNION ".join(f"SELECT _key_hash FROM {some.sql}" for some in only)
    rows = _SilverRows(contract, all_columns=True)
    return Fingerprints(folder, rows.write(lake, f"(FROM {scan} WHERE {keys} IN ({wanted}))", folder))


def silver_key_hash(contract: Contract) -> str:
    """Return SQL of `_key_hash` of a row of the Silver table."""
    return _hash(lake_sql(column.type, identifier(column.name)) for column in contract.key_columns)


def select(lake: Lake, sql: str, folder: Path) -> Fingerprints:
    """Return the rows of a SELECT that has a `_key_hash`."""
    folder.mkdir()
    return Fingerprints(folder, 0).add(lake, sql)


def of_quarantined(lake: Lake, contract: Contract, folder: Path) -> Fingerprints:
    """Return the keys in quarantine, with `_version` of each change that is open or dropped."""
    folder.mkdir()
    table = lake.table(QUARANTINE, contract.lake_name)
    changes = f"""
        SELECT keys AS _item, {bronze_version_sql()} AS _version FROM {lake.scan_sql(table, None)}
        WHERE status IN ('{OPEN}', '{DROPPED}')"""
    reading = _SourceRows(contract, carried=["_version"])
    with lake.duckdb() as connection:
        return Fingerprints(folder, reading.write(connection, changes, folder / "keys.parquet"))


def of_keys(lake: Lake, contract: Contract, keys: pa.Table, path: Path) -> None:
    """Write `_key_hash` and `_row` of keys to a Parquet file; `keys` has them in DynamoDB JSON, and `_row`."""
    with lake.duckdb() as connection:
        connection.register("sought_keys", keys)
        _SourceRows(contract, carried=["_row"]).write(connection, "SELECT keys AS _item, _row FROM sought_keys", path)


def of_changes(
    lake: Lake, contract: Contract, changes: Iterable[pa.Table], folder: Path, *, only: Fingerprints
) -> Fingerprints:
    """Return the changes of the keys in `only`, with `_version` as in Silver.

    `changes` are tables of Bronze rows, at least one.
    """
    folder.mkdir()
    reading = _SourceRows(contract, carried=["_version"], only=only)
    rows = 0
    with lake.duckdb() as connection:
        for number, some in enumerate(changes):
            connection.register("changes", some.select(["keys", "stream_arn", "sequence_number"]))
            items = f"SELECT keys AS _item, {bronze_version_sql()} AS _version FROM changes"
            rows += reading.write(connection, items, folder / f"{number:06d}.parquet")
    return Fingerprints(folder, rows)


class Differing(NamedTuple):
    """What differs between source and Silver, as `_key_hash` only.

    `keys`: those whose hashes differ. `repeated`: those of several rows in Silver, whether or not their hashes differ.
    `buckets`: how many buckets of keys differ.
    """

    keys: Fingerprints
    repeated: Fingerprints
    buckets: int


def differing(lake: Lake, source: Fingerprints, silver: Fingerprints, folder: Path) -> Differing:
    """Compare the fingerprints of both sides. Files go to `folder`, which is created."""
    with lake.duckdb() as connection:
        found = connection.execute(f"""
            SELECT bucket FROM ({_sums(source)}) s FULL JOIN ({_sums(silver)}) l USING (bucket)
            WHERE (s.total, s.rows) IS DISTINCT FROM (l.total, l.rows)""").fetchall()
    buckets = ", ".join(str(bucket) for (bucket,) in found) or "NULL"
    here, there = (
        f"(SELECT _key_hash, _row_hash FROM {side.sql} WHERE _key_hash % {BUCKETS} IN ({buckets}))"
        for side in (source, silver)
    )
    unlike = f"""
        SELECT _key_hash FROM {here} ANTI JOIN {there} USING (_key_hash, _row_hash)
        UNION SELECT _key_hash FROM {there} ANTI JOIN {here} USING (_key_hash, _row_hash)"""
    repeated = f"SELECT _key_hash FROM {there} GROUP BY _key_hash HAVING count(*) > 1"
    folder.mkdir()
    return Differing(
        select(lake, unlike, folder / "keys"), select(lake, repeated, folder / "repeated"), buckets=len(found)
    )


class _SourceRows:
    """Writes the hashes of items: made by SQL, or by Python for items with odd values."""

    def __init__(
        self,
        contract: Contract,
        *,
        typed: Sequence[str] = (),
        carried: Sequence[str] = (),
        only: Fingerprints | None = None,
        hashed: str = "TRUE",
    ) -> None:
        """`hashed` is SQL of whether a row of the columns `carried` gets its `_row_hash`."""
        self._contract = contract
        self._hashed = hashed
        self._columns = list(contract.columns.values())
        self._typed = [(at, column) for at, column in enumerate(self._columns) if column.name in typed]
        self._carried = carried
        self._only = f" WHERE _key_hash IN (SELECT _key_hash FROM {only.sql})" if only else ""

    def write(self, connection: duckdb.DuckDBPyConnection, items: str, path: Path) -> int:
        """Write the hashes of the `_item`s of a SELECT. Return how many were written."""
        types = sql_types(connection, pa.schema([(column.name, column.type.arrow()) for column in self._columns]))
        connection.execute(f"CREATE OR REPLACE TEMP TABLE texts AS {_source_texts_sql(self._contract, items)}")
        odd = connection.execute("FROM texts WHERE _odd").to_arrow_table()
        select = f"SELECT {self._outputs(types)} FROM texts WHERE NOT _odd"
        if odd.num_rows:
            connection.register("done", self._done(odd))
            select += f" UNION ALL SELECT {self._outputs(types, done=True)} FROM done"
        return _copy(connection, f"FROM ({select}){self._only}", path)

    def _outputs(self, types: Mapping[str, str], *, done: bool = False) -> str:
        """Return SQL of the columns to write."""
        key, row, *texts = _hashes(self._contract)
        outputs = [key, f"CASE WHEN {self._hashed} THEN {row.removesuffix(' AS _row_hash')} END AS _row_hash", *texts]
        for at, column in self._typed:
            if _needs_python(column):
                made = f"_value_{at}" if done else f"NULL::{types[column.name]}"
            else:
                made = typed_sql(column.type, f"_text_{at}")
            outputs.append(f"{made} AS {identifier(column.name)}")
        return ", ".join([*outputs, *self._carried])

    def _done(self, odd: pa.Table) -> pa.Table:
        """Return the odd rows with all their texts, and the values of typed columns that SQL cannot make."""
        made: dict[str, pa.Array] = {name: odd[name] for name in self._carried}
        for at, column in enumerate(self._columns):
            texts = odd[f"_text_{at}"].to_pylist()
            values: list[Any] = [None] * len(texts)
            for row, text in enumerate(texts):
                if text is not None and text.startswith(ODD):
                    texts[row], values[row] = source_text(column, text[len(ODD) :])
            made[f"_text_{at}"] = pa.array(texts, pa.string())
            made[f"_value_{at}"] = pa.array([as_stored(column.type, one) for one in values], column.type.arrow())
        extras = [
            None if raw is None else extra_text(extra_of(self._contract, orjson.loads(raw[len(ODD) :])))
            for raw in odd["_extra_text"].to_pylist()
        ]
        return pa.table({**made, "_extra_text": pa.array(extras, pa.string())})


class _SilverRows:
    """Writes the hashes of Silver rows: made by SQL, or by Python for rows with nested values or an `_extra`."""

    def __init__(self, contract: Contract, *, all_columns: bool) -> None:
        self._contract = contract
        self._columns = list(contract.columns.values())
        self._nested = {at: column for at, column in enumerate(self._columns) if _needs_python(column)}
        self._all_columns = all_columns

    def write(self, lake: Lake, scan: str, folder: Path) -> int:
        """Write the hashes of the rows of `scan`. Return how many there are."""
        in_python = " OR ".join(
            f"{identifier(name)} IS NOT NULL" for name in [EXTRA, *(column.name for column in self._nested.values())]
        )
        texts = f"SELECT *, {', '.join(self._texts())}, NULL::VARCHAR AS _extra_text FROM {scan}"
        with lake.duckdb() as reading, lake.duckdb() as connection:
            rows = _copy(
                connection, f"SELECT {self._outputs()} FROM ({texts} WHERE NOT ({in_python}))", folder / "sql.parquet"
            )
            batches = reading.execute(f"{texts} WHERE {in_python}").to_arrow_reader(_BATCH_ROWS)
            for number, batch in enumerate(batches):
                connection.register("done", self._done(pa.Table.from_batches([batch])))
                rows += _copy(connection, f"SELECT {self._outputs()} FROM done", folder / f"{number:06d}.parquet")
        return rows

    def _texts(self) -> list[str]:
        return [
            f"{'NULL::VARCHAR' if at in self._nested else lake_sql(column.type, identifier(column.name))} AS _text_{at}"
            for at, column in enumerate(self._columns)
        ]

    def _outputs(self) -> str:
        """Return SQL of the columns to write."""
        key, row, *texts = _hashes(self._contract)
        if not self._all_columns:
            return f"{key}, {row}"
        made = [f"_text_{at}" for at in range(len(self._columns))]
        row = f"CASE WHEN NOT {IS_DELETION} THEN {row.removesuffix(' AS _row_hash')} END AS _row_hash"
        return ", ".join([f"* EXCLUDE ({', '.join([*made, '_extra_text'])})", key, row, *texts])

    def _done(self, rows: pa.Table) -> pa.Table:
        for at, column in self._nested.items():
            texts = [lake_text(column.type, as_data(column.type, one)) for one in rows[column.name].to_pylist()]
            rows = _replaced(rows, f"_text_{at}", texts)
        extras = [
            None if text is None else extra_text({name: comparable(one) for name, one in orjson.loads(text).items()})
            for text in rows[EXTRA].to_pylist()
        ]
        return _replaced(rows, "_extra_text", extras)


def _source_texts_sql(contract: Contract, items: str) -> str:
    """Return a SELECT of `_item` with `_text_0`, ... of the contract's columns, `_extra_text` and `_odd`."""
    columns = list(contract.columns.values())
    shapes = {attribute: _shape(some) for attribute, some in contract.attributes.items()}
    shapes |= {attribute: {"NULL": "BOOLEAN"} for attribute in contract.dropped}
    images = {f"image_{at}": group for at, group in enumerate(apart_by_case(shapes))}
    transformed = ", ".join(
        f"json_transform(_item, {literal(json.dumps({name: shapes[name] for name in group}))}) AS {image}"
        for image, group in images.items()
    )
    tagged = {
        attribute: f"struct_extract_at({image}, {at})"
        for image, group in images.items()
        for at, attribute in enumerate(group, start=1)
    }
    texts = [
        f"{source_sql(column, tagged[column.attribute], _raw(column.attribute))} AS _text_{at}"
        for at, column in enumerate(columns)
    ]
    # A struct may have attributes that its type does not declare: only Python finds out, so it gets the item.
    present = " + ".join(f"({one} IS NOT NULL)::INTEGER" for one in tagged.values())
    more = [f"len(json_keys(_item)) > {present}"]
    more += [f"{tagged[column.attribute]} IS NOT NULL" for column in columns if "struct" in str(column.type)]
    odd = [f"coalesce(starts_with(_text_{at}, chr(1)), FALSE)" for at in range(len(columns))]
    return f"""
        SELECT *, {" OR ".join(odd)} OR _extra_text IS NOT NULL AS _odd FROM (
            SELECT * EXCLUDE ({", ".join(images)}), {", ".join(texts)},
                CASE WHEN {" OR ".join(more)} THEN chr(1) || _item END AS _extra_text
            FROM (SELECT *, {transformed} FROM ({items})))"""


def _shape(columns: Sequence[Column]) -> object:
    """Return the structure with which an attribute is read for all columns that come from it."""
    of_each = [shape(column) for column in columns]
    if len(of_each) == 1:
        return of_each[0]
    return {tag: kind for one in of_each if isinstance(one, dict) for tag, kind in one.items()}


def _raw(attribute: str) -> str:
    return f"""json_transform(_item, '"MAP(VARCHAR, JSON)"')[{literal(attribute)}]::VARCHAR"""


def _hashes(contract: Contract) -> list[str]:
    """Return SQL of `_key_hash`, `_row_hash` and `_key_0`, ..., from the texts."""
    at = {column.name: f"_text_{number}" for number, column in enumerate(contract.columns.values())}
    keys = [at[column.name] for column in contract.key_columns]
    row = _hash([*at.values(), "_extra_text"])
    return [
        f"{_hash(keys)} AS _key_hash",
        f"{row} AS _row_hash",
        *(f"{text} AS _key_{number}" for number, text in enumerate(keys)),
    ]


def _hash(texts: Iterable[str]) -> str:
    """Return SQL of a 64-bit hash of texts.

    It is hashed twice: DuckDB combines the hashes of several values with XOR, and sums of those collide too easily.
    """
    return f"hash(hash({', '.join(texts)}))"


def _sums(side: Fingerprints) -> str:
    return (
        f"SELECT _key_hash % {BUCKETS} AS bucket, sum(_row_hash) AS total, count(*) AS rows FROM {side.sql} GROUP BY 1"
    )


def _copy(connection: duckdb.DuckDBPyConnection, select: str, path: Path) -> int:
    """Write the rows of a query to a Parquet file. Return how many there are."""
    ((rows,),) = connection.execute(f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet)").fetchall()
    return int(rows)


def _needs_python(column: Column) -> bool:
    return not in_sql(column.type) and column.type.kind != "json"


def _replaced(rows: pa.Table, name: str, texts: list[str | None]) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), name, pa.array(texts, pa.string()))


def _batches(pages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the pages in batches of bounded size; at least one batch, so that there is a file."""
    batch: list[bytes] = []
    size = written = 0
    for page in pages:
        batch.append(page)
        size += len(page)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size, written = [], 0, written + 1
    if batch or not written:
        yield batch
