"""Read a dropped file in batches: its rows as items, and the rows that are none.

Belongs here: the formats, and what makes a file or a row unreadable. Does not belong here: how a value becomes an
AttributeValue (item), whether an item fits the contract (check).

The memory is that of a batch, whatever the size of the file. A name says the format: `.csv`, `.json`, `.jsonl`,
`.ndjson` or `.parquet`, each but Parquet also with `.gz`. JSON has one value a line. If the first is `{"Item": {…}}`,
as in an export of DynamoDB, all are items in DynamoDB JSON; else all are plain objects.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.fault import Fault, UnreadableFile
from medallion_assets.dropped.item import Item, cell_reader, is_item, parse_json, to_item, whole_columns

ENDINGS: Final = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")

_BATCH_ROWS: Final = 5_000
_BATCH_BYTES: Final = 8 * 1024 * 1024
# pyarrow reads some ten blocks ahead; a row must be within one.
_CSV_BLOCK_BYTES: Final = 2 * 1024 * 1024
# An item has at most 400 KB; its text in a file may be longer.
_MAX_LINE_BYTES: Final = 4 * 1024 * 1024
# Rows of a CSV file with another number of cells, between two that can be read; after them the file is given up.
_MAX_SKIPPED: Final = 10_000
_JSON_OBJECT: Final = "a JSON object in one line"
_EXPORTED: Final = '{"Item": {…}} in DynamoDB JSON'


@dataclass(frozen=True)
class Batch:
    """Some rows of a file, each with its number from 1, and the faults of rows that cannot be read."""

    items: list[tuple[int, Item]]
    faults: list[Fault]


def read(path: Path, name: str, contract: Contract) -> Iterator[Batch]:
    """Yield the rows of the file at `path`, whose `name` says its format.

    A column of CSV or of Parquet that the contract drops is not read. Raises UnreadableFile where it cannot go on.
    """
    lowered = name.lower()
    reader = next((_READERS[end.removesuffix(".gz")] for end in ENDINGS if lowered.endswith(end)), None)
    if reader is None:
        raise UnreadableFile(f"the name has none of the endings {', '.join(ENDINGS)}")
    if not path.stat().st_size:
        raise UnreadableFile("the file has 0 bytes")
    try:
        yield from reader(path, lowered.endswith(".gz"), contract)
    except (pa.ArrowException, EOFError, OSError, zlib.error) as broken:
        raise UnreadableFile(f"the file cannot be read ({type(broken).__name__}): {_reason(broken)}") from broken


def _read_csv(path: Path, zipped: bool, contract: Contract) -> Iterator[Batch]:
    columns = whole_columns(contract)
    compression = "gzip" if zipped else None
    with pa.input_stream(str(path), compression=compression) as stream:
        header = _csv_header(stream)
    wanted = _wanted(header, contract)
    skipped: list[tuple[int, int]] = []

    def skip(row: pc.InvalidRow) -> str:
        if len(skipped) >= _MAX_SKIPPED:
            return "error"
        skipped.append((row.number - 1, row.actual_columns))
        return "skip"

    readers = {name: cell_reader(columns[name]) for name in wanted}
    number = 0
    with (
        pa.input_stream(str(path), compression=compression) as stream,
        closing(
            pc.open_csv(
                stream,
                read_options=pc.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
                parse_options=pc.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
                convert_options=pc.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()),
                    include_columns=wanted,
                    strings_can_be_null=True,
                    null_values=[""],
                    quoted_strings_can_be_null=False,
                ),
            )
        ) as batches,
    ):
        for block in batches:
            for start in range(0, block.num_rows, _BATCH_ROWS):
                some = block.slice(start, _BATCH_ROWS)
                left_out = {row for row, _ in skipped}
                items = []
                for row in some.to_pylist():
                    number += 1
                    while number in left_out:
                        number += 1
                    items.append((number, _csv_item(row, readers)))
                yield Batch(items, _taken(skipped, number, len(header)))
    yield Batch([], _taken(skipped, None, len(header)))


def _taken(skipped: list[tuple[int, int]], through: int | None, expected: int) -> list[Fault]:
    """Take the skipped rows up to a row, None: all, and return their faults."""
    done = [one for one in skipped if through is None or one[0] <= through]
    skipped[:] = [one for one in skipped if one not in done]
    return [Fault(row, None, f"{found} cells; the header has {expected}") for row, found in done]


def _csv_header(stream: Any) -> list[str]:
    options = pc.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES)
    parse = pc.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda row: "skip")
    with closing(pc.open_csv(stream, read_options=options, parse_options=parse)) as batches:
        return list(batches.schema.names)


def _csv_item(row: dict[str, str | None], readers: dict[str, Callable[[str], Any]]) -> Item:
    return {
        name: found for name, cell in row.items() if cell is not None and (found := readers[name](cell)) is not None
    }


def _wanted(names: list[str], contract: Contract) -> list[str]:
    """Return the columns to read. Raises UnreadableFile for names that the contract does not know, and for doubles."""
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UnreadableFile(f"columns that stand twice: {', '.join(doubled)}")
    if unknown := [name for name in names if name not in contract.attributes and name not in contract.dropped]:
        shown = ", ".join(repr(name)[:80] for name in unknown[:10])
        raise UnreadableFile(
            f"columns that the contract does not have: {shown}; expected {', '.join(contract.attributes)}"
        )
    if missing := [column.attribute for column in contract.key_columns if column.attribute not in names]:
        raise UnreadableFile(f"no column {', '.join(missing)}, which is of the key")
    return [name for name in names if name in contract.attributes]


def _read_json(path: Path, zipped: bool, contract: Contract) -> Iterator[Batch]:
    columns = whole_columns(contract)
    with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
        lines = _lines(stream)
        first = next(lines, None)
        if first is None:
            return
        exported = _exported(first[1]) is not None
        to_row = _exported if exported else lambda line: _plain(line, columns)
        expected = _EXPORTED if exported else _JSON_OBJECT
        for some in _batches(chain([first], lines)):
            items, faults = [], []
            for number, line in some:
                item = to_row(line)
                if item is None:
                    faults.append(Fault(number, None, f"expected {expected}"))
                else:
                    items.append((number, item))
            yield Batch(items, faults)


def _lines(stream: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_MAX_LINE_BYTES):
        number += 1
        if len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise UnreadableFile(f"a line of more than {_MAX_LINE_BYTES} bytes; expected {_JSON_OBJECT}", row=number)
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield number, line


def _batches(lines: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    some: list[tuple[int, bytes]] = []
    size = 0
    for number, line in lines:
        some.append((number, line))
        size += len(line)
        if len(some) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _exported(line: bytes) -> Item | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or set(found) != {"Item"} or not is_item(found["Item"]):
        return None
    item: Item = found["Item"]
    return item


def _plain(line: bytes, columns: Any) -> Item | None:
    try:
        found = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return to_item(found, columns) if isinstance(found, dict) else None


def _read_parquet(path: Path, zipped: bool, contract: Contract) -> Iterator[Batch]:
    columns = whole_columns(contract)
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        wanted = _wanted(list(schema.names), contract)
        for name in wanted:
            column = columns[name]
            if column is not None and pa.types.is_floating(schema.field(name).type) and column.type.kind != "double":
                raise UnreadableFile(f"column {name} has floats, and the contract says {column.type}; write it exactly")
        number = 0
        for block in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted, use_threads=False):
            rows = _to_microseconds(block).to_pylist()
            yield Batch([(number + at, to_item(row, columns)) for at, row in enumerate(rows, start=1)], [])
            number += len(rows)


def _to_microseconds(block: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose nanoseconds are microseconds. Raises ArrowInvalid if that would lose digits."""
    for at, field in enumerate(block.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            block = block.set_column(at, field.name, block.column(at).cast(pa.timestamp("us", field.type.tz)))
    return block


def _reason(broken: BaseException) -> str:
    """Return what a library says, without the text of a row that it quotes."""
    line = (str(broken).splitlines() or ["no reason given"])[0]
    return re.sub(r"(got \d+ ?\w*):.*", r"\1", line)[:200]


_READERS: Final[dict[str, Callable[[Path, bool, Contract], Iterator[Batch]]]] = {
    ".csv": _read_csv,
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), _read_json),
    ".parquet": _read_parquet,
}
