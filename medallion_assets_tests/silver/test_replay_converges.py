"""Any order of merges, corrections, replays and reruns ends as if every change had been valid from the start.

The oracle folds the change log with the corrected contract, in plain Python.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.model import Contract
from medallion_assets.silver import replay as replay_module
from medallion_assets.silver.table import DELETED, QUARANTINE
from medallion_assets_tests.silver.changes import Bench, Item, bench_on_files, contract, domain, record

CUSTOMERS = contract("Customers", {"Id": "string", "Region": "string"}, key="Id")
STRICT, CORRECTED = 10, 100

Change = tuple[str, int, str, str | None]
"""Table, sequence number, key, and the amount or region; None is a deletion. Of amounts, 5 is always valid, 50 once the
contract is corrected, 500 and 1.5 never."""


def orders(most: int) -> Contract:
    return contract(
        "Orders",
        {"Id": "string", "Customer": "string", "Amount": {"type": "int", "rules": [{"max": most}]}},
        key="Id",
        enrich=[{"table": "customers", "on": "customer", "columns": {"region": "region"}}],
        rules={"quarantine_share": {"max": 1}},
    )


def as_record(change: Change) -> dict[str, Any]:
    table, sequence, key, value = change
    new: Item = {"Region": {"S": value}} if table == "Customers" else {"Customer": {"S": "c"}, "Amount": {"N": value}}
    return record(table, sequence, {"Id": {"S": key}}, None if value is None else new)


def valid(value: str | None, most: int) -> bool:
    return value is None or (value.isdecimal() and int(value) <= most)


@st.composite
def change_logs(draw: st.DrawFn) -> list[Change]:
    """Changes in the order they happened; sequence numbers of widths that order differently as text."""
    log: list[Change] = []
    sequence = draw(st.sampled_from([1, 95, 10**20 - 3]))
    amounts = st.sampled_from(["5", "50", "50", "500", "1.5", None])
    for _ in range(draw(st.integers(2, 14))):
        sequence += draw(st.integers(1, 5))
        if draw(st.sampled_from([False, False, False, True])):
            log.append(("Customers", sequence, "c", draw(st.sampled_from(["EU", "US"]))))
        else:
            log.append(("Orders", sequence, draw(st.sampled_from(["a", "b"])), draw(amounts)))
    return log


@st.composite
def histories(draw: st.DrawFn, log: list[Change]) -> list[list[Change] | str]:
    """The log in any order, some of it twice, in captured batches, with anything that may happen in between."""
    copies = [change for change in log for _ in range(draw(st.sampled_from([1, 1, 2])))]
    shuffled = draw(st.permutations(copies))
    acts = st.sampled_from(["merge", "merge", "rerun", "replay", "replay", "replay that dies", "some"])
    steps: list[list[Change] | str] = []
    while shuffled:
        size = draw(st.integers(1, len(shuffled)))
        steps += [shuffled[:size], *draw(st.lists(acts, max_size=3))]
        shuffled = shuffled[size:]
    steps.insert(draw(st.integers(0, len(steps))), "correct")
    return [*steps, "merge", draw(st.sampled_from(["replay", "rerun"]))]


class Died(BaseException):
    """The process ends here."""


def do(bench: Bench, step: list[Change] | str) -> None:
    match step:
        case list():
            bench.put(*map(as_record, step))
        case "correct":
            bench.domain = domain(CUSTOMERS, orders(CORRECTED))
        case "merge" | "rerun":
            for table in ("customers", "orders"):
                results = bench.merge_pending(table) if step == "merge" else bench.remerge_day(table)
                assert all(result.published for result in results)
        case "replay":
            bench.replay("orders")
        case "some":
            bench.replay("orders", where="json_extract_scalar(keys, '$.Id.S') = 'a' AND reason LIKE 'breaks%'")
        case _:
            with pytest.MonkeyPatch.context() as dying, pytest.raises(Died):
                dying.setattr(replay_module, "close_rows", _die)
                bench.replay("orders")
                raise Died  # nothing was quarantined


def _die(*_: Any, **__: Any) -> None:
    raise Died


def stored(bench: Bench) -> dict[str, tuple[int, Any, Any]]:
    """Each order's newest sequence number, amount (None when deleted) and region."""
    rows = [*bench.rows("orders", namespace=DELETED), *bench.rows("orders")]
    return {row["id"]: (int(row["_sequence_number"]), row.get("amount"), row.get("region")) for row in rows}


def expected(log: list[Change]) -> dict[str, tuple[int, Any, Any]]:
    regions: list[str | None] = [None]
    regions += [value for table, _, _, value in sorted(log, key=lambda change: change[1]) if table == "Customers"]
    return {
        key: (sequence, None if value is None else int(value), None if value is None else regions[-1])
        for table, sequence, key, value in sorted(log, key=lambda change: change[1])
        if table == "Orders" and valid(value, CORRECTED)
    }


def check_quarantine(bench: Bench, log: list[Change]) -> None:
    """Every change that is in quarantine says what became of it, and none that should be there is missing."""
    silver = {key: sequence for key, (sequence, _, _) in stored(bench).items()}
    changes = {sequence: (key, value) for table, sequence, key, value in log if table == "Orders"}
    rows = bench.rows("orders", namespace=QUARANTINE) if bench.lake.find(QUARANTINE, "orders") is not None else []
    statuses = {int(row["sequence_number"]): row["status"] for row in rows}
    never = {sequence for sequence, (_, value) in changes.items() if not valid(value, CORRECTED)}
    assert never <= statuses.keys() <= {n for n, (_, value) in changes.items() if not valid(value, STRICT)}
    for sequence, status in statuses.items():
        overtaken = silver.get(changes[sequence][0], 0) > sequence
        if sequence in never:
            assert status == ("superseded" if overtaken else "open")
        else:
            assert status in ({"superseded", "resolved"} if overtaken else {"resolved"})


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_interleaving_ends_as_if_the_corrected_contract_had_been_there_from_the_start(data: st.DataObject) -> None:
    log = data.draw(change_logs())
    with tempfile.TemporaryDirectory() as folder, bench_on_files(Path(folder), CUSTOMERS, orders(STRICT)) as bench:
        before: dict[str, tuple[int, Any, Any]] = {}
        for step in data.draw(histories(log)):
            do(bench, step)
            now = stored(bench)
            assert all(now[key][0] >= sequence for key, (sequence, _, _) in before.items()), "a key went back"
            before = now
        assert stored(bench) == expected(log)
        check_quarantine(bench, log)
        do(bench, "rerun")  # it may set `_captured_at` to the earliest delivery
        snapshots = bench.snapshots("orders")
        do(bench, "replay")
        do(bench, "rerun")
        assert bench.snapshots("orders") == snapshots
        assert stored(bench) == expected(log)
        check_quarantine(bench, log)
