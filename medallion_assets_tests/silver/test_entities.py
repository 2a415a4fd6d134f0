"""A single-table design: several contracts of one DynamoDB table, each with the items of its entity."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.entity import can_both_match, parse_pattern
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.ledger.silver_contains import silver_contains
from medallion_assets.reconciliation.expected import expects_row
from medallion_assets.silver import batch
from medallion_assets.silver.membership import is_of_entity
from medallion_assets.silver.table import DELETED, OF_NO_ENTITY, QUARANTINE, SILVER
from medallion_assets.simulation.judge.reference_decoder import is_member
from medallion_assets_tests.silver.changes import Bench, contract, domain, record

KEY = ("PK", "SK")


def entity(name: str, where: dict[str, Any], columns: dict[str, Any], **more: Any) -> Contract:
    return contract(
        "App", {"PK": "string", "SK": "string", **columns}, key=KEY, name=name, where=where, drop=["Kind"], **more
    )


PROFILES = entity(
    "profiles", {"PK": "USER#*", "SK": "PROFILE"}, {"Name": {"type": "string", "rules": [{"required": True}]}}
)
DRAFTS = entity("drafts", {"PK": "DOC#*", "Kind": "draft"}, {"Title": "string"})
PAPERS = entity(
    "papers", {"PK": "DOC#*", "Kind": "paper"}, {"Title": {"type": "string", "rules": [{"required": True}]}}
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with _bench(tmp_path) as opened:
        yield opened


def _bench(folder: Path) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def opened() -> Iterator[Bench]:
        settings = LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region="eu-central-1")
        with Lake.open(settings) as lake:
            yield Bench(lake, open_store(str(folder / "bronze")), domain(PROFILES, DRAFTS, PAPERS))

    return opened()


def image(pk: str, sk: str, **more: str) -> dict[str, Any]:
    return {"PK": {"S": pk}, "SK": {"S": sk}, **{name: {"S": text} for name, text in more.items()}}


def change(number: int, before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    """A change from one image to another; None: there is no item."""
    keys = {name: (after or before or {})[name] for name in KEY}
    name = "INSERT" if before is None else "REMOVE" if after is None else "MODIFY"
    made = record("App", number, keys, after, name=name)
    if before is not None:
        made["dynamodb"]["OldImage"] = before
    return made


USER = image("USER#1", "PROFILE", Name="Ada")
DRAFT = image("DOC#1", "V1", Kind="draft", Title="One")
PAPER = image("DOC#1", "V1", Kind="paper", Title="One")
NEITHER = image("CACHE#1", "X")


def merge(bench: Bench) -> dict[str, batch.BatchResult]:
    """Merge what is pending into every table."""
    done = {}
    for one in bench.domain.tables:
        (done[one.lake_name],) = bench.merge_pending(one.lake_name)
        assert done[one.lake_name].published
    return done


def keys(bench: Bench, namespace: str = SILVER) -> dict[str, list[Any]]:
    column = "_deleted_by" if namespace == DELETED else "pk"
    return {
        one.lake_name: sorted(row[column] for row in bench.rows(one.lake_name, namespace=namespace))
        for one in bench.domain.tables
    }


def test_each_entity_has_its_table_and_what_is_of_none_is_counted_and_stays_in_bronze(bench: Bench) -> None:
    bench.put(change(1, None, USER), change(2, None, DRAFT), change(3, None, NEITHER), change(4, NEITHER, None))
    done = merge(bench)
    assert keys(bench) == {"profiles": ["USER#1"], "drafts": ["DOC#1"], "papers": []}
    assert {name: (one.merged, one.other_entities) for name, one in done.items()} == {
        "profiles": (1, 3),
        "drafts": (1, 3),
        "papers": (0, 4),
    }
    assert all(bench.rows(name, namespace=QUARANTINE) == [] for name in done), "of no entity is no mistake"
    for one in bench.domain.tables:
        assert bench.lake.table(SILVER, one.lake_name).properties[OF_NO_ENTITY] == "2"
        assert all(silver_contains(bench.lake, bench.store, one, name) for name in bench.store.list("App"))
        assert bench.remerge_day(one.lake_name)[0].merged == 0
        assert bench.lake.table(SILVER, one.lake_name).properties[OF_NO_ENTITY] == "2", "a rerun counts nothing again"


def test_an_item_that_changes_its_entity_leaves_one_table_and_comes_to_the_other(bench: Bench) -> None:
    bench.put(change(1, None, DRAFT))
    merge(bench)
    bench.put(change(2, DRAFT, PAPER))
    merge(bench)
    assert keys(bench) == {"profiles": [], "drafts": [], "papers": ["DOC#1"]}
    assert keys(bench, DELETED) == {"profiles": [], "drafts": ["moved"], "papers": []}
    bench.put(change(3, PAPER, PAPER | {"Title": {"S": "Two"}}), change(4, PAPER, DRAFT))
    merge(bench)
    assert keys(bench) == {"profiles": [], "drafts": ["DOC#1"], "papers": []}
    assert keys(bench, DELETED) == {"profiles": [], "drafts": [], "papers": ["moved"]}
    bench.put(change(5, DRAFT, None))
    merge(bench)
    assert keys(bench, DELETED) == {"profiles": [], "drafts": ["user"], "papers": ["moved"]}


def test_a_change_that_breaks_a_contract_is_quarantined_by_its_entity_only(bench: Bench) -> None:
    bench.put(change(1, None, image("DOC#2", "V1", Kind="paper")), change(2, None, image("USER#2", "PROFILE")))
    merge(bench)
    assert {one.lake_name: len(bench.rows(one.lake_name, namespace=QUARANTINE)) for one in bench.domain.tables} == {
        "profiles": 1,
        "drafts": 0,
        "papers": 1,
    }
    bench.put(change(3, image("DOC#2", "V1", Kind="paper"), image("DOC#2", "V1", Kind="draft")))
    merge(bench)
    assert bench.replay("papers").superseded == 1, "it has left the table"


def test_a_change_without_an_old_image_may_have_been_of_the_entity(bench: Bench) -> None:
    bench.put(change(1, None, DRAFT))
    merge(bench)
    amendment = change(2, None, PAPER) | {"eventName": "MODIFY"}
    bench.put(amendment)
    merge(bench)
    assert keys(bench) == {"profiles": [], "drafts": [], "papers": ["DOC#1"]}
    removal = change(3, PAPER, None)
    del removal["dynamodb"]["OldImage"]
    bench.put(removal)
    merge(bench)
    assert keys(bench)["papers"] == [] and keys(bench, DELETED)["profiles"] == [], "its key is not that of a user"


def test_every_order_of_changes_gives_the_same_tables(tmp_path: Path) -> None:
    changes = [change(1, None, DRAFT), change(2, DRAFT, PAPER), change(3, PAPER, DRAFT), change(4, DRAFT, NEITHER_DOC)]
    seen = set()
    for at, order in enumerate(itertools.permutations(changes)):
        with _bench(tmp_path / str(at)) as bench:
            bench.put(order[0], order[1])
            merge(bench)
            bench.put(*order[2:])
            merge(bench)
            seen.add(repr((keys(bench), keys(bench, DELETED))))
    assert seen == {
        repr(({"profiles": [], "drafts": [], "papers": []}, {"profiles": [], "drafts": ["moved"], "papers": ["moved"]}))
    }


NEITHER_DOC = image("DOC#1", "V1", Kind="old")


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ({"A": "x"}, {"A": "y"}, False),
        ({"A": "x*"}, {"A": "y*"}, False),
        ({"A": "x*"}, {"A": "xy*"}, True),
        ({"A": "x*"}, {"A": "xy"}, True),
        ({"A": "xy"}, {"A": "x*"}, True),
        ({"A": "x"}, {"A": "xy*"}, False),
        ({"A": "x"}, {"B": "y"}, True),
        ({"A": "x", "B": "y"}, {"A": "x", "B": "z"}, False),
        ({"A": "*"}, {"A": "anything"}, True),
        ({"A": 1}, {"A": True}, False),
    ],
)
def test_two_conditions_overlap_if_an_item_can_match_both(
    one: dict[str, Any], other: dict[str, Any], overlap: bool
) -> None:
    read = [{name: parse_pattern(written) for name, written in where.items()} for where in (one, other)]
    assert can_both_match(read[0], read[1]) == can_both_match(read[1], read[0]) == overlap


VALUES: list[Any] = [None, *({tag: text} for tag in "SN" for text in ("", "1", "12", "draft", "é")), {"BOOL": True}]
VALUES += [{"NULL": True}, {"B": "ZHJhZnQ="}, {"SS": ["draft"]}, {"L": [{"S": "draft"}]}]


def test_decode_reconciliation_and_judge_find_the_same_members() -> None:
    found = 0
    with duckdb.connect() as connection:
        for name, written in itertools.product(["Kind", "a.b", 'q"x', "a/b"], ["draft", "dr*", "*", 1, "é*", True]):
            told = contract("App", {"PK": "string"}, key="PK", name="x", drop=[name], where={name: written})
            images = [{"PK": {"S": "a"}} | ({name: one} if one else {}) for one in VALUES]
            connection.execute("CREATE OR REPLACE TABLE images (image VARCHAR)")
            connection.executemany("INSERT INTO images VALUES (?)", [[json.dumps(one)] for one in images])
            answers = connection.execute(
                f"SELECT {is_of_entity(told, 'image')}, {expects_row(told, 'image')} FROM images"
            ).fetchall()
            expected = [is_member(told, one) for one in images]
            assert answers == [(one, one) for one in expected], (name, written)
            found += sum(expected)
    assert found > len(VALUES)
