"""A table whose values are written otherwise goes the whole way: merged, verified, repaired, replayed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from medallion_assets.repair.repair import repair
from medallion_assets_tests.repair.source import Clock, Item, Items
from medallion_assets_tests.silver.changes import bench_on_files, contract, domain, record

_PART = {"source": "SK", "part": "ORDER#{order}#{line}"}
COLUMNS: dict[str, Any] = {
    "PK": "string",
    "SK": "string",
    "order": {"type": "string", **_PART},
    "line": {"type": "int", **_PART, "rules": [{"max": 90}]},
    "pennies": {"type": "bigint", "from": "text", "rules": [{"min": 0}]},
    "price": {"type": "decimal(12,2)", "from": ["number", "text"], "fraction": "round"},
    "active": {"type": "bool", "from": ["bool", "text"], "default": False},
    "at": {"type": "timestamp", "from": ["iso", "epoch_seconds", "epoch_millis"], "zone": "Europe/Berlin"},
    "day": {"type": "date", "from": "dd.MM.yyyy", "empty_as_null": True},
    "note": {"type": "string", "empty_as_null": True},
}
RULES = {"quarantine_share": {"max": 1}}


def item(line: str, **more: Any) -> Item:
    made: Item = {
        "PK": {"S": "USER#1"},
        "SK": {"S": f"ORDER#7#{line}"},
        "pennies": {"S": f"0{line}50"},
        "price": {"N": "1.005"},
        "active": {"S": "Yes"},
        "at": {"S": "2026-10-25T02:30:00"},
        "day": {"S": "31.01.2026"},
        "note": {"S": ""},
    }
    return {**made, **more}


def test_merge_verify_repair_and_replay_agree_on_what_the_texts_mean(tmp_path: Path) -> None:
    wanted = contract("App", COLUMNS, key=("PK", "SK"), rules=RULES)
    with bench_on_files(tmp_path, wanted) as bench:
        source, clock = Items(wanted), Clock()
        runs = iter(f"repair{number}" for number in range(9))

        def hear(number: int, one: Item | None, key: Item) -> None:
            bench.put(record("App", number * 10, {name: key[name] for name in ("PK", "SK")}, one))

        def merge() -> None:
            assert all(result.published for result in bench.merge_pending("app"))

        def differences(*, dry_run: bool) -> tuple[int, int, int, int]:
            found = repair(
                bench.lake,
                bench.domain,
                bench.domain.by_name["app"],
                source=source,
                store=bench.store,
                reason="a test",
                run_id=next(runs),
                catch_up=clock.catch_up(),
                merge_seconds=20,
                dry_run=dry_run,
            ).comparison
            return found.missing, found.extra, found.different, found.in_quarantine

        items = [
            item("1"),
            item("2", at={"N": "1700000000.5"}, price={"S": "2.994"}, active={"BOOL": True}),
            item("3", at={"S": "1700000000123"}, day={"S": ""}, note={"S": "x"}),
            {"PK": {"S": "USER#1"}, "SK": {"S": "ORDER#7#4"}},
        ]
        bad = [
            item("5", pennies={"S": "-1"}),  # breaks the rule
            item("6", day={"S": "31.02.2026"}),
            item("7", SK={"S": "ORDER#7"}),
            item("91"),  # breaks the rule of a part
        ]
        for number, one in enumerate([*items, *bad], start=1):
            source.put(one)
            hear(number, one, one)
        clock.waited = merge
        merge()
        rows = sorted(bench.rows("app"), key=lambda row: row["line"])
        assert [(row["order"], row["line"], row["pennies"], str(row["price"])) for row in rows] == [
            ("7", 1, 150, "1.01"),
            ("7", 2, 250, "2.99"),
            ("7", 3, 350, "1.01"),
            ("7", 4, None, "None"),
        ]
        assert [row["active"] for row in rows] == [True, True, True, False]
        assert rows[0]["at"] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        assert (rows[0]["day"], rows[2]["day"], rows[0]["note"], rows[2]["note"]) == (
            date(2026, 1, 31),
            None,
            None,
            "x",
        )
        reasons = {row["column_name"]: row["reason"] for row in bench.rows("app", namespace="quarantine")}
        assert reasons == {
            "pennies": "breaks the rule min 0",
            "day": 'expected date from dd.MM.yyyy, saw {"S":"31.02.2026"}',
            "order": 'expected string, a part of ORDER#{order}#{line}, saw {"S":"ORDER#7"}',
            "line": "breaks the rule max 90",
        }
        assert differences(dry_run=True) == (0, 0, 0, 4)
        # Capture misses a change, an item and a deletion.
        source.put(item("1", pennies={"S": "9"}))
        source.put(item("8"))
        source.delete(items[1])
        assert differences(dry_run=True) == (1, 1, 1, 4)
        differences(dry_run=False)
        assert differences(dry_run=True) == (0, 0, 0, 4)
        assert sorted((row["line"], row["pennies"]) for row in bench.rows("app")) == [
            (1, 9),
            (3, 350),
            (4, None),
            (8, 850),
        ]
        # The contract is corrected, and what waited in quarantine comes in.
        wider = {**COLUMNS, "line": {"type": "int", **_PART}, "pennies": {"type": "bigint", "from": "text"}}
        bench.domain = domain(contract("App", wider, key=("PK", "SK"), rules=RULES))
        assert bench.replay("app").resolved == 2
        assert differences(dry_run=True) == (0, 0, 0, 2)
        # A deletion needs no more than its key, also of an item that is in quarantine.
        source.delete(bad[2])
        hear(20, None, bad[2])
        hear(21, None, items[0])
        source.delete(items[0])
        merge()
        assert sorted(row["line"] for row in bench.rows("app")) == [3, 4, 5, 8, 91]
        assert differences(dry_run=True) == (0, 0, 0, 1)
