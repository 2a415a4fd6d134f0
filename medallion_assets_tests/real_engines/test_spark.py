"""Spark reads every table of a lake on files as DuckDB and pyiceberg do, row by row and type by type."""

from __future__ import annotations

from collections.abc import Mapping

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.fixtures.everything import Shop, all_tables
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.readers import differences
from medallion_assets_tests.real_engines.spark import Spark
from medallion_assets_tests.real_engines.values import spark_type


def test_spark_reads_every_table_as_we_do(played: Shop, spark: Spark) -> None:
    spark.use(played.lake.settings)
    assert unlike(spark, played.lake) == {}


def test_spark_reads_a_table_that_never_had_a_row(only_deleted: Lake, spark: Spark) -> None:
    """Its only snapshot has no file: the deletion of a key that was never written."""
    spark.use(only_deleted.settings)
    assert unlike(spark, only_deleted) == {}


def test_spark_reads_a_day_by_its_tag(two_days: Lake, spark: Spark) -> None:
    spark.use(two_days.settings)
    was = spark.run("SELECT value FROM lake.silver.things VERSION AS OF 'day-2026-03-01'")
    assert (was.rows, spark.run("SELECT value FROM lake.silver.things").rows) == ([(1,)], [(2,)])


def unlike(spark: Spark, lake: Lake) -> dict[str, list[str]]:
    """Return what Spark, which uses this lake, reads differently, by table."""

    def read(table: tuple[str, str]) -> tuple[Mapping[str, str], Answer]:
        answer = spark.run(f"SELECT * FROM lake.`{table[0]}`.`{table[1]}`")
        return answer.columns, answer

    return differences(lake, all_tables(lake), read, spark_type)
