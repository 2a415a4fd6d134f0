"""After Spark wrote to our tables, merge, audit, refresh, maintenance and verification go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from medallion_assets.errors import SchemaMismatch
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.fixtures.everything import Shop, all_tables, play_on
from medallion_assets_tests.real_engines.spark import Spark
from medallion_assets_tests.real_engines.test_spark import unlike

ALL = "map('rewrite-all', 'true')"
SILVER = ("customers", "orders", "readings")


def test_columns_and_snapshots_of_spark_stop_nothing(files_lake: Lake, tmp_path: Path, spark: Spark) -> None:
    shop = Shop.on(files_lake, tmp_path)
    play_on(shop)
    play_on(shop)
    spark.use(files_lake.settings)
    for namespace, name in all_tables(files_lake):
        spark.run(f"ALTER TABLE lake.{namespace}.{name} ADD COLUMN remark string FIRST")
    spark.run("ALTER TABLE lake.silver.readings ADD COLUMN place.height int")
    play_on(shop)
    for name in SILVER:
        spark.run(f"UPDATE lake.silver.{name} SET remark = 'theirs'")
        spark.run(
            f"CALL lake.system.rewrite_data_files(table => 'silver.{name}', options => map('rewrite-all', 'true'))"
        )
    play_on(shop)
    for name in SILVER:
        spark.run(f"CALL lake.system.rewrite_position_delete_files(table => 'silver.{name}', options => {ALL})")
    play_on(shop)
    for namespace, name in all_tables(files_lake):
        spark.run(
            f"CALL lake.system.expire_snapshots(table => '{namespace}.{name}', "
            "older_than => TIMESTAMP '2999-01-01 00:00:00', retain_last => 1)"
        )
    play_on(shop)
    shop.maintain()
    assert shop.verify().agrees
    assert unlike(spark, shop.lake) == {}


def test_rows_that_spark_changed_are_named(files_lake: Lake, tmp_path: Path, spark: Spark) -> None:
    shop = Shop.on(files_lake, tmp_path)
    for name in ("deleted", "merged", "stays"):
        shop.pipeline.put("Customers", {"CustomerID": name, "Name": name, "Region": "north", "Tier": 1})
    play_on(shop)
    play_on(shop)
    spark.use(files_lake.settings)
    spark.run("ALTER TABLE lake.silver.customers SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.run("DELETE FROM lake.silver.customers WHERE customer_id = 'deleted'")
    spark.run("""
        MERGE INTO lake.silver.customers t
        USING (SELECT explode(array('merged', 'inserted')) AS id) s ON t.customer_id = s.id
        WHEN MATCHED THEN UPDATE SET name = 'foreign'
        WHEN NOT MATCHED THEN INSERT (customer_id, name, _sequence_number, _event_id, _captured_at, _stream_created_at)
            VALUES (s.id, s.id, '1', 'theirs', TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2026-01-01 00:00:00')
        """)
    spark.run("DELETE FROM lake.gold.device_summary")
    play_on(shop)
    shop.maintain()
    play_on(shop)
    verified = shop.verify()
    found = {one.name: one for one in (*verified.tables, *verified.marts)}
    assert sorted(found["silver/customers"].differences) == [
        "deleted: in the source, not in the lake",
        "inserted: in the lake, not in the source",
        "merged: name: source 'merged', lake 'foreign'",
    ]
    assert found["silver/orders"].agrees
    assert found["silver/readings"].agrees
    assert found["gold/device_summary"].agrees, "its rows are computed again with the next change"
    assert unlike(spark, shop.lake) == {}


def test_a_table_that_spark_upgraded_is_refused_with_the_way_out(
    files_lake: Lake, tmp_path: Path, spark: Spark
) -> None:
    shop = Shop.on(files_lake, tmp_path)
    play_on(shop)
    spark.use(files_lake.settings)
    spark.run("ALTER TABLE lake.silver.customers SET TBLPROPERTIES ('format-version' = '3')")
    with pytest.raises(SchemaMismatch, match=r"silver.customers has version 3 of Iceberg's format.*expected 2"):
        play_on(shop)
