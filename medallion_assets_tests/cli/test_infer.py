"""`medallion contracts infer` on tables of the local AWS, and on files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.local.emulator import Emulator
from medallion_assets_tests.cli.conftest import medallion

OWNER = ("--owner", "team:laundry")


def make_table(name: str, *, range_key: str | None = None, view: str | None = "NEW_AND_OLD_IMAGES") -> Any:
    keys = [("UserId", "HASH"), *([(range_key, "RANGE")] if range_key else [])]
    stream = {"StreamEnabled": True, "StreamViewType": view} if view else {"StreamEnabled": False}
    client: Any = boto3.client("dynamodb")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": attribute, "KeyType": kind} for attribute, kind in keys],
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute, _ in keys],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification=stream,
    )
    return boto3.resource("dynamodb").Table(name)


@pytest.fixture
def tables(aws: Emulator) -> None:
    users = make_table("prod-User")
    with users.batch_writer() as batch:
        for n in range(120):
            batch.put_item({"UserId": f"user-{n}", "isActive": n % 2 == 0, "balance": n, "email": f"p{n}@example.com"})
    washes = make_table("prod-Wash", range_key="startedAt", view="KEYS_ONLY")
    with washes.batch_writer() as batch:
        for n in range(150):
            cached = {"UserId": f"user-{n % 100}", "balance": 1}
            started = f"2026-01-{n % 28 + 1:02}T10:00:00Z"
            batch.put_item({"UserId": f"user-{n % 100}", "startedAt": f"{started}-{n}", "user": cached, "at": started})


@pytest.mark.usefixtures("tables")
def test_proposed_contracts_are_a_domain_that_loads(tmp_path: Path) -> None:
    done = medallion("contracts", "infer", "--prefix", "prod-", *OWNER, "--into", "laundry/tables")
    assert done.exit_code == 0, done.output
    assert "warning: prod-Wash: its stream has KEYS_ONLY; capture needs new and old images" in done.stderr
    assert "prod-User:" not in done.stderr
    written = tmp_path / "laundry" / "domain.yaml"
    assert f"{written}: written, too" in done.stdout and written.read_text().startswith("since: 20")
    domain = load_domain("./laundry")
    user, wash = (domain.by_name[name] for name in ("user", "wash"))
    assert {name: str(column.type) for name, column in user.by_name.items()} == {
        "user_id": "string",
        "is_active": "bool",
        "balance": "bigint",
        "email": "string",
    }
    assert (wash.key.hash, wash.key.range, wash.drop) == ("UserId", "startedAt", ("user",))
    assert str(wash.columns["at"].type) == "timestamp"
    assert medallion("contracts", "check", "./laundry").exit_code == 0
    assert "example.com" not in (tmp_path / "laundry/tables/user.yaml").read_text()

    (tmp_path / "laundry/tables/user.yaml").write_text("mine")
    again = medallion("contracts", "infer", "--prefix", "prod-", *OWNER, "--into", "laundry/tables")
    assert again.exit_code == 2
    assert "user.yaml: there already, and not overwritten" in again.stderr
    assert (tmp_path / "laundry/tables/user.yaml").read_text() == "mine"


def test_a_single_table_design_gets_a_contract_for_each_entity(tmp_path: Path) -> None:
    users = [{"PK": f"USER#{n}", "SK": "PROFILE", "email": "e"} for n in range(9)]
    orders = [{"PK": f"USER#{n}", "SK": f"ORDER#{n}", "total": n} for n in range(9)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, [*users, *orders])))
    arguments = ("contracts", "infer", "App", "--from", "items.jsonl", "--key", "PK,SK", *OWNER)
    done = medallion(*arguments)
    assert done.exit_code == 0, done.output
    assert "PK USER#*, SK ORDER#*" in done.stdout
    (tmp_path / "domain.yaml").write_text("since: 2026-01-01")
    domain = load_domain(".")
    assert domain.by_name.keys() == {"user_order", "user_profile"} and domain.sources.keys() == {"App"}

    (tmp_path / "tables" / "user_order.yaml").unlink()
    again = medallion(*arguments)
    assert (again.exit_code, "user_profile.yaml: there already, and not overwritten" in again.stderr) == (2, True)
    assert not (tmp_path / "tables" / "user_order.yaml").exists()


def test_the_key_of_an_empty_table_has_the_type_that_dynamodb_says(aws: Emulator, tmp_path: Path) -> None:
    client: Any = boto3.client("dynamodb")
    client.create_table(
        TableName="Empty",
        KeySchema=[{"AttributeName": "Number", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Number", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    done = medallion("contracts", "infer", "Empty", *OWNER)
    assert done.exit_code == 0, done.output
    assert "warning: Empty: it has no stream" in done.stderr
    assert (tmp_path / "tables" / "empty.yaml").read_text().splitlines()[-2:] == ["columns:", "  Number: bigint"]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", ["export", "dynamodb", "plain"])
def test_files_say_the_same_as_the_table(tmp_path: Path, form: str, zipped: bool) -> None:
    item = {"Id": {"S": "a"}, "Price": {"N": "12.50"}, "Tags": {"L": [{"S": "x"}]}, "On": {"BOOL": True}}
    line = {
        "export": json.dumps({"Item": item}),
        "dynamodb": json.dumps(item),
        "plain": '{"Id": "a", "Price": 12.50, "Tags": ["x"], "On": true}',
    }[form]
    folder = tmp_path / "export" / "data"
    folder.mkdir(parents=True)
    text = f"{line}\n\n{line}\n".encode()
    (folder / ("one.json.gz" if zipped else "one.json")).write_bytes(gzip.compress(text) if zipped else text)
    done = medallion("contracts", "infer", "Prices", "--from", "export", "--key", "Id", *OWNER)
    assert done.exit_code == 0, done.output
    written = (tmp_path / "tables" / "prices.yaml").read_text()
    assert [line.split("#")[0].strip() for line in written.splitlines()[-4:]] == [
        "Id: string",
        "Price: decimal(12,2)",
        "Tags: list<string>",
        "'On': bool",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("Nowhere", *OWNER), 2, "Nowhere: DynamoDB has no such table in region us-east-1. Correct the name"),
        (("Nowhere",), 2, "every contract has one: an e-mail address or team:name"),
        (("Nowhere", "--owner", "me"), 2, "expected an e-mail address or team:name"),
        (OWNER, 2, "expected the names of tables, or --all, or --prefix"),
        (("--all", "--prefix", "x", *OWNER), 2, "expected the names of tables, or --all, or --prefix"),
        (("--prefix", "no-such-", *OWNER), 2, "No DynamoDB table whose name begins with no-such-"),
        (("Orders", "--from", "nowhere.json", "--key", "Id", *OWNER), 2, "no file of JSON lines there"),
        (("Orders", "--from", "x.json", *OWNER), 2, "expected one table and its --key"),
        (("Orders", "--key", "Id", *OWNER), 2, "it is for --from"),
        (("Orders", "--from", "one.json", "--key", "Id,At", *OWNER), 2, "Orders: item 1 has no attribute At"),
        (("my-Orders", "my_orders", *OWNER), 2, "my-Orders and my_orders would both be my_orders in the lake"),
        (("_gaps", *OWNER), 2, "Bronze has a folder of this name"),
        (("Orders", "--from", "broken.json", "--key", "Id", *OWNER), 2, "broken.json, line 2: no JSON"),
        (("Orders", "--from", "list.json", "--key", "Id", *OWNER), 2, "list.json, line 1: expected one object"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    aws: Emulator, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "broken.json").write_text('{"Id": "a"}\n{"Id": \n')
    (tmp_path / "one.json").write_text('{"Id": "a"}\n')
    (tmp_path / "list.json").write_text('["Id"]\n')
    done = medallion("contracts", "infer", *arguments)
    assert (done.exit_code, said in done.stderr.replace("\n", " ")) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "tables").exists()
