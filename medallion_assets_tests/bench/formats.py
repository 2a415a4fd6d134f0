"""Records a CPU second of decoding values that are written otherwise, beside the same values in DynamoDB's own types.

Both sides have the same rows and columns and alternate in one process; each figure is the best of its turns.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion_assets.capture.envelope import envelope, to_parquet
from medallion_assets.contracts.model import Contract
from medallion_assets.lake import duck
from medallion_assets.silver.decode import decode

ROWS, TURNS = 100_000, 5
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_PART = "ORDER#{order}#{line}"
USUAL: Mapping[str, Any] = {
    "price": "bigint",
    "weight": "decimal(12,2)",
    "active": "bool",
    "at": "timestamp",
    "local": "timestamp",
    "day": "date",
    "order": "string",
    "line": "bigint",
}
OTHERWISE: Mapping[str, Any] = {
    "price": {"type": "bigint", "from": "text"},
    "weight": {"type": "decimal(12,2)", "from": ["number", "text"]},
    "active": {"type": "bool", "from": ["bool", "text"]},
    "at": {"type": "timestamp", "from": ["iso", "epoch_seconds", "epoch_millis"]},
    "local": {"type": "timestamp", "zone": "Europe/Berlin"},
    "day": {"type": "date", "from": "dd.MM.yyyy", "empty_as_null": True},
    "order": {"type": "string", "source": "SK", "part": _PART},
    "line": {"type": "bigint", "source": "SK", "part": _PART},
}


def run() -> list[dict[str, Any]]:
    """Decode 100,000 changes, all columns at once and each column alone."""
    with duck.connect() as connection:
        return [_figure(connection, [*USUAL]), *(_figure(connection, [name]) for name in USUAL)]


def _figure(connection: duckdb.DuckDBPyConnection, names: list[str]) -> dict[str, Any]:
    sides = [(_contract(said, names), _changes(names, otherwise=at == 0)) for at, said in enumerate((OTHERWISE, USUAL))]
    seconds: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for taken, (contract, changes) in zip(seconds, sides, strict=True):
            start = time.process_time()
            decoded = decode(connection, changes, contract)
            taken.append(time.process_time() - start)
            if decoded.rows.num_rows != ROWS:
                raise RuntimeError(f"{decoded.rejected.num_rows} rows were rejected")
    ours, other = (ROWS / min(taken) for taken in seconds)
    return {
        "work": f"decode, written otherwise: {', '.join(names)}",
        "ours": round(ours),
        "other": round(other),
        "unit": "records/CPU s",
        "ratio": round(ours / other, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "what_other_is": "the same values in DynamoDB's own types",
    }


def _contract(said: Mapping[str, Any], names: list[str]) -> Contract:
    columns = {"Id": "string", **{name: said[name] for name in names}}
    return Contract.model_validate({"table": "App", "owner": "team:bench", "key": {"hash": "Id"}, "columns": columns})


def _changes(names: list[str], *, otherwise: bool) -> pa.Table:
    rows = [envelope(_record(number, names, otherwise=otherwise)) for number in range(ROWS)]
    return pq.read_table(pa.BufferReader(to_parquet(rows, captured_at=NOON)))


def _record(number: int, names: list[str], *, otherwise: bool) -> dict[str, Any]:
    at = NOON + timedelta(seconds=number % 20_000 * 61)  # no change of the clock
    values: dict[str, tuple[Any, Any]] = {
        "price": ({"S": f"{number}"}, {"N": f"{number}"}),
        "weight": ({"S": f"{number}.25"}, {"N": f"{number}.25"}),
        "active": ({"S": "Yes"}, {"BOOL": True}),
        "at": ({"N": f"{at.timestamp():.0f}"}, {"S": f"{at:%Y-%m-%dT%H:%M:%SZ}"}),
        "local": ({"S": f"{at:%Y-%m-%dT%H:%M:00.5}"}, {"S": f"{at:%Y-%m-%dT%H:%M:00.5}+01:00"}),
        "day": ({"S": f"{at:%d.%m.%Y}"}, {"S": f"{at:%Y-%m-%d}"}),
    }
    item = {name: values[name][not otherwise] for name in names if name in values}
    if otherwise:
        item |= {"SK": {"S": f"ORDER#{number}#{number % 9}"}} if {"order", "line"} & set(names) else {}
    else:
        parts = {"order": {"S": f"{number}"}, "line": {"N": f"{number % 9}"}}
        item |= {name: parts[name] for name in names if name in parts}
    keys = {"Id": {"S": f"k{number}"}}
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT",
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/App/stream/2026-03-01T00:00:00.000",
        "dynamodb": {
            "Keys": keys,
            "NewImage": keys | item,
            "SequenceNumber": str(10**20 + number),
            "ApproximateCreationDateTime": NOON.timestamp(),
        },
    }
