"""An attribute that is declared, or dropped, while rows have it in `_extra`: the rows get the column, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.lake.snapshot import Contents
from medallion_assets.silver import fill
from medallion_assets.silver.batch import Merger
from medallion_assets.silver.fill import READ_AS, needs_fill
from medallion_assets.silver.table import SILVER
from medallion_assets_tests.silver.changes import Bench, bench_on_files, contract, domain, record

COLUMNS = {"Id": "string", "S": "struct<A:int>"}
LATER = {
    "Id": "string",
    "S": "struct<A:bigint,B:string>",
    "Amount": {"type": "decimal(8,2)", "rules": [{"min": 0}]},
    "amount": {"type": "int", "rename": "other_amount"},
    "Note": "json",
    "Never": "date",
    "Sold": {"type": "timestamp", "from": ["iso", "epoch_seconds"]},
    "Place": {"type": "string", "part": "{place}#{floor}", "source": "At"},
    "Floor": {"type": "int", "from": "text", "part": "{place}#{floor}", "source": "At"},
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on_files(tmp_path, contract("Things", COLUMNS, key="Id")) as opened:
        yield opened


def thing(number: int, key: str, **item: Any) -> dict[str, Any]:
    return record("Things", number, {"Id": {"S": key}}, item)


def fill_table(bench: Bench) -> None:
    bench.put(
        thing(1, "plain"),
        thing(2, "amounts", Amount={"N": "1.5"}, amount={"N": "2"}, Phone={"S": "555"}),
        thing(3, "note", Note={"M": {"x": {"N": "1.50"}}}, More={"S": "stays"}),
        thing(4, "null", Amount={"NULL": True}),
        thing(5, "struct", S={"M": {"A": {"N": "1"}, "B": {"S": "b"}}}),
        thing(6, "deeper", S={"M": {"A": {"N": "1"}, "B": {"S": "b"}, "C": {"S": "c"}}}),
        thing(7, "misfit", Amount={"S": "many"}),
        thing(9, "formats", Sold={"N": "86400"}, At={"S": "house#3"}),
        thing(10, "one part", At={"S": "house#attic"}),
        thing(8, "rule", Amount={"N": "-1"}, Phone={"S": "556"}),
    )
    (result,) = bench.merge_pending("things")
    assert result.published


def test_values_that_are_written_otherwise_are_filled_and_the_parts_of_a_text_together(bench: Bench) -> None:
    bench.put(
        thing(1, "fits", Price={"S": "007"}, Spot={"S": "HALL#a#2"}),
        thing(2, "price", Price={"S": "7.5"}, Spot={"S": "HALL#a#x"}),
        thing(3, "other", Price={"N": "7"}, Spot={"S": "HALL#a"}),
    )
    (result,) = bench.merge_pending("things")
    assert result.published
    spot = {"source": "Spot", "part": "HALL#{hall}#{floor}"}
    later = {"Price": {"type": "bigint", "from": "text", "default": 1}, "hall": {"type": "string", **spot}}
    bench.domain = domain(contract("Things", {**COLUMNS, **later, "floor": {"type": "int", **spot}}, key="Id"))
    assert len(bench.merge_pending("things")) == 1
    assert bench.merge_pending("things") == []
    found = {row["id"]: (row["price"], row["hall"], row["floor"], row["_extra"]) for row in bench.rows("things")}
    assert found == {
        "fits": (7, "a", 2, None),
        "price": (None, None, None, '{"Price":{"S":"7.5"},"Spot":{"S":"HALL#a#x"}}'),
        "other": (None, None, None, '{"Price":{"N":"7"},"Spot":{"S":"HALL#a"}}'),
    }


def declare_later(bench: Bench) -> None:
    bench.domain = domain(contract("Things", LATER, key="Id", drop=["Phone"]))


def state(bench: Bench) -> dict[str, tuple[Any, ...]]:
    found = {}
    for row in bench.rows("things"):
        extra = json.loads(row["_extra"]) if row["_extra"] else None
        found[row["id"]] = (row["s"], row["amount"], row["other_amount"], row["note"], row["never"], extra)
    return found


def test_only_rows_that_have_it_are_merged_again(bench: Bench) -> None:
    fill_table(bench)
    before = Contents.of(table := bench.lake.table(SILVER, "things"), table.metadata.current_snapshot_id)
    declare_later(bench)
    (filled,) = bench.merge_pending("things")
    assert (filled.published, filled.enriched, filled.rows_in, filled.merged) == (True, 7, 0, 0)
    found = state(bench)
    assert found["plain"] == (None, None, None, None, None, None)
    assert [str(one) for one in found["amounts"]] == ["None", "1.50", "2", "None", "None", "None"]
    assert found["note"] == (None, None, None, '{"x":1.50}', None, {"More": {"S": "stays"}})
    assert found["null"] == (None, None, None, None, None, None)
    assert found["struct"] == ({"a": 1, "b": "b"}, None, None, None, None, None)
    values, *_, extra = found["deeper"]
    assert values == {"a": 1, "b": "b"} and extra == {"S": {"M": {"A": {"N": "1"}, "B": {"S": "b"}, "C": {"S": "c"}}}}
    assert found["misfit"][-1] == {"Amount": {"S": "many"}} and found["misfit"][1] is None
    assert found["rule"][-1] == {"Amount": {"N": "-1"}} and found["rule"][1] is None
    formats = next(row for row in bench.rows("things") if row["id"] == "formats")
    assert str(formats["sold"]) == "1970-01-02 00:00:00+00:00" and (formats["place"], formats["floor"]) == ("house", 3)
    one_part = next(row for row in bench.rows("things") if row["id"] == "one part")
    assert one_part["place"] is None and one_part["_extra"] is not None, "all columns of an attribute, or none"
    table = bench.lake.table(SILVER, "things")
    after = Contents.of(table, table.metadata.current_snapshot_id)
    kept, now = ({file.file_path for file in one.data_files()} for one in (before, after))
    assert kept <= now and sum(file.record_count for file in after.data_files()) == 10 + 7, "no file is rewritten"
    assert bench.merge_pending("things") == [] and not needs_fill(table, bench.domain.by_name["things"])


def test_a_filled_row_is_what_the_change_becomes_under_the_new_contract(bench: Bench, tmp_path: Path) -> None:
    fill_table(bench)
    declare_later(bench)
    bench.merge_pending("things")
    found = state(bench)
    with bench_on_files(tmp_path / "fresh") as fresh:
        fresh.store = bench.store
        rules = {"quarantine_share": {"max": 1}}
        fresh.domain = domain(contract("Things", LATER, key="Id", drop=["Phone"], rules=rules))
        assert fresh.merge_pending("things")[0].quarantined == 3
        assert {name: row for name, row in found.items() if name not in {"misfit", "rule", "one part"}} == state(fresh)


def test_a_crash_between_the_columns_and_the_values_is_made_up_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_table(bench)
    declare_later(bench)
    with monkeypatch.context() as patch:
        patch.setattr(Merger, "_plan", _fail)
        with pytest.raises(RuntimeError, match="crash"):
            bench.merge_pending("things")
    assert "amount" in bench.lake.table(SILVER, "things").schema().column_names
    monkeypatch.setattr(fill, "MAX_ROWS", 4)
    monkeypatch.setattr("medallion_assets.silver.batch.MAX_ROWS", 4)
    bench.put(thing(11, "amounts", Amount={"N": "3"}))
    results = bench.merge_pending("things")
    assert [(one.enriched, one.updated) for one in results] == [(4, 0), (3, 0), (0, 1)]
    found = state(bench)
    assert str(found["amounts"][1]) == "3.00" and found["struct"][0] == {"a": 1, "b": "b"}
    assert json.loads(bench.lake.table(SILVER, "things").properties[READ_AS])["Phone"] is None


def _fail(*_: object) -> None:
    raise RuntimeError("crash")
