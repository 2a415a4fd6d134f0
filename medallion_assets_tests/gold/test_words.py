"""A word of SQL is a name like any other: of tables, columns, keys, partitions and marts, through all layers."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from medallion_assets.testing import open_pipeline

WORDS = re.findall(
    r"\w+",
    """
    all any array as asc at between case column cross current_date date day default desc distinct element end exists
    false filename file_row_number from full group having in interval into is join key lateral left like limit list map
    name natural not null offset on order over partition pivot position primary qualify range rank right row rowid rows
    select set struct table then time timestamp to true union unique user using value values when where window with
    """,
)


def write_domain(folder: Path) -> Path:
    """Return a domain in which every name is one of the words."""
    mart = folder / "marts" / "select"
    mart.mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "domain.yaml").write_text("since: 2026-01-01\n")
    rules = "[{required: true}, {pattern: '.*'}, {min: a}, {values: [a, b], severity: warn}]"
    columns = "\n".join(f"  {word}: {{type: string, rename: '{word}', rules: {rules}}}" for word in WORDS)
    (folder / "tables/order.yaml").write_text(
        "table: Order\nowner: team:x\nkey: {hash: select, range: from}\n"
        f"columns:\n{columns}\n  Year: {{type: timestamp, rules: [{{required: true}}]}}\n"
        "partition: [{column: year, transform: day}, {column: group}]\n"
    )
    (folder / "tables/user.yaml").write_text(
        "table: User\nowner: team:x\nkey: {hash: table}\n"
        "columns: {table: string, end: {type: string, rules: [{references: case}]}}\n"
        "enrich: [{table: case, on: end, columns: {select: order}}]\n"
    )
    (folder / "tables/case.yaml").write_text(
        "table: Case\nowner: team:x\nkey: {hash: end}\ncolumns: {end: string, order: string}\n"
    )
    (mart / "mart.yaml").write_text(
        "owner: team:x\ngrain: [group, order]\npartition: {column: group, table: order, day_of: year}\n"
        "columns: {group: date, order: {type: string, rules: [{required: true}, {min: a}]}, count: bigint}\n"
    )
    (mart / "query.sql").write_text(
        'SELECT CAST("year" AS DATE) AS "group", "order", COUNT(*) AS "count" FROM silver."order" '
        'GROUP BY CAST("year" AS DATE), "order"'
    )
    return folder


def test_words_of_sql_are_names_through_all_layers(tmp_path: Path) -> None:
    item = dict.fromkeys(WORDS, "a") | {"Year": "2026-03-01T00:00:00Z"}
    with open_pipeline(write_domain(tmp_path / "words"), tmp_path / "lake") as pipeline:
        pipeline.put("Order", item)
        pipeline.put("Order", item | {"from": "b"})
        pipeline.put("Case", {"end": "e", "order": "before"})
        pipeline.put("User", {"table": "t", "end": "e"})
        pipeline.run()
        pipeline.put("Order", item | {"order": "b"})
        pipeline.delete("Order", {"select": "a", "from": "b"})
        pipeline.put("Case", {"end": "e", "order": "after"})
        pipeline.run()
        day = date(2026, 3, 1)
        assert pipeline.query('SELECT "group", "order", "count" FROM gold."select"') == [
            {"group": day, "order": "b", "count": 1}
        ]
        assert pipeline.query('SELECT "table", "select" FROM silver."user"') == [{"table": "t", "select": "after"}]
        (row,) = pipeline.query('SELECT * FROM silver."order"')
    assert {word: row[word] for word in WORDS} == dict.fromkeys(WORDS, "a") | {"order": "b"}
