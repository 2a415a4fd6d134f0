"""Trino reads every table of a lake of either kind as DuckDB and pyiceberg do, row by row and type by type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.fixtures.everything import Shop, all_tables, play
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.readers import differences
from medallion_assets_tests.real_engines.trino import Trino
from medallion_assets_tests.real_engines.values import trino_type


def test_trino_reads_every_table_on_files_as_we_do(played: Shop, trino: Trino) -> None:
    assert unlike(trino, trino.add_lake(played.lake.settings), played.lake) == {}


def test_trino_reads_every_table_on_glue_as_we_do(glue_lake: Lake, tmp_path: Path, trino: Trino) -> None:
    shop = Shop.on(glue_lake, tmp_path)
    play(shop)
    assert unlike(trino, trino.add_lake(glue_lake.settings), glue_lake) == {}


def test_trino_reads_a_table_that_never_had_a_row(only_deleted: Lake, trino: Trino) -> None:
    """Its only snapshot has no file: the deletion of a key that was never written."""
    assert unlike(trino, trino.add_lake(only_deleted.settings), only_deleted) == {}


def test_trino_reads_a_day_by_its_tag(two_days: Lake, trino: Trino) -> None:
    table = f'{trino.add_lake(two_days.settings)}."silver"."things"'
    was = trino.run(f"SELECT value FROM {table} FOR VERSION AS OF 'day-2026-03-01'")
    assert (was.rows, trino.run(f"SELECT value FROM {table}").rows) == ([(1,)], [(2,)])


def unlike(trino: Trino, catalog: str, lake: Lake) -> dict[str, list[str]]:
    """Return what Trino reads differently in a lake, which is this catalog, by table."""

    def read(table: tuple[str, str]) -> tuple[Mapping[str, str], Answer]:
        return trino.types(catalog, table), trino.run(f'SELECT * FROM {catalog}."{table[0]}"."{table[1]}"')

    return differences(lake, all_tables(lake), read, trino_type)
