from __future__ import annotations

import warnings
from pathlib import Path

import boto3
import duckdb
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from pydantic import ValidationError
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError

from medallion_assets.errors import LakeDamaged, LakeUnavailable, SchemaMismatch, SettingsError, TableMissing
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.memory import TableMemory
from medallion_assets.lake.outage import translate_outages
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows

pytestmark = pytest.mark.both_lakes


def answer(status: int, code: str) -> ClientError:
    """What Glue says in place of a result."""
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetTable")  # type: ignore[typeddict-item]


def test_a_table_is_made_once_and_found_again(lake: Lake) -> None:
    assert lake.tables("silver") == []
    assert lake.find("silver", "orders") is None
    made = lake.ensure("silver", "orders", ORDERS, key=["id"])
    again = lake.ensure("silver", "orders", ORDERS, key=["id"])
    assert made.metadata.table_uuid == again.metadata.table_uuid
    assert made.metadata_location == again.metadata_location, "nothing is committed when nothing changes"
    assert lake.tables("silver") == ["orders"]
    assert lake.find("silver", "orders") is not None
    assert made.location() == f"{lake.settings.warehouse}/silver/orders"


def test_two_processes_that_create_the_first_table_of_a_namespace_at_once_both_have_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = type(lake._catalog)
    create = catalog.create_namespace

    def late(self: Catalog, namespace: str) -> None:
        monkeypatch.setattr(catalog, "create_namespace", create)
        with Lake.open(lake.settings) as rival:
            rival.ensure("silver", "orders", ORDERS, key=["id"])
        with monkeypatch.context() as before:
            before.setattr(catalog, "namespace_exists", lambda self, namespace: False)
            create(self, namespace)

    monkeypatch.setattr(catalog, "create_namespace", late)
    mine = lake.ensure("silver", "orders", ORDERS, key=["id"])
    assert mine.metadata.table_uuid == lake.table("silver", "orders").metadata.table_uuid


def test_databases_with_a_prefix_are_seen_by_glue_alone(glue_lake: Lake) -> None:
    glue = boto3.client("glue")
    glue.create_database(DatabaseInput={"Name": "silver"})
    glue.create_table(DatabaseName="silver", TableInput={"Name": "orders"})  # somebody else's
    with Lake.open(glue_lake.settings.model_copy(update={"database_prefix": "shop_"})) as lake:
        assert lake.tables("silver") == [] and lake.find("silver", "orders") is None
        made = lake.ensure("silver", "orders", ORDERS, key=["id"])
        assert made.location() == f"{lake.settings.warehouse}/silver/orders"
        lake.remember_tables(TableMemory())
        table = lake.table("silver", "orders")
        merge(lake, table, rows(ORDERS, order("a", 1), order("b", 2)))
        assert read(lake, lake.table("silver", "orders"), ["id"]) == [("a",), ("b",)]
        lake.remember_tables(None)
        found = lake.find_all("silver", ["orders", "users"])
        assert lake.tables("silver") == ["orders"] and found["users"] is None
        for kept in (made, found["orders"], lake.table("silver", "orders")):
            assert isinstance(kept, Table) and kept.name() == ("silver", "orders")
        assert {one["Name"] for one in glue.get_databases()["DatabaseList"]} == {"silver", "shop_silver"}
        assert lake.drop("silver", "orders") and not lake.drop("silver", "orders")
    assert [one["Name"] for one in glue.get_tables(DatabaseName="silver")["TableList"]] == ["orders"]


def test_a_table_that_is_not_there_is_named(lake: Lake) -> None:
    with pytest.raises(TableMissing, match=r"silver\.orders"):
        lake.table("silver", "orders")


def test_a_table_without_rows_can_be_read(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    assert read(lake, table, ["id", "amount"]) == []


def test_new_columns_are_added_and_are_null_in_older_rows(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    before = merge(lake, table, rows(ORDERS, order("a", 1))).snapshot_id
    wider = ORDERS.append(pa.field("tags", pa.list_(pa.struct([("name", pa.string())]))))
    table = lake.ensure("silver", "orders", wider, key=["id"])
    merge(lake, table, rows(wider, order("b", 2, tags=[{"name": "x"}])))
    assert read(lake, table, ["id", "tags"]) == [("a", None), ("b", [{"name": "x"}])]
    with lake.duckdb() as connection:
        old = connection.execute(f"SELECT id, tags FROM {lake.scan_sql(table, before)}").fetchall()
    assert old == [("a", None)], "a snapshot older than the column has it as null"


@pytest.mark.parametrize(
    ("schema", "key", "partition_by"),
    [
        (ORDERS.set(2, pa.field("amount", pa.float64())), ["id"], []),
        (ORDERS, ["id", "day"], []),
        (ORDERS, ["id"], [("day", "month")]),
        (ORDERS.set(2, pa.field("amount", pa.decimal128(20, 3))), ["id"], []),
    ],
    ids=["type", "key", "partitioning", "scale"],
)
def test_any_other_difference_is_refused(
    lake: Lake, schema: pa.Schema, key: list[str], partition_by: list[tuple[str, str]]
) -> None:
    lake.ensure("silver", "orders", ORDERS, key=["id"])
    with pytest.raises(SchemaMismatch):
        lake.ensure("silver", "orders", schema, key=key, partition_by=partition_by)


def test_a_transform_that_does_not_fit_its_column_is_refused(lake: Lake) -> None:
    for column, transform in (("id", "day"), ("day", "weekly"), ("nowhere", "day")):
        with pytest.raises(SchemaMismatch, match=column):
            lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=[(column, transform)])


def test_connections_are_utc_download_nothing_and_are_independent(lake: Lake) -> None:
    with lake.duckdb() as first, lake.duckdb() as second:
        assert second.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        assert second.execute("SELECT current_setting('autoinstall_known_extensions')").fetchall() == [(False,)]
        first.execute("CREATE TEMP TABLE mine AS SELECT 1")
        with pytest.raises(Exception, match="mine does not exist"):
            second.execute("FROM mine")


def test_a_warehouse_is_a_bucket_or_an_absolute_directory() -> None:
    with pytest.raises(ValidationError, match="absolute directory"):
        LakeSettings(warehouse="lake", catalog="sqlite", region="eu-west-1")


def test_a_directory_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be created"):
        Lake.open(LakeSettings(warehouse=str(tmp_path / "file" / "lake"), catalog="sqlite", region="eu-west-1"))


def test_a_missing_bucket_is_a_setting_to_mend(aws: object, lake_on_missing_bucket: Lake) -> None:
    with pytest.raises(SettingsError, match="bucket does not exist"):
        lake_on_missing_bucket.ensure("silver", "orders", ORDERS, key=["id"])


def test_a_lake_that_does_not_answer_is_unavailable(unreachable_lake: Lake) -> None:
    with pytest.raises(LakeUnavailable, match="did not answer"):
        unreachable_lake.table("silver", "orders")


def test_a_closed_lake_leaves_nothing_open(tmp_path: Path) -> None:
    import gc

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        settings = LakeSettings(warehouse=str(tmp_path), catalog="sqlite", region="eu-west-1")
        with Lake.open(settings) as lake:
            lake.ensure("silver", "orders", ORDERS, key=["id"])
        gc.collect()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (answer(500, "InternalServiceException"), LakeUnavailable),
        (answer(400, "ThrottlingException"), LakeUnavailable),
        (answer(403, "ExpiredToken"), SettingsError),
        (answer(400, "InvalidInputException"), ClientError),
        (NoCredentialsError(), SettingsError),
        (OSError("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7"), LakeUnavailable),
        (OSError("AWS Error ACCESS_DENIED during PutObject operation"), SettingsError),
        (PermissionError(13, "Permission denied"), SettingsError),
        (FileNotFoundError("data.parquet"), LakeDamaged),
        (duckdb.IOException("Could not establish connection"), LakeUnavailable),
        (OperationalError("SELECT", {}, Exception("database is locked")), LakeUnavailable),
        (KeyError("ours"), KeyError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:40],
)
def test_each_librarys_failure_is_told_apart(failure: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected), translate_outages():
        raise failure


def test_an_answer_of_glue_that_was_cut_off_is_an_outage(glue_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    glue = glue_lake._catalog.glue  # type: ignore[attr-defined]
    monkeypatch.setattr(glue, "get_table", lambda **_: {})
    with pytest.raises(LakeUnavailable, match="Glue's answer was cut off"):
        glue_lake.find("silver", "orders")


def test_many_tables_are_found_as_each_is(lake: Lake) -> None:
    for name in ("orders", "customers"):
        lake.ensure("silver", name, ORDERS)
    assert lake.find_all("gold", ["sales"]) == {"sales": None}
    found = lake.find_all("silver", ["customers", "gone", "orders"])
    assert list(found) == ["customers", "gone", "orders"]
    assert found["gone"] is None
    for name in ("customers", "orders"):
        table, one = found[name], lake.table("silver", name)
        assert isinstance(table, Table)
        assert (table.name(), table.metadata, table.metadata_location) == (
            one.name(),
            one.metadata,
            one.metadata_location,
        )
