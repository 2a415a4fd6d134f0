"""Spark reads every table of a lake on files as DuckDB and pyiceberg do, row by row and type by type."""

from __future__ import annotations

from collections.abc import Mapping

from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.history import Shop, all_tables
from medallion_assets_tests.real_engines.readers import differences
from medallion_assets_tests.real_engines.spark import Spark
from medallion_assets_tests.real_engines.values import spark_type


def test_spark_reads_every_table_as_we_do(played: Shop, spark: Spark) -> None:
    spark.use(played.lake.settings)

    def read(table: tuple[str, str]) -> tuple[Mapping[str, str], Answer]:
        answer = spark.run(f"SELECT * FROM lake.`{table[0]}`.`{table[1]}`")
        return answer.columns, answer

    # Spark refuses the tables with the column _deleted, whose name Iceberg reserves; it leaves them next.
    lake = played.lake
    tables = [name for name in all_tables(lake) if "_deleted" not in lake.table(*name).schema().column_names]
    assert differences(lake, tables, read, spark_type) == {}
