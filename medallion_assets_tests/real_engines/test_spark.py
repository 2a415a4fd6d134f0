"""Spark reads every table of a lake on files as DuckDB and pyiceberg do, row by row and type by type."""

from __future__ import annotations

from collections.abc import Mapping

from medallion_assets_tests.fixtures.everything import Shop, all_tables
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.readers import differences
from medallion_assets_tests.real_engines.spark import Spark
from medallion_assets_tests.real_engines.values import spark_type


def test_spark_reads_every_table_as_we_do(played: Shop, spark: Spark) -> None:
    spark.use(played.lake.settings)
    assert unlike(spark, played) == {}


def unlike(spark: Spark, shop: Shop) -> dict[str, list[str]]:
    """Return what Spark, which uses the shop's lake, reads differently, by table."""

    def read(table: tuple[str, str]) -> tuple[Mapping[str, str], Answer]:
        answer = spark.run(f"SELECT * FROM lake.`{table[0]}`.`{table[1]}`")
        return answer.columns, answer

    return differences(shop.lake, all_tables(shop.lake), read, spark_type)
