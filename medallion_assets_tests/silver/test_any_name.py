"""A column may have any name, also one that our own SQL uses: every word of that SQL, as key and as another column."""

from __future__ import annotations

import ast
import itertools
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import medallion_assets
from medallion_assets.contracts.names import identifier, snake_case
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.ledger.silver_contains import silver_contains
from medallion_assets.silver.published import audit_published
from medallion_assets.silver.table import DELETED, QUARANTINE
from medallion_assets_tests.silver.changes import NOON, Bench, bench_on_files, contract, record

_ROOMS = ("capture", "checks", "contracts", "engines", "gold", "lake", "ledger", "reconciliation", "repair", "silver")
_A_TEST = 6


def words_of_our_sql() -> list[str]:
    """Every word that could be a column, in every text of the rooms that write SQL."""
    found: set[str] = set()
    for room in _ROOMS:
        for file in sorted((Path(medallion_assets.__file__).parent / room).glob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_sql(node.value):
                    found.update(re.findall(r"(?<!\w)[a-z][a-z0-9_]*", node.value))
    return sorted(word for word in found - {"version"} if snake_case(word) == word)


def _is_sql(text: str) -> bool:
    return re.search(r"\b(SELECT|FROM|WHERE|JOIN|CASE|AS|USING|PARTITION|ANTI|WITH)\b", text) is not None


WORDS = words_of_our_sql()


def columns(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, "string")


def item(*names: str, value: str) -> dict[str, Any]:
    return {name: {"S": f"{value} {name}"} for name in names}


def test_the_words_are_those_of_the_sql() -> None:
    assert {"event_name", "keys", "removed", "image", "incoming", "older", "row", "verdict", "bucket"} <= set(WORDS)
    assert len(WORDS) > 200
    for word in WORDS:
        assert identifier(word) == word


def test_every_word_of_our_sql_is_a_column_with_the_values_of_its_attribute(tmp_path: Path) -> None:
    """The value is the item's in Silver, in an enriched column, in the audit, in quarantine and after a replay."""
    shared = WORDS[::2]
    others = contract("Others", {"OtherID": "string", **columns(*WORDS)}, key="OtherID")
    things = contract(
        "Things",
        {"ThingID": "string", "ItsOther": "string", **columns(*shared)},
        key="ThingID",
        enrich=[{"table": "others", "on": "its_other", "columns": {word: word for word in WORDS[1::2]}}],
    )
    with bench_on_files(tmp_path, others, things) as bench:
        bench.put(record("Others", 1, {"OtherID": {"S": "o"}}, item(*WORDS, value="first")))
        bench.put(
            record("Things", 1, {"ThingID": {"S": "t"}}, {"ItsOther": {"S": "o"}, **item(*shared, value="thing")})
        )
        bench.put(record("Things", 2, {"ThingID": {"S": "u"}}, item(*shared, value="gone")))
        bench.put(record("Things", 3, {"ThingID": {"S": "u"}}, None))
        for table in ("others", "things"):
            assert [result.published for result in bench.merge_pending(table)] == [True]
        bench.put(record("Others", 2, {"OtherID": {"S": "o"}}, item(*WORDS, value="second")))
        for table in ("others", "things"):
            bench.merge_pending(table)
        (other,), (thing,) = bench.rows("others"), bench.rows("things")
        assert {word: other[word] for word in WORDS} == {word: f"second {word}" for word in WORDS}
        wanted = {word: f"thing {word}" for word in shared} | {word: f"second {word}" for word in WORDS[1::2]}
        assert {word: thing[word] for word in wanted} == wanted
        assert thing["_extra"] is None
        names = ["keys", "columns", "bronze_counts", "quarantine_rate"]
        checks = audit_published(
            bench.lake, bench.store, things, bench.domain, names=names, now=NOON, engine=EmbeddedEngine(bench.lake)
        )
        assert {check.name: check.passed for check in checks} == dict.fromkeys(names, True)


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """Return the words as pairs: each is the hash or the range key of one table."""
    return list(itertools.pairwise([*words, words[0]]))[::2]


@pytest.mark.parametrize("pair", [("event_name", "keys"), ("image", "row"), ("older", "object")], ids="-".join)
def test_a_word_of_our_sql_is_a_key(tmp_path: Path, pair: tuple[str, str]) -> None:
    keys_are_merged_deleted_and_replayed(tmp_path, *pair)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(WORDS) // 2, _A_TEST))
def test_every_word_of_our_sql_is_a_key(tmp_path: Path, first: int) -> None:
    for number, pair in enumerate(pairs(WORDS)[first : first + _A_TEST]):
        keys_are_merged_deleted_and_replayed(tmp_path / str(number), *pair)


def keys_are_merged_deleted_and_replayed(folder: Path, hash_key: str, range_key: str) -> None:
    """Two items: one is updated, one deleted and updated by an older change afterwards; a bad change is replayed."""
    things = contract("Things", {**columns(hash_key, range_key), "Version": "int"}, key=(hash_key, range_key))
    with bench_on_files(folder, things) as bench:
        a, b = (item(hash_key, range_key, value=value) for value in "ab")
        put(bench, 1, a, "1")
        put(bench, 2, b, "1")
        put(bench, 2, b, "1")
        put(bench, 3, a, "2")
        put(bench, 4, a, "bad")
        assert [(one.published, one.quarantined) for one in bench.merge_pending("things")] == [(True, 1)]
        bench.put(record("Things", 9, b, None))
        put(bench, 5, a, "3")
        bench.merge_pending("things")
        put(bench, 8, b, "8")
        (late,) = bench.merge_pending("things")
        assert (late.superseded, late.merged) == (1, 0)
        (row,), (gone,) = bench.rows("things"), bench.rows("things", namespace=DELETED)
        assert (row[hash_key], row[range_key], row["version"]) == (f"a {hash_key}", f"a {range_key}", 3)
        assert (gone[hash_key], gone[range_key]) == (f"b {hash_key}", f"b {range_key}")
        (rerun,) = bench.remerge_day("things", now=NOON + timedelta(hours=1))
        assert (rerun.published, rerun.merged) == (True, 0)
        assert bench.replay("things").superseded in {0, 1}
        assert {row["status"] for row in bench.rows("things", namespace=QUARANTINE)} == {"superseded"}
        assert all(silver_contains(bench.lake, bench.store, things, name) for name in bench.store.list("Things"))


def put(bench: Bench, sequence: int, key: dict[str, Any], value: str) -> None:
    bench.put(
        record("Things", sequence, key, {"Version": {"N": value}} if value != "bad" else {"Version": {"S": value}})
    )
