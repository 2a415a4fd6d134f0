"""Trino reads every table of a lake of either kind as DuckDB and pyiceberg do, row by row and type by type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.history import Shop, all_tables, play
from medallion_assets_tests.real_engines.readers import differences
from medallion_assets_tests.real_engines.trino import Trino
from medallion_assets_tests.real_engines.values import trino_type


def test_trino_reads_every_table_on_files_as_we_do(played: Shop, trino: Trino) -> None:
    _compare(played, trino)


def test_trino_reads_every_table_on_glue_as_we_do(glue_lake: Lake, tmp_path: Path, trino: Trino) -> None:
    shop = Shop.on(glue_lake, tmp_path)
    play(shop)
    _compare(shop, trino)


def _compare(shop: Shop, trino: Trino) -> None:
    name = trino.add_lake(shop.lake.settings)

    def read(table: tuple[str, str]) -> tuple[Mapping[str, str], Answer]:
        return trino.types(name, table), trino.run(f'SELECT * FROM {name}."{table[0]}"."{table[1]}"')

    assert differences(shop.lake, all_tables(shop.lake), read, trino_type) == {}
