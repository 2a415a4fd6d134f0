"""A workload file says what is wrong with it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import load_domain, load_yaml
from medallion_assets.errors import ContractError
from medallion_assets.gold.spec import load_marts
from medallion_assets.local.workload import Value, load_workload, oldest_day
from medallion_assets_tests.fixtures import FLEET


@pytest.mark.parametrize("domain", ["ecommerce", "fundraiser", "laundry", FLEET])
def test_shipped_workloads_agree_with_their_contracts(domain: str) -> None:
    loaded = load_domain(domain)
    assert set(load_workload(loaded).tables) == set(loaded.by_name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("burst:", "bursts:", r"bursts: unknown key; expected one of words, tables, burst, redelivered"),
        ("  vehicles:\n    initial", "  vans:\n    initial", r"tables.vans: no such table; expected one of trips, veh"),
        ("{moment: timestamp}", "{moment: hour}", r"tables.trips.item.StartedAt.moment: .*'hour'"),
        ("{moment: timestamp}", "{moment: date}", r"tables.trips.item.StartedAt: the contract says timestamp; moment"),
        ("TripNo: {sequence: 1}", "TripNo: {choice: [1, 2]}", r"tables.trips.item.TripNo: no key attribute counts"),
        ("TripNo: {sequence: 1}\n", "\n", r"tables.trips.item.TripNo: missing; every key attribute needs a value"),
        ("{sequence: 1}", "{sequence: 1, share: 0.5}", r"item.TripNo.share: a key attribute is in every item"),
        (
            "{sequence: 1}",
            "{sequence: 1, text: a}",
            r"item.TripNo: a value says exactly one of .*\['text', 'sequence'\]",
        ),
        ("{text: 'trace {n}'", "{text: 'trace {m}'", r"item.Debug.text: \['m'\] unknown; expected \{n\} or .*'name'"),
        ("{text: 'trace {n}'", "{text: 'trace {n:q}'", r"item.Debug.text: 'trace \{n:q\}' is not a template"),
        ("{text: 'trace {n}'", "{text: 'trace {n', ", r"unknown key|not a template|not readable"),
        ("reference: vehicles", "reference: trips", r"item.VehicleNo.reference: 'trips' is not a table listed before"),
        ("update: [Distance, Stops]", "update: [TripNo]", r"tables.trips.update: 'TripNo' is not an attribute of item"),
        ("update: [Distance, Stops]\n", "\n", r"tables.trips.update: missing; traffic.update is 6"),
        (
            "{min: 0.100, max: 420.999}",
            "{min: 0.1001, max: 4}",
            r"item.Distance: .* says decimal\(9,3\); number has 4 ",
        ),
        ("{min: 0.100, max: 420.999}", "{min: 9, max: 4}", r"item.Distance.number: min 9 is above max 4"),
        ("Plate: {text: 'FL-{n:03}'}", "Plate: {sequence: 1}", r"item.Plate: the contract says string; sequence does"),
        ("fragile]}, min: 1", "fragile]}, min: 0", r"item.Skills: .* set<string>; list.min 0 would write an empty set"),
        (
            "kwh: {number: {min: 1.00",
            "kwh: {number: {min: 1.001",
            r"item.Fuel.map.kwh: .* decimal\(6,2\); number has 3",
        ),
        (
            "Badge: {number: {min: 1,",
            "Badge: {number: {min: 0.5,",
            r"item.Driver.map.Badge: the contract says int; num",
        ),
        ("{choice: [sun, rain]", "{choice: {sun: 0}", r"item.Weather: choice: every weight is 0"),
        ("chance: 0.02", "chance: 2", r"burst.chance: .*less than or equal to 1, found 2"),
        ("name: [Ana, Ben, Cleo, Dev]", "name: []", r"words.name: empty"),
    ],
)
def test_a_mistake_is_named_by_file_and_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    folder = tmp_path / "fleet"
    shutil.copytree(FLEET, folder)
    file = folder / "workload.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ContractError, match=said) as raised:
        load_workload(load_domain(str(folder)))
    assert str(file) in str(raised.value)


def test_a_domain_without_a_workload_is_told_which_file_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    shutil.copytree(FLEET, folder)
    (folder / "workload.yaml").unlink()
    with pytest.raises(ContractError, match=r"workload.yaml: no such file"):
        load_workload(load_domain(str(folder)))


def test_traffic_that_never_writes_is_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    shutil.copytree(FLEET, folder)
    file = folder / "workload.yaml"
    lines = [line for line in file.read_text().splitlines() if "traffic:" not in line]
    file.write_text("\n".join(lines))
    with pytest.raises(ContractError, match="tables: every traffic weight is 0"):
        load_workload(load_domain(str(folder)))


def test_the_oldest_day_is_that_of_the_rows_that_make_up_the_days_of_marts() -> None:
    """Orders go back 120 days; customers go back 600, but no mart has their days."""
    shop = load_domain("ecommerce")
    workload, marts, today = load_workload(shop), load_marts(shop), date(2026, 6, 1)
    assert oldest_day(shop, marts, workload, today=today) == today - timedelta(days=120)
    assert oldest_day(shop, [], workload, today=today) == today
    assert oldest_day(replace(shop, since=date(2026, 5, 1)), marts, workload, today=today) == date(2026, 5, 1)


def test_a_key_of_a_choice_is_the_value_that_it_would_be_anywhere_else(tmp_path: Path) -> None:
    path = tmp_path / "value.yaml"
    path.write_text("choice: {10: 1, '11': 2, 1.50: 3, true: 4, yes: 5, 2026-01-31: 6, 02142: 7}")
    choice = load_yaml(Value, path).choice
    assert choice is not None
    assert [(type(value), value) for value in choice] == [
        *[(int, 10), (str, "11"), (Decimal, Decimal("1.50")), (bool, True), (str, "yes"), (str, "2026-01-31")],
        (int, 2142),
    ]
    path.write_text("choice: {10: 1, 0xA: 2}")
    with pytest.raises(ContractError, match=r"value\.yaml: choice: one value stands twice \(line 1\)"):
        load_yaml(Value, path)
