"""Our answers beside those that a real Trino gave, without a JVM: a change of the translation is seen here."""

from __future__ import annotations

import pytest

from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import MartError
from medallion_assets_tests.engines.differential.compare import agree, from_duckdb
from medallion_assets_tests.engines.differential.corpus import ROWS
from medallion_assets_tests.engines.differential.edges import TABLE, edge_rows
from medallion_assets_tests.engines.differential.ours import answer_select, show_usual_tables
from medallion_assets_tests.engines.differential.recorded import read_recorded, recorded_items
from medallion_assets_tests.engines.differential.usual import USUAL, Usual

RECORDED = read_recorded()
ADMITTED = 0.8
"""Of the usual SELECTs at least so many are admitted; the others are there to show their refusals."""


@pytest.mark.parametrize("family", [*ROWS, "aggregates", "windows"])
def test_our_answers_are_those_that_trino_gave(session: Embedded, family: str) -> None:
    session.show_rows("silver", TABLE, edge_rows())
    asked = [(item, theirs) for item, theirs in RECORDED.expressions.items() if item.family == family]
    assert asked
    for item, theirs in asked:
        ours = from_duckdb(session, item)
        assert agree(item, ours, theirs), f"{item.sql}\nours:   {ours}\nTrino's: {theirs}"


def test_what_is_recorded_is_the_corpus_of_today() -> None:
    """Nothing is recorded of an expression that is asked no more, and every new one that falls among them is there."""
    assert set(RECORDED.expressions) <= set(recorded_items())
    assert set(RECORDED.selects) == {usual.sql for usual in USUAL if usual.refused is None}


@pytest.mark.parametrize("usual", [one for one in USUAL if one.refused is None], ids=lambda one: one.sql[:60])
def test_a_usual_select_gives_what_trino_gave(session: Embedded, usual: Usual) -> None:
    show_usual_tables(session)
    assert answer_select(session, usual.sql) == RECORDED.selects[usual.sql]


@pytest.mark.parametrize("usual", [one for one in USUAL if one.refused is not None], ids=lambda one: one.sql[:60])
def test_a_usual_select_that_is_refused_names_the_way_out(session: Embedded, usual: Usual) -> None:
    show_usual_tables(session)
    with pytest.raises(MartError) as refused:
        answer_select(session, usual.sql)
    assert str(usual.refused) in str(refused.value)


def test_most_usual_selects_are_admitted() -> None:
    assert sum(usual.refused is None for usual in USUAL) / len(USUAL) >= ADMITTED
