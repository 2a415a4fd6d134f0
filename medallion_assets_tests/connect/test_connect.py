"""`medallion connect`: what is wrong is a sentence, what is missing is a policy, and nothing is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from medallion_assets.capture.poller.checkpoint import Checkpoint
from medallion_assets.cli.connect import first_load
from medallion_assets.cli.main import app
from medallion_assets.connect.caller import Caller
from medallion_assets.connect.policy import missing_policy
from medallion_assets.connect.probe import STREAM_ACTIONS, TABLE_ACTIONS
from medallion_assets.connect.table_check import TableCheck
from medallion_assets.contracts.loader import load_domain
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.tables import create_tables
from medallion_assets_tests.connect.front import Front, in_front_of
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.local.processes import wait_for_none
from medallion_assets_tests.silver.changes import contract, domain

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import StreamSpecificationTypeDef

ACTIONS = (*TABLE_ACTIONS, *STREAM_ACTIONS)
MEDALLION = str(Path(sys.executable).parent / "medallion")


@pytest.fixture
def front(aws: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Front]:
    """An account of its own, asked through a server that can refuse."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MEDALLION_")]:
        monkeypatch.delenv(name)
    with in_front_of(aws.endpoint) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        yield opened


def test_an_entity_of_a_shared_table_is_loaded_by_a_repair() -> None:
    key = {"PK": "string", "SK": "string"}
    users = contract("App", key, key=("PK", "SK"), name="users", where={"SK": "PROFILE"})
    things = contract("Things", {"Id": "string"}, key="Id")
    found = [TableCheck(name, name, True, None, (), 7, 2**20, ()) for name in ("App", "Things")]
    said = first_load(domain(users, things), found)
    assert 'medallion repair users --reason "first load"  # 7 items, 1.0 MB' in said
    assert "medallion backfill things --from scan  # 7 items, 1.0 MB" in said


def create(table: str, key: dict[str, str], view: str | None) -> None:
    """Create a table with that key and stream."""
    stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}} if view else {}
    arguments: dict[str, Any] = {
        **stream,
        "TableName": table,
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in key.items()],
        "KeySchema": [
            {"AttributeName": name, "KeyType": role} for name, role in zip(key, ("HASH", "RANGE"), strict=False)
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    boto3.client("dynamodb").create_table(**arguments)


def check() -> Result:
    return CliRunner().invoke(app, ["connect", "--check", "--domain", FLEET])


def test_tables_that_are_as_they_have_to_be_are_only_read(front: Front) -> None:
    create_tables(boto3.client("dynamodb"), load_domain(FLEET))
    front.asked.clear()
    found = check()
    assert found.exit_code == 0, found.output
    assert "Every table can be read, and its stream has both images." in found.stdout
    assert set(front.asked) == set(ACTIONS)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("refused", ACTIONS)
def test_a_permission_that_is_missing_is_printed_as_a_policy(front: Front, refused: str) -> None:
    create_tables(boto3.client("dynamodb"), load_domain(FLEET))
    front.refused = {refused}
    found = check()
    assert found.exit_code == 1
    assert "Permissions are missing. Ask for this policy:" in found.stderr
    policy = json.loads(found.stdout[found.stdout.index("{") :])
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert f"dynamodb:{refused}" in allowed
    # What needs the answer to a refused request could not be tried, so it is asked for, too.
    assert allowed <= {f"dynamodb:{one}" for one in ACTIONS[ACTIONS.index(refused) :]} | {"dynamodb:BatchGetItem"}
    account = os.environ["AWS_ACCESS_KEY_ID"]
    for statement in policy["Statement"]:
        names = [arn.removeprefix(f"arn:aws:dynamodb:us-east-1:{account}:table/") for arn in statement["Resource"]]
        assert set(names) in (
            {"fleet-Trips", "fleet-Vehicles"},
            {"fleet-Trips/stream/*", "fleet-Vehicles/stream/*"},
            {"*"},
        )


def test_what_is_wrong_with_a_table_is_a_sentence_each(front: Front) -> None:
    create("fleet-Vehicles", {"VehicleNo": "S"}, "KEYS_ONLY")
    found = check()
    assert found.exit_code == 1
    for said in (
        "fleet-Trips: DynamoDB has no such table in account",
        "fleet-Vehicles: its key attribute VehicleNo is of type S; the contract says bigint, which is N. Correct",
        "fleet-Vehicles: its stream has KEYS_ONLY; expected NEW_AND_OLD_IMAGES",
    ):
        assert said in found.stderr
    assert "Permissions are missing" not in found.stderr and "Traceback" not in found.output


@pytest.mark.parametrize(
    ("key", "view", "said"),
    [
        (
            {"VehicleNO": "N"},
            "NEW_AND_OLD_IMAGES",
            "its key is VehicleNO (N); the contract says VehicleNo. Correct `key`",
        ),
        ({"VehicleNo": "N", "At": "S"}, "NEW_AND_OLD_IMAGES", "its key is VehicleNo (N), At (S); the contract says"),
        ({"VehicleNo": "N"}, "NEW_IMAGE", "its stream has NEW_IMAGE; expected NEW_AND_OLD_IMAGES"),
        (
            {"VehicleNo": "N"},
            None,
            "it has no stream, so nobody hears of its changes. Switching one on changes nothing",
        ),
    ],
)
def test_keys_and_streams(front: Front, key: dict[str, str], view: str | None, said: str) -> None:
    create("fleet-Vehicles", key, view)
    found = check()
    assert found.exit_code == 1
    assert f"medallion: fleet-Vehicles: {said}" in found.stderr
    assert {"UpdateTable", "PutItem", "DeleteItem"}.isdisjoint(front.asked[1:])


def test_after_lost_changes_it_says_so_and_how_to_go_on(front: Front, tmp_path: Path) -> None:
    create("fleet-Trips", {"VehicleNo": "N", "TripNo": "N"}, "NEW_AND_OLD_IMAGES")
    create("fleet-Vehicles", {"VehicleNo": "N"}, "NEW_AND_OLD_IMAGES")
    folder = tmp_path / ".medallion" / "connected"
    folder.mkdir(parents=True)
    with Checkpoint.open(folder / "poller.sqlite") as checkpoint:
        for table in ("fleet-Trips", "fleet-Vehicles"):
            checkpoint.begin_capture(table, f"arn:{table}", [], now=datetime.now(UTC))
        checkpoint.mark_gap("fleet-Trips", "a record is older than 24 hours")
    for arguments in ((), ("--check",)):
        found = CliRunner().invoke(app, ["connect", "--domain", FLEET, *arguments])
        assert found.exit_code == 1, found.output
        assert "fleet-Trips: changes are lost" in found.stderr and "fleet-Vehicles" not in found.stderr
        assert "Start `medallion connect --resume`, then" in found.stderr
        assert "in a second terminal: medallion backfill trips --from scan" in found.stderr
        assert "Starting" not in found.stdout
    assert CliRunner().invoke(app, ["connect", "--domain", FLEET, "--check", "--resume"]).exit_code == 0


def test_the_name_in_dynamodb_is_asked_for(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_SOURCE_TABLES", "fleet-Trips=prod-Trips")
    assert "medallion: prod-Trips: DynamoDB has no such table" in check().stderr


def test_no_credentials_no_region_and_no_domain_are_a_sentence_and_exit_2(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = CliRunner().invoke(app, ["connect", "--check"])
    assert nothing.exit_code == 2 and "No domain '.': expected" in nothing.stderr
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert (found := check()).exit_code == 2
    assert "Unable to locate credentials. Set AWS_ACCESS_KEY_ID" in found.stderr
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert (found := check()).exit_code == 2
    assert "No AWS region is chosen: expected AWS_REGION" in found.stderr


def test_no_traffic_is_written_to_real_tables(front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "MEDALLION_DOMAIN": FLEET,
        "MEDALLION_BRONZE": str(tmp_path / "bronze"),
        "MEDALLION_WAREHOUSE": str(tmp_path / "lake"),
        "MEDALLION_CATALOG": "sqlite",
        "MEDALLION_READ_ONLY_SOURCE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    found = CliRunner().invoke(app, ["generate", "--count", "1"])
    assert found.exit_code == 2
    assert "the tables are real ones, and no traffic is written to them" in found.stderr
    assert front.asked == []


def test_tables_that_lack_the_same_share_a_statement() -> None:
    def lacking(table: str, *missing: Any) -> TableCheck:
        return TableCheck(table, f"prod-{table}", True, "NEW_AND_OLD_IMAGES", missing, 1, 1, ())

    caller = Caller("123456789012", "cn-north-1", "arn:aws-cn:sts::123456789012:assumed-role/reader/me")
    arn = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/prod-"
    checks = [lacking("A", "Scan", "GetRecords"), lacking("B", "Scan"), lacking("C", "DescribeTable"), lacking("D")]
    policy = missing_policy(checks, caller)
    assert policy is not None
    assert [(one["Sid"], one["Action"], one["Resource"]) for one in policy["Statement"]] == [
        ("ReadTables", ["dynamodb:Scan"], [f"{arn}A", f"{arn}B"]),
        ("ReadTables2", ["dynamodb:DescribeTable"], [f"{arn}C"]),
        ("ReadStreams", ["dynamodb:GetRecords"], [f"{arn}A/stream/*"]),
    ]
    assert missing_policy([lacking("D")], caller) is None


def test_the_policy_of_the_page_has_all_that_is_tried() -> None:
    page = (Path(__file__).parents[2] / "docs/howto/connect.md").read_text()
    text = page.partition("```json\n")[2].partition("```")[0]
    caller = Caller("<account>", "<region>", "arn:aws:iam::<account>:user/me")
    assert json.loads(text) == missing_policy([TableCheck("T", "<table>", True, None, ACTIONS, 1, 1, ())], caller)


@pytest.mark.slow
def test_real_tables_arrive_in_a_local_lake_and_nothing_is_written_to_them(front: Front, tmp_path: Path) -> None:
    """A change arrives by the stream, what was there before by the printed command; the next start goes on."""
    client = boto3.client("dynamodb")
    view: StreamSpecificationTypeDef = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    create("fleet-Trips", {"VehicleNo": "N", "TripNo": "N"}, "NEW_AND_OLD_IMAGES")
    create("fleet-Vehicles", {"VehicleNo": "N"}, None)
    vehicle: dict[str, Any] = {"Plate": {"S": "AB 1"}, "Depot": {"S": "North"}}
    client.put_item(TableName="fleet-Vehicles", Item={"VehicleNo": {"N": "7"}, **vehicle})
    client.update_table(TableName="fleet-Vehicles", StreamSpecification=view)
    front.asked.clear()
    for number in (1, 2):
        with _running(tmp_path) as said:
            assert "medallion backfill vehicles --from scan" in said
            announced = (tmp_path / ".medallion/stack.env").read_text()
            assert "MEDALLION_READ_ONLY_SOURCE" in announced and "AWS_SECRET" not in announced
            client.put_item(TableName="fleet-Vehicles", Item={"VehicleNo": {"N": str(number)}, **vehicle})
            writes = [one for one in front.asked if one not in ACTIONS]
            assert writes == ["PutItem"] * number
            _wait_for_rows(tmp_path, number if number == 1 else 3)
            if number == 1:
                loaded = _medallion(tmp_path, "backfill", "vehicles", "--from", "scan", "--yes", "--json")
                assert loaded.returncode == 0, loaded.stderr
                _wait_for_rows(tmp_path, 2)
        assert wait_for_none(tmp_path, seconds=5) == {}


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    """Run `medallion connect` in a folder while inside; yields what it has said when it is up."""
    with subprocess.Popen(
        [MEDALLION, "connect", "--domain", FLEET],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "backfill vehicles" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        try:
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _medallion(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MEDALLION, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def _wait_for_rows(folder: Path, rows: int) -> None:
    found: dict[str, Any] = {}
    for _ in range(120):
        status = _medallion(folder, "status", "--json")
        found = {one["table"]: one for one in json.loads(status.stdout)["tables"]}["vehicles"]
        if found["rows"] == rows:
            return
        time.sleep(0.5)
    raise AssertionError(found)
