"""Trino reads a lake of either kind, and we read what Trino wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.real_engines.trino import Trino

SCHEMA = pa.schema([("id", pa.string()), ("price", pa.decimal128(38, 0)), ("at", pa.timestamp("us", tz="UTC"))])
ROW = ("a", Decimal("12345678901234567890123456789012345678"), datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))


def test_trino_reads_what_we_wrote_and_we_read_what_trino_wrote(lake: Lake, trino: Trino) -> None:
    table = lake.ensure("silver", "things", SCHEMA)
    table.append(pa.Table.from_pylist([dict(zip(SCHEMA.names, ROW, strict=True))], schema=SCHEMA))
    name = trino.add_lake(lake.settings)

    answer = trino.run("SELECT * FROM things", catalog=name, schema="silver")
    assert answer.rows == [ROW]
    assert list(answer.columns.values()) == ["varchar", "decimal(38, 0)", "timestamp(6) with time zone"]

    trino.run("INSERT INTO things SELECT 'b', price + 1, at FROM things", catalog=name, schema="silver")
    assert sorted(lake.table("silver", "things").scan().to_arrow()["id"].to_pylist()) == ["a", "b"]
