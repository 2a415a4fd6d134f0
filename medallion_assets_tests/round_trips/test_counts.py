"""The requests of every act are those of the documents: one more round trip shows in a review."""

from __future__ import annotations

from pathlib import Path

import pytest

from medallion_assets_tests.round_trips.acts import OBJECTS, as_table, count_acts, open_shop
from medallion_assets_tests.round_trips.shim import operation

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"


@pytest.mark.slow
def test_the_documents_say_how_many_requests_each_act_makes() -> None:
    with open_shop() as shop:
        found = count_acts(shop)
    assert as_table(found) in PAGE.read_text(), as_table(found)
    run = found["run of six assets, 9 new objects"]
    assert sum(run.values()) <= 150 + OBJECTS
    assert run["s3 GET bronze"] == OBJECTS
    assert not [asked for asked in run if "multipart" in asked or asked == "s3 HEAD metadata"]


@pytest.mark.parametrize(
    ("method", "path", "query", "target", "expected"),
    [
        ("POST", "/", "", "AWSGlue.GetTable", "glue GetTable"),
        ("POST", "/", "", "DynamoDB_20120810.PutItem", "dynamodb PutItem"),
        ("GET", "/lake", "list-type=2&prefix=a", None, "s3 LIST"),
        ("GET", "/lake/silver/orders/metadata/00001-x.metadata.json", "", None, "s3 GET metadata"),
        ("PUT", "/lake/silver/orders/metadata/snap-1-0-x.avro", "", None, "s3 PUT manifest list"),
        ("PUT", "/lake/silver/orders/metadata/x-m0.avro", "", None, "s3 PUT manifest"),
        ("PUT", "/lake/silver/orders/data/x-deletes.parquet", "", None, "s3 PUT deletes"),
        ("HEAD", "/lake/silver/orders/data/x.parquet", "", None, "s3 HEAD data"),
        ("POST", "/lake/silver/orders/data/x.parquet", "uploads", None, "s3 multipart POST data"),
        ("PUT", "/lake/silver/orders/data/x.parquet", "partNumber=1&uploadId=2", None, "s3 multipart PUT data"),
        ("POST", "/lake", "delete", None, "s3 DELETE many"),
        ("GET", "/lake/bronze/Orders/year=2026/x.parquet", "", None, "s3 GET bronze"),
    ],
)
def test_a_request_is_counted_as_what_it_asks_for(
    method: str, path: str, query: str, target: str | None, expected: str
) -> None:
    assert operation(method, path, query, target) == expected
