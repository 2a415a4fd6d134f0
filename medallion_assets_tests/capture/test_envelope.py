"""The Bronze row and its file."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.capture.envelope import BRONZE_COLUMNS, content_hash, envelope, table_of, to_parquet
from medallion_assets.errors import CaptureError
from medallion_assets_tests.capture.events import DOCUMENTED_EVENT, as_boto3, change, poison

NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BINARY = st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode())
SCALARS = st.one_of(
    TEXT.map(lambda s: {"S": s}),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda n: {"N": str(n)}),
    BINARY.map(lambda b: {"B": b}),
    st.booleans().map(lambda b: {"BOOL": b}),
    st.just({"NULL": True}),
    st.lists(TEXT, min_size=1, max_size=3, unique=True).map(lambda s: {"SS": s}),
    st.lists(BINARY, min_size=1, max_size=3, unique=True).map(lambda s: {"BS": s}),
    st.lists(st.integers().map(str), min_size=1, max_size=3, unique=True).map(lambda s: {"NS": s}),
)
VALUES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: {"L": items}),
        st.dictionaries(TEXT, inner, max_size=3).map(lambda items: {"M": items}),
    ),
    max_leaves=8,
)
IMAGES = st.dictionaries(TEXT, VALUES, max_size=5)


def table(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data))


def test_the_documented_event_becomes_rows_with_every_field_as_sent() -> None:
    rows = [envelope(record) for record in DOCUMENTED_EVENT["Records"]]
    stored = table(to_parquet(rows, captured_at=NOW))
    assert tuple(stored.column_names) == BRONZE_COLUMNS
    assert stored.to_pylist()[1] == {
        "event_id": "2",
        "event_name": "MODIFY",
        "table_name": "my-table",
        "sequence_number": "222",
        "approximate_creation_time": None,
        "keys": '{"Id":{"N":"101"}}',
        "new_image": '{"Message":{"S":"This item has changed"},"Id":{"N":"101"}}',
        "old_image": '{"Message":{"S":"New item!"},"Id":{"N":"101"}}',
        "user_identity": None,
        "stream_arn": "arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2024-06-10T19:26:16.525",
        "captured_at": NOW,
    }
    assert stored.schema.field("captured_at").type == pa.timestamp("us", tz="UTC")
    assert stored.schema.field("approximate_creation_time").type == pa.timestamp("us", tz="UTC")


@settings(deadline=None)
@given(new=IMAGES, old=IMAGES)
def test_an_image_comes_back_value_by_value_from_both_shapes_of_a_record(
    new: dict[str, Any], old: dict[str, Any]
) -> None:
    record = change("9007199254740993000001", new=new, old=old)
    record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    row = envelope(record)
    assert row == envelope(as_boto3(record))
    stored = table(to_parquet([row], captured_at=NOW)).to_pylist()[0]
    assert json.loads(stored["new_image"]) == new
    assert json.loads(stored["old_image"]) == old
    assert json.loads(stored["user_identity"]) == record["userIdentity"]


def test_numbers_stay_the_text_that_was_sent() -> None:
    digits = "12345678901234567890123456789012345678"
    new = {"a": {"N": digits}, "b": {"N": "1E-130"}}
    image = json.loads(envelope(change(1, new=new)).new_image or "")
    assert Decimal(image["a"]["N"]) == Decimal(digits)
    assert image["b"]["N"] == "1E-130"


def test_a_time_is_the_same_from_seconds_and_from_a_datetime() -> None:
    record = change(1, created=1_479_499_740.5)
    assert envelope(record).approximate_creation_us == 1_479_499_740_500_000
    assert envelope(as_boto3(record)).approximate_creation_us == 1_479_499_740_500_000


def test_duckdb_reads_the_file_with_its_types(tmp_path: Any) -> None:
    file = tmp_path / "one.parquet"
    file.write_bytes(to_parquet([envelope(change(n)) for n in range(3)], captured_at=NOW))
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        types = dict(session.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{file}')").fetchall())
        assert types["captured_at"] == "TIMESTAMP WITH TIME ZONE"
        assert types["new_image"] == "VARCHAR"
        sql = f"SELECT list(new_image->'OrderID'->>'S' ORDER BY sequence_number) FROM '{file}'"
        assert session.sql(sql).fetchall() == [(["o-0", "o-1", "o-2"],)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: r.pop("eventID"), "eventID"),
        (lambda r: r.update(eventID=7), "expected text, saw int"),
        (lambda r: r.update(eventID="\ud800"), "surrogates"),
        (lambda r: r.pop("eventSourceARN"), "eventSourceARN"),
        (lambda r: r.update(eventSourceARN="arn:aws:kinesis:::stream/x"), "not a DynamoDB stream ARN"),
        (lambda r: r.update(dynamodb=None), "SequenceNumber|NoneType"),
        (lambda r: r["dynamodb"].pop("Keys"), "Keys"),
        (lambda r: r["dynamodb"].update(SequenceNumber="12a"), "1 to 40 digits"),
        (lambda r: r["dynamodb"].update(SequenceNumber=12), "1 to 40 digits"),
        (lambda r: r["dynamodb"].update(SequenceNumber="1" * 41), "1 to 40 digits"),
        (lambda r: r["dynamodb"].update(NewImage={"a": {"S": "\udfff"}}), "UTF-8"),
        (lambda r: r["dynamodb"].update(NewImage={"a": {"S": object()}}), "serializable"),
        (lambda r: r["dynamodb"].update(ApproximateCreationDateTime="today"), "TypeError"),
        (lambda r: r["dynamodb"].update(ApproximateCreationDateTime=1e300), "1970 to 9999"),
        (lambda r: r["dynamodb"].update(ApproximateCreationDateTime=float("inf")), "OverflowError"),
        (lambda r: r.update(userIdentity="root"), "AttributeError"),
    ],
)
def test_the_error_of_a_record_without_an_envelope_has_the_reason_and_no_values(spoil: Any, said: str) -> None:
    record = change(1, new={"secret": {"S": "hunter2"}})
    spoil(record)
    with pytest.raises(CaptureError, match=said) as caught:
        envelope(record)
    assert "hunter2" not in str(caught.value)


def test_the_hash_depends_on_the_content_only() -> None:
    rows = [envelope(change(n)) for n in range(3)]
    assert content_hash(rows) == content_hash([envelope(as_boto3(change(n))) for n in range(3)])
    assert len(content_hash(rows)) == 16
    others = [rows[:2], rows[::-1], [*rows, rows[0]], [envelope(poison_free) for poison_free in _changed()]]
    assert len({content_hash(rows), *map(content_hash, others)}) == 5


def _changed() -> list[dict[str, Any]]:
    records = [change(n) for n in range(3)]
    records[1]["dynamodb"]["NewImage"]["more"] = {"N": "1"}
    return records


def test_the_table_is_named_by_the_stream_arn() -> None:
    assert table_of("arn:aws-cn:dynamodb:cn-north-1:1:table/a.b-c_D/stream/2026-01-01T00:00:00.000") == "a.b-c_D"
    for foreign in (
        "",
        "Orders",
        "arn:aws:dynamodb:eu:1:table/../stream/x",
        "arn:aws:dynamodb:eu:1:table/a/b/stream/x",
    ):
        with pytest.raises(CaptureError):
            table_of(foreign)


def test_a_poison_record_is_one_that_cannot_be_enveloped() -> None:
    with pytest.raises(CaptureError, match="UTF-8"):
        envelope(poison(1))
