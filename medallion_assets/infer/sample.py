"""Some items of a table, in DynamoDB JSON: of the table itself, of an export's files, or of a file of JSON lines.

Belongs here: where the items come from. Does not belong here: what is seen in them (seen).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from medallion_assets.contracts.model import Key
from medallion_assets.errors import SettingsError
from medallion_assets.infer.names import lake_name
from medallion_assets.reconciliation.scan import DynamoTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Mapping[str, Any]]
"""An item in DynamoDB JSON: attribute -> {tag: value}, binary as base64."""

_TAGS: Final = {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"}
_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")


@dataclass(frozen=True)
class Sample:
    """Items of one table, not yet read.

    - key: its primary key; key_tags: the type tags of the key's attributes, where the source says them
    - items: the items; reading them reads the source
    - size: how many items the source says that it has, None if it does not say
    - warnings: what the user has to know, such as what keeps capture from working with the table, and what to do
    - name: the table's name in the lake; made of its own if None
    - where: of an entity of a single-table design, the patterns of its items by attribute
    - part_of: of an entity, how many items of all entities were read
    """

    table: str
    key: Key
    key_tags: Mapping[str, str]
    items: Iterator[Item]
    size: int | None
    warnings: tuple[str, ...] = ()
    name: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    part_of: int | None = None

    @property
    def lake_name(self) -> str:
        """The name in the lake."""
        return self.name or lake_name(self.table)

    @property
    def title(self) -> str:
        """What it is called in a comment."""
        return f"{self.table} ({self.lake_name})" if self.where else self.table


def sample_table(
    client: DynamoDBClient, table: str, *, name: str | None = None, items: int, read_capacity: float | None
) -> Sample:
    """Return a sample of a DynamoDB table of at most `items` items, read in four segments at once.

    `name` is its name in the lake; `read_capacity` a limit in units a second. Raises SettingsError if there is no such
    table, and botocore's errors.
    """
    try:
        described = client.describe_table(TableName=table)["Table"]
    except client.exceptions.ResourceNotFoundException as missing:
        raise SettingsError(
            f"{table}: DynamoDB has no such table in region {client.meta.region_name}. Correct the name, or choose "
            "another AWS_PROFILE or AWS_REGION."
        ) from missing
    names = {one["KeyType"]: one["AttributeName"] for one in described["KeySchema"]}
    source = DynamoTable(client, table, read_capacity=read_capacity)
    return Sample(
        table=table,
        name=name,
        key=Key(hash=names["HASH"], range=names.get("RANGE")),
        key_tags={one["AttributeName"]: one["AttributeType"] for one in described["AttributeDefinitions"]},
        items=islice(_of_pages(source.scan()), items),
        size=described.get("ItemCount"),
        warnings=_stream_warnings(table, described.get("StreamSpecification", {})),
    )


def sample_file(path: Path, table: str, key: Key, *, items: int) -> Sample:
    """Return a sample of a file, or of all files below a folder: an export of DynamoDB, or JSON lines.

    A line is an item in DynamoDB JSON, also as an export's `{"Item": ...}`, or a plain JSON object. Files that end with
    `.gz` are unpacked. Raises SettingsError if there is no such file, or for a line that is no object of JSON.
    """
    files = sorted(one for one in path.rglob("*") if one.name.endswith(_ENDINGS)) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise SettingsError(f"{path}: no file of JSON lines there; expected one that ends with {', '.join(_ENDINGS)}")
    return Sample(table, key, {}, islice(_of_files(files), items), size=None)


def _of_pages(pages: Iterable[bytes]) -> Iterator[Item]:
    for page in pages:
        yield from orjson.loads(page)["Items"]


def _of_files(files: Iterable[Path]) -> Iterator[Item]:
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _item(line, f"{file}, line {number}")


def _item(line: str, place: str) -> Item:
    try:
        found = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as wrong:
        raise SettingsError(f"{place}: no JSON: {wrong}; expected one object on each line") from wrong
    if isinstance(found, dict) and isinstance(found.get("Item"), dict) and _is_tagged(found["Item"]):
        found = found["Item"]
    if not isinstance(found, dict) or not found:
        raise SettingsError(f"{place}: expected one object on each line, with the item's attributes")
    return found if _is_tagged(found) else {name: _tagged(value) for name, value in found.items()}


def _is_tagged(item: Mapping[str, Any]) -> bool:
    return bool(item) and all(isinstance(one, dict) and len(one) == 1 and _TAGS & one.keys() for one in item.values())


def _tagged(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": f"{value:f}"}
        case str():
            return {"S": value}
        case list():
            return {"L": [_tagged(one) for one in value]}
        case _:
            return {"M": {name: _tagged(one) for name, one in value.items()}}


def _stream_warnings(table: str, specification: Mapping[str, Any]) -> tuple[str, ...]:
    view = specification.get("StreamViewType") if specification.get("StreamEnabled") else None
    if view == "NEW_AND_OLD_IMAGES":
        return ()
    seen = f"its stream has {view}" if view else "it has no stream"
    return (f"{table}: {seen}; capture needs new and old images. `medallion connect --check` says what to do.",)
