"""Each expression that a mart may hold, and the SELECTs that people usually write, in DuckDB and in a real Trino."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION
from medallion_assets_tests.engines.differential.compare import ERROR, Answer, agree
from medallion_assets_tests.engines.differential.corpus import Item, corpus
from medallion_assets_tests.engines.differential.recorded import read_recorded
from medallion_assets_tests.real_engines.artifacts import TRINO_SERVER
from medallion_assets_tests.real_engines.differential import Differential
from medallion_assets_tests.real_engines.trino import Trino

NESTED = int(os.environ.get("DIFFERENTIAL_NESTED", "200"))
"""How many expressions of expressions are asked, beside each template with each of its leaves."""

STRICTER = {
    "avg(n)": "a mean of whole numbers whose sum passes 2^53",
    "CAST(power(1000000, 3) AS decimal(38,0))": "a power beyond 2^53",
    "from_iso8601_timestamp('2026-W01-1')": "a week date",
    "CAST(date_parse('2026-1-5', '%Y-%m-%d') AS date)": "fewer digits than the format has",
    "json_extract_scalar('{\"a\":1', '$.a')": "text that is no JSON",
}
"""What we refuse at run time, with an error, where Trino gives a value: never another value."""


@pytest.fixture(scope="module")
def suite(trino: Trino, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Differential]:
    folder: Path = tmp_path_factory.mktemp("differential")
    with Lake.open(LakeSettings(warehouse=str(folder), catalog="sqlite", region=REGION)) as lake:
        yield Differential(trino, lake)


@pytest.fixture(scope="module")
def answers(suite: Differential) -> list[tuple[Item, Answer, Answer | None]]:
    return suite.ask(corpus(NESTED))


def test_both_engines_agree_in_value_and_type(answers: list[tuple[Item, Answer, Answer | None]]) -> None:
    different = [
        f"{item.sql}\n  DuckDB: {ours}\n  Trino:  {theirs}"
        for item, ours, theirs in answers
        if theirs is not None and not agree(item, ours, theirs)
    ]
    assert not different, "\n".join(different)


def test_a_mart_by_trino_receives_each_value_in_its_declared_type(
    suite: Differential, answers: list[tuple[Item, Answer, Answer | None]]
) -> None:
    """Through the client, its reading and Arrow, as a refresh gets them."""
    received = suite.received(answers)
    assert not received.different, "\n".join(received.different)
    assert received.equal > 0.9 * len(answers)


def test_the_usual_selects_give_the_same_rows(suite: Differential) -> None:
    for sql, (ours, theirs) in suite.selects().items():
        assert ours == theirs, sql


def test_the_recorded_answers_are_those_of_this_trino(suite: Differential) -> None:
    recorded = read_recorded()
    assert recorded.version == TRINO_SERVER.version
    items = list(recorded.expressions)[::10]
    for item, _, theirs in suite.ask(items):
        assert theirs == recorded.expressions[item]


@pytest.mark.parametrize("expression", STRICTER)
def test_where_we_are_stricter_it_is_an_error_and_no_other_value(suite: Differential, expression: str) -> None:
    item = Item("aggregates" if expression.startswith("avg(") else "values", expression)
    ((_, ours, theirs),) = suite.ask([item])
    assert theirs is not None
    assert ERROR in ours.values.values()
    assert all(value in {ERROR, theirs.values[key]} for key, value in ours.values.items())
