"""Conditions on the rows of a table: what may be said, and that nothing else gets through."""

from __future__ import annotations

import duckdb
import pytest

from medallion_assets.engines.condition import read_condition
from medallion_assets.errors import MartError

COLUMNS = ("event_id", "reason", "keys", "day", "seen_at")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("reason = 'it''s'", {1}),
        ("reason LIKE '%s' AND day < DATE '2026-03-02'", {1}),
        ("day BETWEEN DATE '2026-03-02' AND DATE '2026-03-03' OR event_id IN ('1')", {1, 2}),
        ("seen_at > TIMESTAMP '2026-03-01 12:00:00 UTC'", {2}),
        ("seen_at < current_date - INTERVAL '1' DAY", {1, 2}),
        ("json_extract_scalar(keys, '$[\"Order ID\"].S') = 'o2'", {2}),
        ("NOT (lower(reason) = 'B') AND reason IS NOT NULL", {1, 2}),
        ("reason IS NOT DISTINCT FROM NULL", set()),
        ("true -- all", {1, 2}),
    ],
)
def test_a_condition_chooses_rows(text: str, chosen: set[int]) -> None:
    rows = """(VALUES
        (1, '1', 'it''s', '{"Order ID":{"S":"o1"}}', DATE '2026-03-01', TIMESTAMPTZ '2026-03-01 12:00:00Z'),
        (2, '2', 'b', '{"Order ID":{"S":"o2"}}', DATE '2026-03-02', TIMESTAMPTZ '2026-03-01 12:00:01Z'))
        rows(n, event_id, reason, keys, day, seen_at)"""
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT n FROM {rows} WHERE ({read_condition(text, COLUMNS).sql})").fetchall()
    assert {n for (n,) in found} == chosen


def test_a_condition_tells_its_columns() -> None:
    assert read_condition("reason = 'day' OR NOT event_id = '1'", COLUMNS).columns == {"reason", "event_id"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not one condition"),
        ("TRUE; TRUE", "not one condition"),
        ("TRUE; DROP TABLE x", "not one condition"),
        ("reason = ", "not readable as a condition"),
        ("TRUE) OR (TRUE", "not readable as a condition"),
        ("colum = 'a'", "no column colum; expected one of event_id, reason, keys"),
        ("silver.reason = 'a'", "no column silver.reason"),
        ("DROP TABLE x", "expected a condition"),
        ("SELECT 1", "expected a condition"),
        ("event_id IN (SELECT event_id FROM quarantine.orders)", "expected a condition"),
        ("EXISTS (SELECT 1)", "expected a condition"),
        ("getenv('HOME') = 'x'", "expected a condition"),
        ("read_text('/etc/passwd') = 'x'", "expected a condition"),
        ("random() < 0.5", "expected a condition"),
        ("reason = ?", "expected a condition"),
        ("count(*) > 1", "expected a condition"),
        ("reason = 'a' AS b", "expected a condition"),
    ],
)
def test_anything_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(MartError, match=said):
        read_condition(text, COLUMNS)
