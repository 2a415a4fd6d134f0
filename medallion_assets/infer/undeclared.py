"""What rows of a Silver table have in `_extra`: attributes that its contract does not declare, with a line for each.

Belongs here: counting and proposing them from the lake. Does not belong here: what becomes of a column that is declared
(silver.fill).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import orjson

from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.names import snake_case
from medallion_assets.infer.contract_text import column_line
from medallion_assets.infer.propose import propose
from medallion_assets.infer.sample import Sample
from medallion_assets.infer.seen import Seen, SeenTable
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.silver.table import EXTRA, SILVER

_LOOKED_AT: Final = 1_000
"""Rows of each attribute that are looked at."""


@dataclass(frozen=True)
class Undeclared:
    """One attribute in `_extra`.

    - rows: how many rows have it
    - tags: the type tags of DynamoDB that it has in the rows that were looked at
    - declared: whether it is a column already, a struct with attributes that its type does not declare
    - line: what to write below `columns`, or below `drop` if it looks like a secret; no value of a row is in it
    """

    attribute: str
    rows: int
    tags: tuple[str, ...]
    declared: bool
    line: str


@translate_outages()
def undeclared_attributes(lake: Lake, contract: Contract) -> list[Undeclared]:
    """Return the attributes that the published rows have in `_extra`, the most frequent first.

    Reads that column of the whole table. Raises LakeUnavailable.
    """
    table = lake.find(SILVER, contract.lake_name)
    if table is None or table.metadata.current_snapshot_id is None:
        return []
    with lake.reading([table]), lake.duckdb() as connection:
        pairs = f"""(SELECT unnest(map_entries(json_transform({EXTRA}, '"MAP(VARCHAR, JSON)"'))) AS entry
            FROM {lake.scan_sql(table, None)} WHERE {EXTRA} IS NOT NULL)"""
        found = connection.execute(f"""
            SELECT entry.key, count(*), arg_min(entry.value::VARCHAR, hash(entry.value), {_LOOKED_AT}) FROM {pairs}
            GROUP BY 1 ORDER BY 2 DESC, 1""").fetchall()
    return _proposed(contract, {name: (rows, texts) for name, rows, texts in found})


def _proposed(contract: Contract, found: dict[str, tuple[int, list[str]]]) -> list[Undeclared]:
    looked = SeenTable(items=sum(len(texts) for _, texts in found.values()))
    for name, (_, texts) in found.items():
        seen = looked.attributes[name] = Seen()
        for text in texts:
            seen.see(orjson.loads(text))
    sample = Sample(contract.table, contract.key, {}, iter(()), size=None)
    (proposed,) = propose([(sample, looked)])
    lines = {name: f"drop: [{json.dumps(name)}]  # {why}" for name, why in proposed.drop.items()}
    lines |= dict.fromkeys(proposed.left, "# only null was seen")
    for column in proposed.columns:
        spec: Any = column.spec if isinstance(column.spec, dict) else {"type": column.spec}
        spec = {part: value for part, value in spec.items() if part != "rules"}
        wanted = spec.get("rename", snake_case(column.attribute))
        if column.attribute not in contract.attributes and wanted in contract.by_name:
            free = (f"{wanted}_{number}" for number in count(2))
            spec["rename"] = next(name for name in free if name not in contract.by_name)
        lines[column.attribute] = column_line(replace(column, spec=spec if len(spec) > 1 else spec["type"], notes=()))
    return [
        Undeclared(
            attribute=name,
            rows=rows,
            tags=tuple(sorted(looked.attributes[name].tags)),
            declared=name in contract.attributes,
            line=lines[name].strip(),
        )
        for name, (rows, _) in found.items()
    ]
