"""What the audit of a whole Silver table counts, in SQL that DuckDB, Trino and Athena have in common.

Belongs here: the queries, and their answers as numbers. Does not belong here: what is good and what is not (audit).
Where a rule has a pattern, DuckDB counts them here, because the engines have different regular expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.checks.results import MAX_EXAMPLES
from medallion_assets.checks.row_rules import RowRule
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract, Rule
from medallion_assets.contracts.types import ColumnType, parse_type
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.engines.engine import Engine, Input
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, timestamp_literal, value_texts
from medallion_assets.silver.table import CAPTURED_AT, CHANGED_AT, SILVER

_BIGINT: Final = parse_type("bigint")
_TIMESTAMP: Final = parse_type("timestamp")


@dataclass(frozen=True)
class WholeTable:
    """One snapshot of a contract's table (None: the published one), as `engine` reads it."""

    engine: Engine
    lake: Lake
    table: Table
    snapshot_id: int | None
    contract: Contract
    domain: Domain

    def count(self) -> tuple[int, int, datetime | None]:
        """Return how many rows there are, how many of them lack a key, and the time of the newest change."""
        null = " OR ".join(f"{key} IS NULL" for key in self._keys)
        found = self._select(
            f"SELECT count(*) AS _rows, count(CASE WHEN {null} THEN 1 END) AS _keyless, "
            f"max({CHANGED_AT}) AS _newest FROM {self._name}",
            {"_rows": _BIGINT, "_keyless": _BIGINT, "_newest": _TIMESTAMP},
        ).to_pylist()[0]
        return found["_rows"], found["_keyless"], found["_newest"]

    def repeated_keys(self) -> tuple[int, list[str]]:
        """Return how many keys the table has more than once, and some of them."""
        keys = ", ".join(self._keys)
        found = self._select(
            f"SELECT {keys}, count(*) OVER () AS _found FROM (SELECT {keys} FROM {self._name} GROUP BY {keys} "
            f"HAVING count(*) > 1) AS _repeated ORDER BY {keys} LIMIT {MAX_EXAMPLES}",
            {**self._key_types, "_found": _BIGINT},
        )
        return (int(found["_found"][0].as_py()) if found.num_rows else 0), self._texts(found)

    def broken_rules(self, rules: Sequence[RowRule]) -> tuple[int, list[int], list[str]]:
        """Return how many rows there are, how many of them break each rule, and some keys of rows that break one."""
        engine = self.engine if all(rule.portable for rule in rules) else EmbeddedEngine(self.lake)
        names = [f"_n{at}" for at in range(len(rules))]
        counts = [
            f"count(CASE WHEN {rule.breaks} THEN 1 END) AS {name}" for rule, name in zip(rules, names, strict=True)
        ]
        found = self._select(
            f"SELECT {', '.join(['count(*) AS _rows', *counts])} FROM {self._name}",
            dict.fromkeys(["_rows", *names], _BIGINT),
            engine=engine,
        )
        rows, *broken = found.to_pylist()[0].values()
        if not any(broken):
            return rows, broken, []
        keys, any_broken = ", ".join(self._keys), " OR ".join(rule.breaks for rule in rules)
        sql = f"SELECT {keys} FROM {self._name} WHERE {any_broken} ORDER BY {keys} LIMIT {MAX_EXAMPLES}"
        return rows, broken, self._texts(self._select(sql, self._key_types, engine=engine))

    def missing_references(self, column: str, rule: Rule, *, grace_from: datetime) -> tuple[int, int, list[str]]:
        """Return how many rows that changed before `grace_from` refer to a row that does not exist, how many of those
        that changed later do, and some keys of the former."""
        keys, name, referenced = ", ".join(self._keys), identifier(column), self.domain.by_name[str(rule.references)]
        refers, unnested = f"_r.{name}", ""
        if self.contract.by_name[column].type.element is not None:
            refers, unnested = "_u._refers", f" CROSS JOIN UNNEST(_r.{name}) AS _u (_refers)"
        key = identifier(referenced.key_names[0])
        young = f"coalesce(_r.{CHANGED_AT}, _r.{CAPTURED_AT}) > {timestamp_literal(grace_from)}"
        missing = f"""
            SELECT DISTINCT {keys}, _young FROM (
                SELECT {", ".join(f"_r.{one}" for one in self._keys)}, {refers} AS _refers,
                    CASE WHEN {young} THEN 1 ELSE 0 END AS _young
                FROM {self._name} AS _r{unnested}) AS _pairs
            LEFT JOIN (SELECT {key} AS _existing FROM {SILVER}.{identifier(referenced.lake_name)}) AS _known
                ON _pairs._refers = _known._existing
            WHERE _pairs._refers IS NOT NULL AND _known._existing IS NULL"""
        found = self._select(
            "SELECT count(CASE WHEN _young = 0 THEN 1 END) AS _failed, "
            f"count(CASE WHEN _young = 1 THEN 1 END) AS _pending FROM ({missing}) AS _missing",
            {"_failed": _BIGINT, "_pending": _BIGINT},
            reads=[referenced],
        ).to_pylist()[0]
        examples: list[str] = []
        if found["_failed"]:
            examples = self._texts(
                self._select(
                    f"SELECT {keys} FROM ({missing}) AS _missing WHERE _young = 0 ORDER BY {keys} LIMIT {MAX_EXAMPLES}",
                    self._key_types,
                    reads=[referenced],
                )
            )
        return found["_failed"], found["_pending"], examples

    @cached_property
    def _keys(self) -> list[str]:
        return [identifier(name) for name in self.contract.key_names]

    @cached_property
    def _key_types(self) -> dict[str, ColumnType]:
        return {name: self.contract.by_name[name].type for name in self.contract.key_names}

    @property
    def _name(self) -> str:
        return f"{SILVER}.{identifier(self.contract.lake_name)}"

    def _texts(self, found: pa.Table) -> list[str]:
        rows = value_texts(found.select(self.contract.key_names))
        return ["/".join(text for text in row if text is not None) for row in rows]

    def _select(
        self,
        sql: str,
        columns: Mapping[str, ColumnType],
        *,
        engine: Engine | None = None,
        reads: Sequence[Contract] = (),
    ) -> pa.Table:
        inputs: dict[str, Input] = {}
        for contract in reads:
            table = self.lake.find(SILVER, contract.lake_name)
            snapshot = table.metadata.current_snapshot_id if table is not None else None
            inputs[contract.lake_name] = Input(self._columns(contract), table, snapshot)
        snapshot = self.snapshot_id or self.table.metadata.current_snapshot_id
        inputs[self.contract.lake_name] = Input(self._columns(self.contract), self.table, snapshot)
        return (engine or self.engine).select(sql, inputs, columns)

    def _columns(self, contract: Contract) -> dict[str, ColumnType]:
        return {**self.domain.silver_columns(contract), CHANGED_AT: _TIMESTAMP, CAPTURED_AT: _TIMESTAMP}
