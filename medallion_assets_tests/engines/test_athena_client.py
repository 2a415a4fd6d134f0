"""The client of Athena against the model of its API: every request and answer is one that the model allows.

Nothing here ran on AWS. That Trino runs the SELECT inside of the statement: real_engines/test_marts_on_trino.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from medallion_assets.contracts.types import parse_type
from medallion_assets.engines.athena_client import AthenaEngine, unload_statement
from medallion_assets.engines.engine import AthenaSettings, DayFilter, Input, Limits
from medallion_assets.engines.query import read_query
from medallion_assets.errors import LakeUnavailable, MartError, QueryFailed, SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.gold.shop import DOMAIN, TODAY, Shop, order

TABLES = {"orders": DOMAIN.silver_columns(DOMAIN.by_name["orders"])}
QUERY = read_query(
    "SELECT order_id, total_amount, order_date, product_ids, CAST(order_date AS DATE) AS day FROM silver.orders",
    TABLES,
    where="test",
)
COLUMNS = {
    "order_id": parse_type("string"),
    "total_amount": parse_type("decimal(12,2)"),
    "order_date": parse_type("timestamp"),
    "product_ids": parse_type("list<string>"),
    "day": parse_type("date"),
}
WRITTEN = pa.schema(
    [
        ("order_id", pa.string()),
        ("total_amount", pa.decimal128(12, 2)),
        ("order_date", pa.string()),
        ("product_ids", pa.list_(pa.field("array", pa.string()))),
        ("day", pa.date32()),
    ]
)
ROWS = [
    ("o1", Decimal("0.10"), "2026-03-09 00:00:00.000001 UTC", ["p1", None], date(2026, 3, 9)),
    ("", None, None, [], date(2026, 3, 15)),
]
SETTINGS = AthenaSettings(
    workgroup="marts",
    output="s3://results/marts/",
    catalog="AwsDataCatalog",
    region="eu-central-1",
    limits=Limits(timeout_seconds=60, result_bytes=2**20),
)


class Aws:
    """Athena and S3 as stubs of boto3's clients, which check every request against the API's model."""

    def __init__(self, engine: AthenaEngine) -> None:
        self.engine = engine
        self.athena, self.s3 = Stubber(engine.athena), Stubber(engine.s3)
        self.statement = ""
        engine.athena.meta.events.register("provide-client-params.athena.StartQueryExecution", self._keep)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.statement = params["QueryString"]

    def starts(self) -> None:
        self.athena.add_response(
            "start_query_execution",
            {"QueryExecutionId": "q1"},
            {
                "QueryString": ANY,
                "ClientRequestToken": ANY,
                "WorkGroup": "marts",
                "QueryExecutionContext": {"Catalog": "AwsDataCatalog"},
                "ResultConfiguration": {"OutputLocation": "s3://results/marts/"},
            },
        )

    def is_in(self, state: str, **more: Any) -> None:
        found = {"QueryExecutionId": "q1", "Status": {"State": state, **more}, "Statistics": {"DataScannedInBytes": 7}}
        self.athena.add_response("get_query_execution", {"QueryExecution": found}, {"QueryExecutionId": "q1"})

    def stops(self) -> None:
        self.athena.add_response("stop_query_execution", {}, {"QueryExecutionId": "q1"})

    def lists(self, *keys: str, size: int = 1, more: str | None = None, after: str | None = None) -> None:
        asked = {"Bucket": "results", "Prefix": ANY, **({"ContinuationToken": after} if after else {})}
        page: dict[str, Any] = {"Contents": [{"Key": key, "Size": size} for key in keys]} if keys else {}
        self.s3.add_response("list_objects_v2", page | ({"NextContinuationToken": more} if more else {}), asked)

    def gives(self, key: str, table: pa.Table) -> None:
        file = io.BytesIO()
        pq.write_table(table, file)
        body = StreamingBody(io.BytesIO(file.getvalue()), len(file.getvalue()))
        self.s3.add_response("get_object", {"Body": body}, {"Bucket": "results", "Key": key})

    def deletes(self, *keys: str) -> None:
        for key in keys:
            self.s3.add_response("delete_object", {}, {"Bucket": "results", "Key": key})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    times = iter(range(0, 10_000, 20))
    stubs = Aws(AthenaEngine(SETTINGS, sleep=lambda seconds: None, clock=lambda: float(next(times))))
    with stubs.athena, stubs.s3:
        yield stubs
        stubs.athena.assert_no_pending_responses()
        stubs.s3.assert_no_pending_responses()


@pytest.fixture
def inputs(files_lake: Lake) -> dict[str, Input]:
    Shop(files_lake).write("orders", order(1))
    table = files_lake.table("silver", "orders")
    return {"orders": Input(TABLES["orders"], table, table.metadata.current_snapshot_id)}


def written(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(WRITTEN.names, row, strict=True)) for row in rows], schema=WRITTEN)


def test_the_result_of_an_unload(aws: Aws, inputs: dict[str, Input]) -> None:
    aws.starts()
    aws.is_in("QUEUED")
    aws.is_in("RUNNING")
    aws.is_in("SUCCEEDED")
    aws.lists("a", more="next")
    aws.gives("a", written(ROWS[:1]))
    aws.lists("b", after="next")
    aws.gives("b", written(ROWS[1:]))
    aws.lists("a", "b")
    aws.deletes("a", "b")
    found = aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY)
    assert found.schema.types == [kind.arrow() for kind in COLUMNS.values()]
    first = ("o1", Decimal("0.10"), datetime(2026, 3, 9, 0, 0, 0, 1, UTC), ["p1", None], date(2026, 3, 9))
    assert [tuple(row.values()) for row in found.to_pylist()] == [first, ("", None, None, [], date(2026, 3, 15))]
    assert aws.statement.startswith('UNLOAD (\nSELECT "order_id", "total_amount", CAST("order_date" AT TIME ZONE ')
    assert f"FOR VERSION AS OF {inputs['orders'].snapshot_id}" in aws.statement
    assert ") TO 's3://results/marts/unload-" in aws.statement
    assert aws.statement.endswith("/' WITH (format = 'PARQUET', compression = 'SNAPPY')")


def test_a_result_without_rows_has_no_file(aws: Aws, inputs: dict[str, Input]) -> None:
    aws.starts()
    aws.is_in("SUCCEEDED")
    aws.lists()
    aws.lists()
    assert aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY).num_rows == 0


def test_a_select_of_our_own(aws: Aws, inputs: dict[str, Input]) -> None:
    aws.starts()
    aws.is_in("SUCCEEDED")
    aws.lists("a")
    aws.gives("a", pa.table({"rows_found": pa.array([7], pa.int64()), "newest": ["2026-03-09 00:00:00.000001 UTC"]}))
    aws.lists("a")
    aws.deletes("a")
    columns = {"rows_found": parse_type("bigint"), "newest": parse_type("timestamp")}
    sql = 'SELECT count(*) AS rows_found, max(order_date) AS newest FROM silver."orders"'
    found = aws.engine.select(sql, inputs, columns)
    assert found.to_pylist() == [{"rows_found": 7, "newest": datetime(2026, 3, 9, 0, 0, 0, 1, UTC)}]
    assert f"FOR VERSION AS OF {inputs['orders'].snapshot_id}" in aws.statement
    assert 'FROM silver."orders"' not in aws.statement


def test_only_the_days_that_were_asked_for_are_kept(aws: Aws, inputs: dict[str, Input]) -> None:
    aws.starts()
    aws.is_in("SUCCEEDED")
    aws.lists("a")
    aws.gives("a", written(ROWS))
    aws.lists("a")
    aws.deletes("a")
    days = DayFilter("day", [date(2026, 3, 9)], "orders", "order_date", [date(2026, 3, 9)])
    assert aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY, only=days).num_rows == 1


@pytest.mark.parametrize(
    ("state", "status", "kind", "words"),
    [
        (
            "FAILED",
            {"StateChangeReason": "DIVISION_BY_ZERO: Division by zero", "AthenaError": {"ErrorCategory": 2}},
            MartError,
            "DIVISION_BY_ZERO: Division by zero",
        ),
        (
            "FAILED",
            {"StateChangeReason": "INVALID_ARGUMENTS: Iceberg snapshot ID does not exists: 4"},
            LakeUnavailable,
            "Expected the snapshot",
        ),
        (
            "FAILED",
            {"StateChangeReason": "TABLE_NOT_FOUND: line 3:7: Table 'x' does not exist"},
            SettingsError,
            "MEDALLION_ATHENA_CATALOG",
        ),
        (
            "FAILED",
            {"StateChangeReason": "internal", "AthenaError": {"ErrorCategory": 1, "ErrorMessage": "internal"}},
            LakeUnavailable,
            "Try again later",
        ),
        ("FAILED", {"AthenaError": {"ErrorCategory": 3, "Retryable": True}}, LakeUnavailable, "no reason is given"),
        ("FAILED", {"StateChangeReason": "EXCEEDED_TIME_LIMIT: too long"}, QueryFailed, "limit"),
        ("CANCELLED", {"StateChangeReason": "Query cancelled by user"}, QueryFailed, "Somebody cancelled it"),
    ],
)
def test_a_query_that_does_not_succeed(
    aws: Aws, inputs: dict[str, Input], state: str, status: dict[str, Any], kind: type[Exception], words: str
) -> None:
    aws.starts()
    aws.is_in(state, **status)
    aws.lists("orphan")
    aws.deletes("orphan")
    with pytest.raises(kind, match=words):
        aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY)


def test_a_query_out_of_time_is_stopped(aws: Aws, inputs: dict[str, Input]) -> None:
    aws.starts()
    for _ in range(3):
        aws.is_in("RUNNING")
    aws.stops()
    aws.lists()
    with pytest.raises(QueryFailed, match=r"RUNNING after 60 s.*MEDALLION_ENGINE_TIMEOUT_SECONDS"):
        aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyRequestsException", 400, LakeUnavailable),
        ("InternalServerException", 500, LakeUnavailable),
        ("AccessDeniedException", 400, SettingsError),
        ("InvalidRequestException", 400, SettingsError),
    ],
)
def test_a_query_that_is_not_accepted(
    aws: Aws, inputs: dict[str, Input], code: str, status: int, kind: type[Exception]
) -> None:
    aws.athena.add_client_error("start_query_execution", code, "no", status)
    with pytest.raises(kind, match=code):
        aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY)


def test_a_file_with_another_type_is_refused(aws: Aws, inputs: dict[str, Input]) -> None:
    aws.starts()
    aws.is_in("SUCCEEDED")
    aws.lists("a")
    wide = written(ROWS[:1])
    at = wide.schema.get_field_index("total_amount")
    aws.gives("a", wide.set_column(at, "total_amount", wide["total_amount"].cast(pa.decimal128(38, 2))))
    aws.lists("a")
    aws.deletes("a")
    with pytest.raises(MartError, match=r"total_amount as decimal128\(38, 2\), expected decimal128\(12, 2\)"):
        aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY)


def test_files_that_cannot_be_deleted_do_not_fail_the_refresh(
    aws: Aws, inputs: dict[str, Input], caplog: pytest.LogCaptureFixture
) -> None:
    aws.starts()
    aws.is_in("SUCCEEDED")
    aws.lists("a")
    aws.gives("a", written(ROWS))
    aws.lists("a")
    aws.s3.add_client_error("delete_object", "AccessDenied", "no", 403)
    assert aws.engine.compute(QUERY, inputs, COLUMNS, today=TODAY).num_rows == 2
    assert "were not deleted" in caplog.text


def test_a_timestamp_inside_another_type_is_refused(inputs: dict[str, Input]) -> None:
    columns = {"times": parse_type("list<timestamp>")}
    with pytest.raises(MartError, match="times is list<timestamp>"):
        unload_statement(QUERY.sql, inputs, columns, catalog="c", today=TODAY, place="s3://b/c/")
