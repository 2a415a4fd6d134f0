"""Items a CPU second of reading and checking one item, beside Silver's decoder for the same items, one at a time.

Ours reads the body of a request and checks the item; the other decodes the change that it would make.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow.parquet as pq
from pyarrow import BufferReader

from medallion_assets.capture.envelope import envelope, to_parquet
from medallion_assets.contracts.loader import load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.ingest.item_body import DYNAMODB_JSON, item_of, read_json
from medallion_assets.ingest.validate import Validator
from medallion_assets.lake import duck
from medallion_assets.silver.decode import decode
from medallion_assets_tests.bench.formats import NOON, OTHERWISE

ITEMS, FEW, TURNS = 2_000, 25, 3


def run() -> list[dict[str, Any]]:
    """Check orders of the demo's domain, items in eight columns that are written otherwise, and one with a pattern."""
    orders = load_domain("ecommerce").by_name["orders"]
    columns = {"Id": "string", **OTHERWISE}
    otherwise = _contract(columns)
    pattern = _contract({"Id": "string", "code": {"type": "string", "rules": [{"pattern": "[A-Z]{2}[0-9]{4}"}]}})
    return [
        _figure("ingest: check an order", orders, _ORDER),
        _figure("ingest: check eight columns, written otherwise", otherwise, _OTHERWISE),
        _figure("ingest: check a rule with a pattern", pattern, {"Id": {"S": "1"}, "code": {"S": "AB1234"}}),
    ]


_ORDER: Mapping[str, Any] = {
    "OrderID": {"S": "order-1"},
    "CustomerID": {"S": "customer-1"},
    "ProductID": {"L": [{"S": "product-1"}, {"S": "product-2"}]},
    "OrderDate": {"S": "2026-03-01T12:00:00Z"},
    "TotalAmount": {"N": "79.99"},
    "Status": {"S": "pending"},
}
_OTHERWISE: Mapping[str, Any] = {
    "Id": {"S": "1"},
    "price": {"S": "12"},
    "weight": {"S": "12.25"},
    "active": {"S": "Yes"},
    "at": {"N": "1772366400"},
    "local": {"S": "2026-03-01T12:00:00.5"},
    "day": {"S": "01.03.2026"},
    "SK": {"S": "ORDER#4711#2"},
}


def _figure(work: str, contract: Contract, item: Mapping[str, Any]) -> dict[str, Any]:
    validator, body = Validator(contract), json.dumps(item).encode()

    def check() -> bool:
        return not validator.mismatches(item_of(contract, read_json(body), dynamodb_json=True))

    keys = {column.attribute: item[column.attribute] for column in contract.key_columns}
    with duck.connect() as connection:

        def decode_one() -> bool:
            change = to_parquet([envelope(_change(keys, json.loads(body)))], captured_at=NOON)
            return not decode(connection, pq.read_table(BufferReader(change)), contract).rejected

        ours, other = _a_second(check, ITEMS), _a_second(decode_one, FEW)
    return {
        "work": work,
        "ours": round(ours),
        "other": round(other),
        "unit": "items/CPU s",
        "ratio": round(ours / other, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "what_other_is": f"Silver's decoder, one change at a time ({DYNAMODB_JSON} on both sides)",
    }


def _a_second(act: Callable[[], bool], times: int) -> float:
    """Return how often `act` runs in a CPU second, the best of the turns."""
    taken = []
    for _ in range(TURNS):
        start = time.process_time()
        if not all(act() for _ in range(times)):
            raise RuntimeError("an item that fits its contract was refused")
        taken.append(time.process_time() - start)
    return times / min(taken)


def _contract(columns: Mapping[str, Any]) -> Contract:
    return Contract.model_validate({"table": "App", "owner": "team:bench", "key": {"hash": "Id"}, "columns": columns})


def _change(keys: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "eventID": "1",
        "eventName": "INSERT",
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/App/stream/2026-03-01T00:00:00.000",
        "dynamodb": {
            "Keys": keys,
            "NewImage": item,
            "SequenceNumber": str(10**20),
            "ApproximateCreationDateTime": NOON.timestamp(),
        },
    }
