"""The pipeline goes on after another engine wrote to its tables: columns, snapshots, and rows that are then named.

Other engines are played by pyiceberg here; real ones are in real_engines.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyiceberg.types import IntegerType, StringType

from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.fixtures.everything import Shop, all_tables, play_on, write_ops


def test_columns_that_another_engine_added_stop_no_table(files_lake: Lake, tmp_path: Path) -> None:
    shop = Shop.on(files_lake, tmp_path)
    play_on(shop)
    write_ops(shop)
    changed = all_tables(files_lake)
    for name in changed:
        with files_lake.table(*name).update_schema() as change:
            change.add_column("remark", StringType())
            change.move_first("remark")
            if name == ("silver", "readings"):
                change.add_column(("place", "height"), IntegerType())
                change.add_column(("parts", "unit"), StringType())
    play_on(shop)
    shop.maintain()
    play_on(shop)
    write_ops(shop)
    assert all("remark" in files_lake.table(*name).schema().column_names for name in changed)


def test_rows_that_another_engine_changed_are_named_and_stop_nothing(files_lake: Lake, tmp_path: Path) -> None:
    shop = Shop.on(files_lake, tmp_path)
    for name in ("lost", "changed", "twice", "copied"):
        shop.pipeline.put("Customers", {"CustomerID": name, "Name": name, "Region": "north", "Tier": 1})
    play_on(shop)
    customers = files_lake.table("silver", "customers")
    customers.delete("customer_id == 'lost'")
    row = customers.scan(row_filter="customer_id == 'changed'").to_arrow()
    customers.overwrite(_replaced(row, "name", "foreign"), "customer_id == 'changed'")
    customers.append(_replaced(row, "customer_id", "foreign"))
    customers.append(_replaced(row, "customer_id", "twice"))
    for _ in range(2):
        customers.append(_replaced(row, "customer_id", "invented"))
    customers.append(customers.scan(row_filter="customer_id == 'copied'").to_arrow())
    play_on(shop)
    shop.maintain()
    play_on(shop)
    found = next(one for one in shop.verify().tables if one.name == "silver/customers")
    assert (found.source, found.lake, found.equal) == (5, 9, 2)
    assert (found.missing, found.extra, found.different, found.unconfirmed) == (1, 5, 2, 0)
    assert sorted(found.differences) == [
        "changed: name: source 'changed', lake 'foreign'",
        "copied: 2 rows in the lake, expected 1",
        "foreign: in the lake, not in the source",
        "invented: 2 rows in the lake, expected none",
        "lost: in the source, not in the lake",
        "twice: 2 rows in the lake, expected 1",
    ]
    # A repair corrects rows, and leaves one row of a key.
    shop.repair("customers")
    shop.pipeline.run()
    assert shop.verify().agrees


def _replaced(row: pa.Table, column: str, value: str) -> pa.Table:
    [values] = row.to_pylist()
    return pa.Table.from_pylist([{**values, column: value}], schema=row.schema)
