"""Several contracts of one DynamoDB table: what a domain loads, and what it refuses in one sentence each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import ContractError

USERS = """
table: App
name: users
owner: team:app
where: {PK: 'USER#*', SK: PROFILE}
key: {hash: PK, range: SK}
columns: {PK: string, SK: string, Name: string}
"""
ORDERS = """
table: App
name: orders
owner: team:app
where: {PK: 'USER#*', SK: 'ORDER#*'}
key: {hash: PK, range: SK}
columns: {PK: string, SK: string, Amount: 'decimal(12,2)'}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "domain.yaml").write_text("since: 2026-01-01\n")
    (tmp_path / "tables/users.yaml").write_text(USERS)
    (tmp_path / "tables/orders.yaml").write_text(ORDERS)
    return tmp_path


def test_one_table_has_a_contract_for_each_entity(folder: Path) -> None:
    domain = load_domain(str(folder))
    assert [(one.lake_name, one.table) for one in domain.tables] == [("orders", "App"), ("users", "App")]
    (source,) = domain.sources.values()
    assert (source.table, source.name, [one.attribute for one in source.key_columns]) == ("App", "app", ["PK", "SK"])
    (folder / "tables/orders.yaml").unlink()
    assert load_domain(str(folder)).sources["App"].name == "app", "whether or not there are others"


@pytest.mark.parametrize(
    ("file", "old", "new", "mistake"),
    [
        ("orders", "SK: 'ORDER#*'", "SK: 'PRO*'", r"orders\.yaml: where: an item can also match that of .*users\.yaml|"
         r"users\.yaml: where: an item can also match that of .*orders\.yaml"),
        ("orders", ", SK: 'ORDER#*'", "", r"where: an item can also match that of "),
        ("orders", "where: {PK: 'USER#*', SK: 'ORDER#*'}", "", r"'App' is also the table of .*; expected `where`"),
        ("orders", "{hash: PK, range: SK}", "{hash: PK}", r"key: it is not that of .*'App' is one table and has one"),
        ("orders", "SK: string", "SK: bigint", r"key: it is not that of "),
        ("orders", "name: orders\n", "", r"orders\.yaml:.*name: missing; a contract with `where` says its own name"),
        ("orders", "name: orders", "name: users", r"name: 'users' is also the name of "),
        ("orders", "SK: 'ORDER#*'}", "Kind: order}", r"where\.Kind: 'Kind' is neither in columns nor in drop"),
        ("orders", "'ORDER#*'", "'*ORDER'", r"where\.SK: '\*ORDER': a \* stands only at the end"),
        ("orders", "'ORDER#*'", "[ORDER]", r"where\.SK: expected a text such as PROFILE or 'USER#\*'"),
        ("orders", "{PK: 'USER#*', SK: 'ORDER#*'}", "{}", r"where: "),
        ("orders", "name: orders", "name: orders\nfiles: newer", r"files: a contract with `where` takes no files"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_and_field(folder: Path, file: str, old: str, new: str, mistake: str) -> None:
    path = folder / f"tables/{file}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ContractError) as wrong:
        load_domain(str(folder))
    assert re.search(mistake, str(wrong.value)), str(wrong.value)
    assert len(str(wrong.value).splitlines()) == 1


def test_a_table_may_not_be_called_like_one_of_entities(folder: Path) -> None:
    (folder / "tables/other.yaml").write_text(
        "table: Other\nname: app\nowner: team:app\nkey: {hash: Id}\ncolumns: {Id: string}\n"
    )
    with pytest.raises(ContractError, match="are both called 'app' in Bronze's catalog"):
        load_domain(str(folder))
