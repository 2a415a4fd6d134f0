"""The columns that Dagster's catalog shows, of a table whose attributes become several columns."""

from __future__ import annotations

from medallion_assets.defs.columns import silver_columns, silver_lineage, source_columns
from medallion_assets.defs.names import Names
from medallion_assets_tests.silver.changes import contract, domain


def test_an_attribute_with_several_columns_is_one_attribute_and_the_source_of_each() -> None:
    part = {"source": "SK", "part": "ORDER#{order}#{line}"}
    columns = {"SK": "string", "order": {"type": "string", **part}, "line": {"type": "int", **part}}
    wanted = contract("App", columns, key="SK")
    assert [(one.name, one.type) for one in source_columns(wanted).columns] == [("SK", "string")]
    shown = [(one.name, one.type) for one in silver_columns(wanted, domain(wanted)).columns]
    assert shown[:3] == [("sk", "string"), ("order", "string"), ("line", "int")]
    deps = silver_lineage(wanted, Names()).deps_by_column
    assert {name: [one.column_name for one in found] for name, found in deps.items()} == {name: ["SK"] for name in deps}
