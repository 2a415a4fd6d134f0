"""The files `live/<name>.yaml`: what is right becomes a counter, every mistake names file, field and line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import ContractError, SettingsError
from medallion_assets.live.counter import Condition, Counter, Value, from_json, to_json
from medallion_assets.live.counter_file import load_counters

CONTRACT = """
table: Shop
name: orders
owner: team:shop
where: {kind: 'ORDER#*'}
deleted_when: deleted_at is present
key: {hash: id}
columns:
  id: string
  kind: string
  status: string
  paid: bool
  price: {type: 'decimal(12,2)', rename: amount}
  large: decimal(38,10)
  seconds: {type: timestamp, from: epoch_seconds}
  at: timestamp
  deleted_at: string
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A domain of one table, without counters."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "live").mkdir()
    (tmp_path / "domain.yaml").write_text("since: 2026-01-01\n")
    (tmp_path / "tables/orders.yaml").write_text(CONTRACT)
    return tmp_path


def load(folder: Path, text: str, name: str = "totals.yaml") -> tuple[Counter, ...]:
    (folder / "live" / name).write_text(text)
    return load_counters(load_domain(str(folder)))


def test_a_file_becomes_a_counter_that_a_function_gets_as_text(folder: Path) -> None:
    found = load(folder, "table: orders\nby: [status]\nsum: [amount]\nday: at\nwhere: paid = true\n")
    assert found == (
        Counter(
            "totals",
            "Shop",
            "orders",
            by=(Value("status", "status", "string"),),
            day=Value("at", "at", "timestamp"),
            sums=(Value("amount", "price", "decimal", 12, 2),),
            passes=(Condition("kind", "ORDER#", True), Condition("paid", "true")),
            fails=(Condition("deleted_at"),),
        ),
    )
    assert from_json(to_json(found)) == found
    assert found[0].group_names == ("status", "day")
    assert found[0].measures == ("count", "sum_amount", "values_amount")


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("table: order", "table", "no table 'order'; expected one of orders"),
        ("table: orders\nmin: [amount]", "min", "nobody knows the next one"),
        ("table: orders\naverage: [amount]", "average", "say the column under `sum`"),
        ("table: orders\ncount: true", "count", "leave it out"),
        ("table: orders\nby: [stauts]", "by.0", "no column 'stauts' of its own; expected one of"),
        ("table: orders\nby: [status, status]", "by.1", "stands twice"),
        ("table: orders\nby: [amount]", "by.0", r"decimal\(12,2\); expected a column of type string"),
        ("table: orders\nsum: [status]", "sum.0", "expected a column of type int or bigint or decimal"),
        ("table: orders\nsum: [large]", "sum.0", "may need more than 38 digits"),
        ("table: orders\nday: seconds", "day", "read from another form"),
        ("table: orders\nwhere: state = 1", "where", "no column comes from the attribute 'state'"),
        ("table: orders\nwhere: status", "where", "expected '<attribute> is present'"),
        ("table: orders\ngroup: [status]", "group", "unknown key; expected one of table"),
    ],
)
def test_a_mistake_is_named(folder: Path, text: str, place: str, said: str) -> None:
    with pytest.raises(ContractError, match=rf"totals\.yaml: {place}: .*{said}.*\(line \d\)"):
        load(folder, text)


def test_other_files_and_other_names_are_mistakes(folder: Path) -> None:
    with pytest.raises(ContractError, match="not read; expected counters"):
        load(folder, "table: orders", "totals.yml")
    (folder / "live/totals.yml").unlink()
    with pytest.raises(ContractError, match="the counter has the file's name"):
        load(folder, "table: orders", "By-Status.yaml")


def test_a_table_that_keeps_expired_rows_is_refused(folder: Path) -> None:
    path = folder / "tables/orders.yaml"
    path.write_text(path.read_text().replace("key:", "on_expiry: keep\nkey:"))
    with pytest.raises(ContractError, match="on_expiry: keep"):
        load(folder, "table: orders")


def test_a_column_of_another_table_is_refused(tmp_path: Path) -> None:
    shutil.copytree(load_domain("ecommerce").folder, tmp_path / "shop")
    (tmp_path / "shop/live/more.yaml").write_text("table: orders\nby: [customer_region]\n")
    with pytest.raises(ContractError, match="copied from another table"):
        load_counters(load_domain(str(tmp_path / "shop")))


def test_text_that_is_no_counter_is_refused() -> None:
    with pytest.raises(SettingsError, match="deploy the function again"):
        from_json("[{}]")


def test_the_shipped_counter_loads() -> None:
    assert [counter.name for counter in load_counters(load_domain("ecommerce"))] == ["orders_by_status"]
