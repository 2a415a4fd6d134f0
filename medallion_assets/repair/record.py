"""The row of `ops.repairs` that records one amendment.

Belongs here: what it says about the difference. Does not belong here: finding and amending differences, the table's
columns and its writer (ops).
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from medallion_assets.contracts.model import Contract
from medallion_assets.reconciliation.reconcile import Difference


def describe_difference(contract: Contract, difference: Difference) -> dict[str, Any]:
    """Return the columns of `ops.repairs` that say what differed. They leave out attributes that the contract drops."""
    source, lake = difference.source, difference.lake
    names = None
    if source is not None and lake is not None:
        names = [name for name in source if source[name] != lake.get(name)]
    after = None
    if difference.item is not None:
        after = {name: value for name, value in difference.item.items() if name not in contract.dropped}
    return {
        "kind": difference.kind,
        "column_names": names,
        "before": json.dumps(lake, default=_as_json, ensure_ascii=False) if lake is not None else None,
        "after": orjson.dumps(after).decode() if after is not None else None,
        "amended_sequence": difference.newest[1] if difference.newest is not None else None,
    }


def _as_json(value: Any) -> Any:
    match value:
        case Decimal():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")
