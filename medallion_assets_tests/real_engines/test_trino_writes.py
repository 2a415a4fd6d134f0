"""After Trino wrote to our tables, merge, audit, refresh, maintenance and verification go on."""

from __future__ import annotations

from pathlib import Path

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.fixtures.everything import Shop, all_tables, play_on
from medallion_assets_tests.real_engines.test_trino import unlike
from medallion_assets_tests.real_engines.trino import Trino


def test_columns_and_snapshots_of_trino_on_files_stop_nothing(files_lake: Lake, tmp_path: Path, trino: Trino) -> None:
    _write_columns_and_snapshots(Shop.on(files_lake, tmp_path), trino)


def test_columns_and_snapshots_of_trino_on_glue_stop_nothing(glue_lake: Lake, tmp_path: Path, trino: Trino) -> None:
    _write_columns_and_snapshots(Shop.on(glue_lake, tmp_path), trino)


def _write_columns_and_snapshots(shop: Shop, trino: Trino) -> None:
    play_on(shop)
    play_on(shop)
    catalog = trino.add_lake(shop.lake.settings)
    for namespace, name in all_tables(shop.lake):
        trino.run(f"ALTER TABLE {catalog}.{namespace}.{name} ADD COLUMN remark varchar")
    trino.run(f"ALTER TABLE {catalog}.silver.readings ADD COLUMN place.height integer")
    play_on(shop)
    for name in ("customers", "orders", "readings"):
        trino.run(f"UPDATE {catalog}.silver.{name} SET remark = 'theirs'")
        trino.run(f"ANALYZE {catalog}.silver.{name}")
    play_on(shop)
    for namespace, name in all_tables(shop.lake):
        trino.run(f"ALTER TABLE {catalog}.{namespace}.{name} EXECUTE optimize")
    play_on(shop)
    for namespace, name in all_tables(shop.lake):
        trino.run(f"ALTER TABLE {catalog}.{namespace}.{name} EXECUTE expire_snapshots(retention_threshold => '0s')")
    play_on(shop)
    shop.maintain()
    assert shop.verify().agrees
    assert unlike(trino, catalog, shop.lake) == {}


def test_rows_that_trino_changed_are_named(files_lake: Lake, tmp_path: Path, trino: Trino) -> None:
    shop = Shop.on(files_lake, tmp_path)
    for name in ("deleted", "changed", "stays"):
        shop.pipeline.put("Customers", {"CustomerID": name, "Name": name, "Region": "north", "Tier": 1})
    play_on(shop)
    play_on(shop)
    catalog = trino.add_lake(files_lake.settings)
    trino.run(f"DELETE FROM {catalog}.silver.customers WHERE customer_id = 'deleted'")
    trino.run(f"UPDATE {catalog}.silver.customers SET name = 'foreign' WHERE customer_id = 'changed'")
    trino.run(f"DELETE FROM {catalog}.quarantine.readings")
    play_on(shop)
    shop.maintain()
    play_on(shop)
    found = {one.name: one for one in shop.verify().tables}
    assert sorted(found["silver/customers"].differences) == [
        "changed: name: source 'changed', lake 'foreign'",
        "deleted: in the source, not in the lake",
    ]
    # What nobody holds any more is missing: its changes were in quarantine only.
    assert found["silver/readings"].missing == 2
    assert found["silver/orders"].agrees
    assert unlike(trino, catalog, shop.lake) == {}
