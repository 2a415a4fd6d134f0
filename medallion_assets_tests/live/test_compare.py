"""A counter beside Silver: equal at one moment, or the difference named; and made right while it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medallion_assets.cli.main import app
from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import TableMissing
from medallion_assets.live.apply import apply_records
from medallion_assets.live.compare import Comparison, compare
from medallion_assets.live.counter import Counter
from medallion_assets.live.counter_file import load_counters
from medallion_assets.live.rebuild import rebuild
from medallion_assets.live.redis_store import RedisStore
from medallion_assets.testing import Pipeline, open_pipeline

CONTRACT = """
table: Orders
owner: team:shop
key: {hash: shop, range: number}
deleted_when: gone is present
columns:
  shop: string
  number: bigint
  status: string
  paid: bool
  amount: 'decimal(12,2)'
  at: timestamp
drop: [gone]
"""


@dataclass
class Shop:
    """A table with a pipeline to Silver, and a counter whose consumer has seen the first `read` records."""

    pipeline: Pipeline
    counter: Counter
    store: RedisStore
    read: int = 0

    def put(self, number: int, **values: Any) -> None:
        item = {"shop": "é'[", "number": number, "at": "2026-12-01T23:30:00-01:00", "status": "new", **values}
        self.pipeline.put("Orders", item)

    def consume(self, *, skip: bool = False) -> None:
        stream = self.pipeline._cloud.tables["Orders"].stream
        assert stream is not None
        records = sorted(stream.records(), key=lambda one: one.number)
        if not skip:
            sent = [one.for_lambda() for one in records[self.read :]]
            apply_records(sent, counters=[self.counter], store=self.store)
        self.read = len(records)

    def compare(self) -> Comparison:
        contract = self.pipeline.domain.by_name["orders"]
        return compare(self.pipeline._lake, contract, self.counter, self.store, now=datetime.now(UTC))

    def rebuild(self) -> Comparison:
        contract = self.pipeline.domain.by_name["orders"]
        return rebuild(self.pipeline._lake, contract, self.counter, self.store, clock=lambda: datetime.now(UTC))


@pytest.fixture
def shop(redis_store: RedisStore, tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "shop"
    (folder / "tables").mkdir(parents=True)
    (folder / "live").mkdir()
    (folder / "domain.yaml").write_text("since: 2026-01-01\n")
    (folder / "tables/orders.yaml").write_text(CONTRACT)
    (folder / "live/orders.yaml").write_text(
        "table: orders\nby: [status]\nsum: [amount]\nday: at\nwhere: paid = true\n"
    )
    domain = load_domain(str(folder))
    (counter,) = load_counters(domain)
    with open_pipeline(domain, tmp_path / "lake") as pipeline:
        yield Shop(pipeline, counter, redis_store)


def write(shop: Shop) -> None:
    """Orders of two statuses, some unpaid, one without an amount, one changed, one deleted, one marked as deleted."""
    for number in range(8):
        shop.put(number, paid=number != 2, amount=Decimal(number) / 4 if number != 3 else None)
    shop.put(1, status="sent", paid=True, amount=Decimal("0.01"))
    shop.put(5, paid=True, gone=True)
    shop.pipeline.delete("Orders", {"shop": "é'[", "number": 6})


def test_a_counter_that_has_seen_all_changes_equals_silver(shop: Shop) -> None:
    write(shop)
    with pytest.raises(TableMissing, match="no rows yet"):
        shop.compare()
    shop.pipeline.run()
    shop.consume()
    found = shop.compare()
    assert (found.wrong, found.ahead, found.unseen) == ({}, {}, {})
    assert found.totals['["new","2026-12-02"]']["count"] == 4


def test_a_counter_is_compared_at_its_own_moment(shop: Shop) -> None:
    """Changes that Silver does not have yet are no difference; those that the counter does not have are said."""
    write(shop)
    shop.consume()
    shop.pipeline.run()
    shop.put(9, paid=True, amount=Decimal(5))
    shop.put(0, paid=False)
    shop.pipeline.delete("Orders", {"shop": "é'[", "number": 7})
    shop.consume()
    assert shop.compare().wrong == {}
    shop.put(9, paid=True, amount=Decimal(6))
    shop.put(10, paid=True)
    shop.pipeline.run()
    found = shop.compare()
    assert (list(found.ahead), list(found.unseen)) == (['["9","é\'["]'], ['["10","é\'["]'])
    shop.consume()
    assert shop.compare().wrong == {}


def test_a_wrong_number_is_named_and_a_rebuild_makes_it_right(shop: Shop) -> None:
    write(shop)
    shop.consume()
    shop.pipeline.run()
    group = '["new","2026-12-02"]'
    shop.store.correct("orders", {group: {"count": Decimal(2)}, '["odd",null]': {"count": Decimal(1)}})
    wrong = {group: {"count": Decimal(-2)}, '["odd",null]': {"count": Decimal(-1)}}
    assert shop.compare().wrong == wrong
    assert shop.rebuild().wrong == wrong
    assert shop.compare().wrong == {}


@pytest.mark.parametrize("late", [True, False])
def test_a_counter_begins_over_a_table_with_history(shop: Shop, late: bool) -> None:
    """What the table had before comes from Silver, and a record that comes late, or again, counts once."""
    write(shop)
    shop.pipeline.run()
    shop.consume(skip=not late)  # the stream still has the records, or has lost them
    shop.put(0, paid=True, status="sent")
    shop.consume()
    shop.rebuild()
    shop.put(4, paid=False)
    shop.read = 0  # everything comes again
    shop.consume()
    shop.pipeline.run()
    found = shop.compare()
    assert (found.wrong, found.ahead, found.unseen) == ({}, {}, {})


def test_a_change_that_only_silver_knows_counts_from_a_rebuild_on(shop: Shop) -> None:
    write(shop)
    shop.consume()
    shop.put(0, paid=True, amount=Decimal(7))
    shop.put(20, paid=True, amount=Decimal(8))
    shop.pipeline.run()
    shop.rebuild()
    assert shop.compare().wrong == {}
    shop.consume()
    shop.put(20, paid=True, amount=Decimal(9))
    shop.consume()
    shop.pipeline.run()
    assert shop.compare().wrong == {}


def test_a_deletion_that_only_silver_knows_counts_once(shop: Shop) -> None:
    """The counter began with what Silver had, so it has seen no change of the items."""
    for number in (1, 2):
        shop.put(number, paid=True, amount=Decimal(number))
    shop.pipeline.run()
    shop.consume(skip=True)
    shop.rebuild()
    shop.store._client.delete(*shop.store._client.scan_iter("live:*:seen:*"))  # a day later
    shop.pipeline.delete("Orders", {"shop": "é'[", "number": 2})
    shop.pipeline.run()
    shop.rebuild()
    shop.consume()
    assert shop.compare().wrong == {}


def test_the_command_names_what_a_counter_lacks(shop: Shop, monkeypatch: pytest.MonkeyPatch, valkey_url: str) -> None:
    write(shop)
    shop.consume()
    shop.pipeline.run()
    folder = shop.pipeline.domain.folder
    monkeypatch.setenv("MEDALLION_DOMAIN", str(folder))
    monkeypatch.setenv("MEDALLION_BRONZE", str(folder.parent / "lake/bronze"))
    monkeypatch.setenv("MEDALLION_WAREHOUSE", str(folder.parent / "lake/warehouse"))
    monkeypatch.setenv("MEDALLION_CATALOG", "sqlite")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("MEDALLION_LIVE", valkey_url)
    group = '["new","2026-12-02"]'
    shop.store.correct("orders", {group: {"count": Decimal(-1)}})

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["live", *arguments])
        return result.exit_code, result.output

    code, said = run("check", "orders")
    assert (code, said.splitlines()[0]) == (1, f"{group}: lacks count 1")
    code, said = run("rebuild", "orders", "--json")
    assert (code, json.loads(said)["lacked"]) == (0, [{"group": group, "count": "1"}])
    assert run("check", "orders")[0] == 0
    code, said = run("show", "orders", "--json")
    assert json.loads(said)["groups"][0] == {
        "status": "new",
        "day": "2026-12-02",
        "count": 4,
        "sum_amount": "2.75",
        "values_amount": 3,
    }
    assert "new" in run("show", "orders")[1]
    code, said = run("show", "others")
    assert code == 2 and "expected one of orders" in said
    monkeypatch.delenv("MEDALLION_LIVE")
    assert run("show", "orders")[0] == 2
