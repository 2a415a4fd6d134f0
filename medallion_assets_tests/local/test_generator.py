"""The same seed writes the same; what is written keeps to the contracts and shows everything the workload asks for."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.local.generator import Change, Generator
from medallion_assets.local.workload import Workload, load_workload
from medallion_assets.reconciliation.reference_decoder import row_of
from medallion_assets_tests.fixtures import FLEET

START = datetime(2026, 1, 26, 10, 30, tzinfo=UTC)
DOMAINS: dict[str, tuple[Domain, Workload]] = {
    name: (domain := load_domain(name), load_workload(domain)) for name in ("ecommerce", FLEET)
}


def changes(name: str, seed: int, count: int, *, rate: float = 50.0) -> list[Change]:
    domain, workload = DOMAINS[name]
    generator = Generator(domain, workload, seed=seed, start=START)
    return [*generator.initial(), *islice(generator.live(rate=rate, start=START), count)]


def replayed(written: list[Change]) -> Iterator[tuple[Change, dict[Any, dict[str, Any]]]]:
    """Every change with the items as they were before it; DynamoDB's own rules are asserted on the way."""
    items: dict[Any, dict[str, Any]] = {}
    for change in written:
        yield change, items
        key = (change.table, *change.key.values())
        match change.kind:
            case "insert" | "touch":
                assert change.key.items() <= change.attributes.items()
                items[key] = dict(change.attributes)
            case "update":
                assert not change.key.keys() & change.attributes.keys()
                items[key] = {**items[key], **change.attributes}
            case "delete":
                del items[key]


@pytest.mark.parametrize("name", DOMAINS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_writes_the_same(name: str, seed: int) -> None:
    assert changes(name, seed, 120) == changes(name, seed, 120)


def test_another_seed_writes_something_else() -> None:
    assert changes(FLEET, 1, 50) != changes(FLEET, 2, 50)


def test_another_process_writes_the_same_whatever_its_hash_seed() -> None:
    """Iterating a set of text would differ from process to process."""
    code = (
        "from medallion_assets_tests.local.test_generator import *;"
        "print([(c.table, c.kind, c.key, list(c.attributes.items())) for c in changes('ecommerce', 7, 300)])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize("name", DOMAINS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_write_is_one_that_an_application_could_make(name: str, seed: int) -> None:
    """Inserts are of new keys; updates, deletes and touches of keys that are there; a touch changes nothing."""
    for change, items in replayed(changes(name, seed, 400)):
        key = (change.table, *change.key.values())
        assert (key in items) == (change.kind != "insert")
        if change.kind == "touch":
            assert items[key] == change.attributes


@pytest.mark.parametrize("name", DOMAINS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_values_fit_the_types_of_the_contract(name: str, seed: int) -> None:
    domain, _ = DOMAINS[name]
    for change in changes(name, seed, 200):
        contract = domain.sources[change.table].contracts[0]
        for attribute, value in change.attributes.items():
            column = contract.columns.get(attribute)
            if column is None:
                continue
            match column.type.kind:
                case "string":
                    assert isinstance(value, str)
                case "int" | "bigint":
                    assert isinstance(value, int)
                case "decimal":
                    assert -Decimal(value).as_tuple().exponent <= column.type.scale  # type: ignore[operator]
                case "set":
                    assert isinstance(value, frozenset) and value
                case "timestamp":
                    assert datetime.fromisoformat(value).tzinfo == UTC and value.endswith("Z")


def test_the_initial_load_spreads_over_the_past_and_live_rows_are_of_now() -> None:
    written = changes("ecommerce", 3, 600)
    orders = [change for change in written if change.table == "Orders" and change.kind == "insert"]
    assert Counter(change.table for change in written[:1800]) == {"Customers": 200, "Products": 100, "Orders": 1500}
    dates = [datetime.fromisoformat(change.attributes["OrderDate"]) for change in orders[:1500]]
    assert timedelta(days=119) < START - dates[0] <= timedelta(days=120)
    assert max(later - earlier for earlier, later in pairwise(sorted(dates))) < timedelta(hours=8)
    live = [datetime.fromisoformat(change.attributes["OrderDate"]) for change in orders[1500:]]
    assert min(live) >= START and max(live) <= START + timedelta(seconds=600 / 50)


def test_traffic_shows_all_that_the_workload_asks_for() -> None:
    written = changes("ecommerce", 11, 6000)
    live, places = written[1800:], Counter(change.due for change in written[1800:])
    kinds = Counter((change.table, change.kind) for change in live)
    assert {("Orders", "insert"), ("Orders", "delete"), ("Customers", "update"), ("Products", "touch")} <= kinds.keys()
    assert kinds["Orders", "insert"] > kinds["Orders", "update"] > 5 * kinds["Orders", "delete"]

    stock = Counter(change.key["ProductID"] for change in live if (change.table, change.kind) == ("Products", "update"))
    hot = sum(count for _, count in stock.most_common(5))
    assert 0.35 < hot / stock.total() < 0.55, "5 of 100 products get about 40 % of the updates"

    assert sorted({count for count in places.values() if count > 1}) == [40], "bursts of 40, all else one by one"

    customers: set[str] = set()
    early, ordered, late, updated = 0, 0, 0, 0
    born: dict[str, str] = {}
    for change in written:
        if (change.table, change.kind) == ("Customers", "insert"):
            customers.add(change.key["CustomerID"])
        if change.table == "Orders" and change.kind == "insert":
            born[change.key["OrderID"]] = change.attributes["OrderDate"]
            ordered += 1
            early += change.attributes["CustomerID"] not in customers
        if change.table == "Orders" and change.kind == "update":
            updated += 1
            late += START - datetime.fromisoformat(born[change.key["OrderID"]]) > timedelta(days=30)
    assert 0 < early < 0.05 * ordered
    assert 0.05 < late / updated < 0.15
    referred = {change.attributes["CustomerID"] for change in written[:-60] if change.attributes.get("CustomerID")}
    assert referred <= customers, "a customer who was ordered for early does arrive"


def test_attributes_outside_the_contract_and_dropped_ones_are_written() -> None:
    attributes = {name for change in changes("ecommerce", 5, 100) for name in change.attributes}
    assert {"LoyaltyTier", "GiftNote", "Phone", "Address", "Customer"} <= attributes


def test_a_generator_goes_on_from_what_is_there() -> None:
    domain, workload = DOMAINS["ecommerce"]
    first = Generator(domain, workload, seed=1, start=START)
    there: dict[str, list[dict[str, Any]]] = {"Customers": [], "Products": [], "Orders": []}
    for change in first.initial():
        there[change.table].append(dict(change.attributes))
    second = Generator(domain, workload, seed=2, start=START)
    for name, contract in domain.by_name.items():
        second.adopt(name, there[contract.table])
    keys = {table: {next(iter(item.values())) for item in items} for table, items in there.items()}
    live = list(islice(second.live(rate=50, start=START), 500))
    assert not [c for c in live if c.kind == "insert" and next(iter(c.key.values())) in keys[c.table]]
    assert [c for c in live if c.kind == "update" and next(iter(c.key.values())) in keys[c.table]]


def test_references_to_an_empty_table_bring_the_rows_they_refer_to() -> None:
    domain, workload = DOMAINS[FLEET]
    generator = Generator(domain, workload, seed=4, start=START)
    written = list(islice(generator.live(rate=10, start=START), 300))
    vehicles = {c.key["VehicleNo"] for c in written if c.table == "fleet-Vehicles" and c.kind == "insert"}
    trips = {c.key["VehicleNo"] for c in written[:-60] if c.table == "fleet-Trips" and c.kind == "insert"}
    assert trips and trips <= vehicles


def test_values_are_written_as_a_column_says_and_a_deletion_may_only_mark() -> None:
    domain = load_domain("laundry")
    generator = Generator(domain, load_workload(domain), seed=3, start=START)
    written = [*generator.initial(), *islice(generator.live(rate=50, start=START), 1500)]
    *_, (_, items) = replayed(written)
    serialize = TypeSerializer().serialize
    kinds: dict[str, set[type]] = {"createdAt": set(), "amountInPennies": set()}
    marked = 0
    for (table, *_), item in items.items():
        contract = domain.sources[table].contracts[0]
        row_of(contract, {name: serialize(value) for name, value in item.items()})  # raises for what does not fit
        marked += "deletedAt" in item or item.get("status") == "removed"
        if table == "MachineTransaction":
            for name, found in kinds.items():
                found.add(type(item[name]))
    assert kinds == {"createdAt": {str, int}, "amountInPennies": {str}}
    assert marked > 2
    assert "delete" not in {change.kind for change in written}
