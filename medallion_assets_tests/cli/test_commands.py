"""Every command on a small lake, as a person and as a program uses it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from medallion_assets.backfill import handover
from medallion_assets.backfill.local_export import write_export
from medallion_assets.capture.gap_marker import GapMarker, write_gap_marker
from medallion_assets.capture.heartbeat import PollerHeartbeat, write_heartbeat
from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.health.collect import collect_health
from medallion_assets.health.run_events import RunEvents
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.stackfile import announce, only_stack
from medallion_assets.ops.tables import CHECKS
from medallion_assets.ops.upsert import upsert
from medallion_assets.reconciliation.scan import DynamoTable
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.fixtures.fleet_lake import NAMED, Fleet, stream


def test_status_follows_a_change_through_the_layers(fleet: Fleet) -> None:
    empty = json.loads(medallion("status", "--json").stdout)
    assert [table["rows"] for table in empty["tables"]] == [0, 0]
    fleet.write()
    fleet.capture()
    waiting = json.loads(medallion("status", "--json").stdout)
    assert [(table["pending_objects"], table["rows"]) for table in waiting["tables"]] == [(1, 0), (1, 0)]
    assert all(table["lag"] > 0 for table in waiting["tables"])
    assert not waiting["caught_up"]
    fleet.publish()
    done = json.loads(medallion("status", "--json").stdout)
    assert {table["table"]: table["rows"] for table in done["tables"]} == {"vehicles": 12, "trips": 150}
    assert [(mart["mart"], mart["behind"]) for mart in done["marts"]] == [("daily_distance", [])]
    assert done["caught_up"]
    for table in done["tables"]:
        captured, changed, published = (
            datetime.fromisoformat(table[name]) for name in ("last_captured_at", "last_changed_at", "published_at")
        )
        assert changed <= captured <= published <= datetime.now(UTC)
    shown = medallion("status")
    assert shown.exit_code == 0
    assert "vehicles" in shown.stdout and "daily_distance" in shown.stdout


def test_status_names_the_check_that_blocks_a_table(fleet: Fleet) -> None:
    fleet.write()
    fleet.capture()
    fleet.publish()
    at = datetime.now(UTC)
    row = {"id": "1", "observed_at": at, "layer": "silver", "table_name": "trips", "check_name": "quarantine_rate"}
    row |= {"blocking": True, "passed": False, "evaluations": 1, "failures": 1, "run_id": "run"}
    with Lake.open(fleet.settings.lake()) as lake:
        upsert(lake, CHECKS, [row])
    found = json.loads(medallion("status", "--json").stdout)
    assert {one["table"]: one["blocked_by"] for one in found["tables"]} == {
        "vehicles": None,
        "trips": {"check": "quarantine_rate", "since": at.isoformat()},
    }
    shown = medallion("status").stdout
    assert f"quarantine_rate since {at:%Y-%m-%d %H:%M:%S}" in shown
    assert "blocked by" in shown


def test_status_says_up_to_when_a_table_is_complete_and_what_it_needs(fleet: Fleet) -> None:
    fleet.write()
    fleet.capture()
    fleet.publish()
    store, now = open_store(fleet.settings.bronze), datetime.now(UTC)
    unknown = json.loads(medallion("status", "--json").stdout)
    assert {table["complete_to"] for table in unknown["tables"]} == {None}, "no poller has said anything"
    for table in ("fleet-Vehicles", "fleet-Trips"):
        write_heartbeat(
            store,
            PollerHeartbeat(table=table, stream_arn="arn/1", started_at=now, written_at=now, read_up_to=now, shards=()),
        )
    shown = json.loads(medallion("status", "--json").stdout)
    assert {table["complete_to"] for table in shown["tables"]} == {now.isoformat()}
    assert [mart["complete_to"] for mart in shown["marts"]] == [mart["computed_at"] for mart in shown["marts"]]
    assert all(datetime.fromisoformat(mart["computed_at"]) < now for mart in shown["marts"])
    write_gap_marker(
        store, GapMarker(table="fleet-Trips", detected_at=now, reason="shard shardId-1 was trimmed before it was read")
    )
    found = medallion("status", "--json")
    assert found.exit_code == 1
    assert "trips needs a backfill" in found.stderr and "medallion repair trips" in found.stderr
    document = json.loads(found.stdout)
    assert [(table["table"], table["needs_backfill"]) for table in document["tables"]] == [
        ("vehicles", False),
        ("trips", True),
    ]
    assert document["marts"][0]["incomplete"] == ["trips"]
    shown = medallion("status")
    assert shown.exit_code == 1 and "(trips needs a backfill)" in shown.stdout


def test_what_lambda_gave_up_is_shown_until_it_is_redriven(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One setting says where the bucket is, to both commands."""
    fleet.write()
    monkeypatch.setenv("MEDALLION_GIVEN_UP", str(tmp_path / "given-up"))
    arn = boto3.client("dynamodb").describe_table(TableName="fleet-Trips")["Table"]["LatestStreamArn"]
    records = [json.loads(json.dumps(record, default=datetime.timestamp)) for record in stream("fleet-Trips")[:3]]
    document = {"DDBStreamBatchInfo": {"streamArn": arn}, "payload": json.dumps({"Records": records})}
    path = "aws/lambda/a-mapping/a-shard/2026/03/01/2026-03-01T10.00.00-1"
    open_store(str(tmp_path / "given-up")).put(path, json.dumps(document).encode())
    found = medallion("status", "--json")
    assert found.exit_code == 1 and "medallion redrive trips" in found.stderr
    trips = next(table for table in json.loads(found.stdout)["tables"] if table["table"] == "trips")
    assert trips["parked"] == {"dead_letters": 0, "batches": 1, "since": "2026-03-01T10:00:00+00:00"}
    assert "1 batches of Lambda since 2026-03-01" in medallion("status").stdout
    done = medallion("redrive", "trips", "--json")
    assert (done.exit_code, json.loads(done.stdout)["records"]) == (0, 3), done.output
    assert medallion("status", "--json").exit_code == 0


@pytest.mark.both_lakes
def test_query_prints_tables_csv_and_json_with_exact_values(fleet: Fleet) -> None:
    fleet.write()
    fleet.capture()
    fleet.publish()
    sql = "SELECT vehicle_no, battery_kwh, skills FROM silver.vehicles ORDER BY vehicle_no LIMIT 2"
    rows = json.loads(medallion("query", sql, "--json").stdout)
    assert rows == json.loads(medallion("query", sql, "--format", "json").stdout)
    assert [row["vehicle_no"] for row in rows] == [9007199254740993, 9007199254740994], "no double has these values"
    assert all(isinstance(row["battery_kwh"], str) for row in rows)
    printed = list(csv.reader(io.StringIO(medallion("query", sql, "--format", "csv").stdout)))
    assert printed[0] == ["vehicle_no", "battery_kwh", "skills"]
    assert [line[:2] for line in printed[1:]] == [[str(row["vehicle_no"]), row["battery_kwh"]] for row in rows]
    table = medallion("query", "SELECT sum(trips) AS n FROM gold.daily_distance")
    assert table.exit_code == 0 and "150" in table.stdout


def test_sql_that_cannot_run_is_one_sentence_and_exit_code_2(fleet: Fleet) -> None:
    fleet.write()
    fleet.capture()
    fleet.publish()
    for sql, said in [
        ("SELEC 1", "not readable as Trino's SQL"),
        ("SELECT * FROM silver.vans", "silver.vans"),
        ("SELECT nothing FROM silver.vehicles", "nothing"),
        ("DROP TABLE silver.vehicles", "SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
    ]:
        found = medallion("query", sql)
        assert found.exit_code == 2, found.output
        assert found.stdout == ""
        assert said.lower() in found.stderr.lower() and found.stderr.count("\n") == 1, found.stderr


def test_quarantine_lists_and_shows_what_breaks_its_contract(fleet: Fleet) -> None:
    fleet.write()
    boto3.client("dynamodb").put_item(
        TableName="fleet-Vehicles",
        Item={"VehicleNo": {"N": "7"}, "Plate": {"S": "X"}, "Depot": {"S": "North"}, "Battery": {"S": "full"}},
    )
    fleet.capture()
    assert medallion("quarantine", "list").stdout == "Nothing is quarantined.\n"
    fleet.publish()
    [row] = json.loads(medallion("quarantine", "list", "--json").stdout)
    assert (row["table_name"], row["column_name"], row["status"]) == ("fleet-Vehicles", "battery_kwh", "open")
    assert row["event_id"] in medallion("quarantine", "list", "--table", "vehicles").stdout
    assert medallion("quarantine", "list", "--table", "trips").stdout == "Nothing is quarantined.\n"
    [shown] = json.loads(medallion("quarantine", "show", row["event_id"], "--json").stdout)
    assert json.loads(shown["new_image"])["Battery"] == {"S": "full"}
    assert '"full"' in medallion("quarantine", "show", row["event_id"]).stdout
    none = medallion("quarantine", "show", "o'brien")
    assert none.exit_code == 1 and "no quarantined row has the event id" in none.stderr
    unknown = medallion("quarantine", "list", "--table", "vans")
    assert unknown.exit_code == 2 and "vehicles, trips" in unknown.stderr


@pytest.mark.slow
def test_quarantine_replays_what_fits_a_corrected_contract_and_drops_the_rest(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fleet.write()
    for number, battery in ((7, {"N": "-1"}), (8, {"S": "full"}), (9, {"N": "-2"})):
        van = {"VehicleNo": {"N": str(number)}, "Plate": {"S": "X"}, "Depot": {"S": "North"}, "Battery": battery}
        boto3.client("dynamodb").put_item(TableName="fleet-Vehicles", Item=van)
    fleet.capture()
    fleet.publish()
    rows = json.loads(medallion("quarantine", "list", "--json").stdout)
    assert [row["status"] for row in rows] == ["open"] * 3

    bad = medallion("quarantine", "replay", "vehicles", "--where", "battery = 1")
    assert bad.exit_code == 2 and "no column battery; expected one of event_id" in bad.stderr
    unknown = medallion("quarantine", "replay", "vans")
    assert unknown.exit_code == 2 and "vehicles, trips" in unknown.stderr
    nothing = medallion("quarantine", "replay", "trips", "--json")
    assert nothing.exit_code == 0
    assert json.loads(nothing.stdout) == {
        **dict.fromkeys(["taken", "resolved", "superseded", "still_open"], 0),
        "table": "trips",
        "snapshot_id": None,
        "follows": [],
    }

    corrected = tmp_path / "corrected"
    shutil.copytree(FLEET, corrected)
    file = corrected / "tables" / "vehicles.yaml"
    file.write_text(file.read_text().replace("{min: 0}", "{min: -9}"))
    monkeypatch.setenv("MEDALLION_DOMAIN", str(corrected))
    one = medallion("quarantine", "replay", "vehicles", "--where", "json_extract_scalar(keys, '$.VehicleNo.N') = '7'")
    assert one.exit_code == 0, one.output
    assert "1 replayed: 1 resolved, 0 superseded, 0 still open" in one.stdout
    assert (
        "next look of its sensor bronze_arrivals, within half a minute: gold/daily_distance, silver/trips" in one.stdout
    )
    rest = medallion("quarantine", "replay", "vehicles")
    assert rest.exit_code == 1, "one does not fit still"
    assert "2 replayed: 1 resolved, 0 superseded, 1 still open" in rest.stdout and "or drop them" in rest.stdout
    sql = "SELECT vehicle_no FROM silver.vehicles WHERE vehicle_no < 10 ORDER BY 1"
    assert json.loads(medallion("query", sql, "--json").stdout) == [{"vehicle_no": 7}, {"vehicle_no": 9}]

    [left] = [row for row in json.loads(medallion("quarantine", "list", "--json").stdout) if row["status"] == "open"]
    dropped = medallion("quarantine", "drop", "vehicles", left["event_id"], "--reason", "a typo", "--json")
    assert dropped.exit_code == 0, dropped.output
    assert json.loads(dropped.stdout) == {"table": "vehicles", "dropped": 1, "superseded": 0, "others": {}}
    [shown] = json.loads(medallion("quarantine", "show", left["event_id"], "--json").stdout)
    assert (shown["status"], shown["note"]) == ("dropped", "a typo") and shown["resolved_at"]
    again = medallion("quarantine", "drop", "vehicles", "--where", "TRUE", "--reason", "twice")
    assert again.exit_code == 1
    assert "left as they were: 1 dropped, 2 resolved" in again.stderr and "no open change" in again.stderr
    assert medallion("quarantine", "replay", "vehicles").exit_code == 0
    verified = medallion("verify", "--json")
    assert verified.exit_code == 0, verified.output
    [vehicles] = [one for one in json.loads(verified.stdout)["tables"] if one["name"] == "silver/vehicles"]
    assert vehicles["in_quarantine"] == 1, "what was dropped is not compared"


def test_verify_agrees_and_then_names_a_difference(fleet: Fleet) -> None:
    fleet.write(200)
    fleet.capture()
    fleet.publish()
    fine = medallion("verify", "--json")
    assert fine.exit_code == 0, fine.output
    found = json.loads(fine.stdout)
    assert found["agrees"] and [one["name"] for one in found["tables"]] == ["silver/vehicles", "silver/trips"]
    boto3.client("dynamodb").put_item(
        TableName="fleet-Vehicles", Item={"VehicleNo": {"N": "7"}, "Plate": {"S": "X"}, "Depot": {"S": "North"}}
    )
    wrong = medallion("verify", "--settle", "0")
    assert wrong.exit_code == 1
    assert "DIFFERENCES" in wrong.stdout and "7: in the source, not in the lake" in wrong.stdout


@pytest.mark.slow
def test_a_verification_by_hand_is_the_last_one_that_health_shows(fleet: Fleet) -> None:
    fleet.write(50)
    fleet.capture()
    fleet.publish()
    boto3.client("dynamodb").put_item(
        TableName="fleet-Vehicles", Item={"VehicleNo": {"N": "7"}, "Plate": {"S": "X"}, "Depot": {"S": "North"}}
    )
    began = datetime.now(UTC)
    assert medallion("verify", "--settle", "0").exit_code == 1
    domain = load_domain(fleet.settings.domain)
    with Lake.open(fleet.settings.lake()) as lake:
        store, now = open_store(fleet.settings.bronze), datetime.now(UTC)
        collect_health(lake, store, domain, load_marts(domain), run_events=lambda after, to: RunEvents(), now=now)
    sql = "SELECT table_name, verified_at, differing_rows FROM ops.health WHERE layer = 'silver' ORDER BY 1"
    shown = json.loads(medallion("query", sql, "--json").stdout)
    assert [(row["table_name"], row["differing_rows"]) for row in shown] == [("trips", 0), ("vehicles", 1)]
    assert all(began < datetime.fromisoformat(row["verified_at"]) <= now for row in shown)


@pytest.mark.slow
def test_repair_shows_and_amends_differences_and_ends_when_they_are_merged(fleet: Fleet) -> None:
    fleet.write(50)
    fleet.capture()
    fleet.publish()
    client = boto3.client("dynamodb")
    client.put_item(
        TableName="fleet-Vehicles", Item={"VehicleNo": {"N": "7"}, "Plate": {"S": "X"}, "Depot": {"S": "North"}}
    )
    shown = medallion("repair", "vehicles", "--dry-run", "--settle", "0")
    assert shown.exit_code == 1, shown.output
    assert "1 missing" in shown.stdout and "Nothing was written" in shown.stdout
    fast = ("--settle", "0", "--wait", "0", "--json")
    waiting = medallion("repair", "vehicles", "--reason", "it was lost", *fast)
    assert waiting.exit_code == 3, waiting.output
    assert json.loads(waiting.stdout)["merged"] is False
    fleet.publish()
    done = medallion("repair", "vehicles", "--reason", "it was lost", *fast)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["complete"] is True
    assert medallion("verify", "--settle", "0").exit_code == 0
    [row] = json.loads(medallion("query", "SELECT table_name, kind, reason FROM ops.repairs", "--json").stdout)
    assert row == {"table_name": "vehicles", "kind": "missing", "reason": "it was lost"}
    for arguments, said in ((("vans",), "vehicles, trips"), (("vehicles",), "say why")):
        wrong = medallion("repair", *arguments)
        assert wrong.exit_code == 2 and said in wrong.stderr


@pytest.mark.parametrize("fleet", ["files"], indirect=True)
def test_backfill_loads_what_was_there_before_the_stream(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "CLOCK_TOLERANCE", timedelta())
    fleet.write(20)
    for table in ("fleet-Vehicles", "fleet-Trips"):
        fleet.delivered[table] = len(stream(table))  # from before the stream
    early = medallion("backfill", "trips", "--from", "scan", "--yes")
    assert early.exit_code == 2 and "is not captured yet" in early.stderr
    fleet.write(20)
    vehicles = DynamoTable(boto3.client("dynamodb"), "fleet-Vehicles")
    vehicle = {"VehicleNo": {"N": "7"}, "Plate": {"S": "X"}, "Depot": {"S": "North"}}
    boto3.client("dynamodb").put_item(TableName="fleet-Vehicles", Item=vehicle)
    fleet.capture()
    fleet.publish()
    export = write_export(
        vehicles.scan(), tmp_path, table_arn=vehicles.describe().arn, at=datetime.now(UTC), export_id="01-a"
    )
    fleet.write(20)
    boto3.client("dynamodb").delete_item(TableName="fleet-Vehicles", Key={"VehicleNo": {"N": "7"}})
    fast = ("--yes", "--settle", "0", "--wait", "0", "--json")
    shown = medallion("backfill", "vehicles", "--export", str(export), "--dry-run")
    assert shown.exit_code == 1 and "read capacity units" in shown.stderr, shown.output
    fleet.capture()
    fleet.publish()
    for arguments in (("vehicles", "--export", str(export)), ("trips", "--from", "scan")):
        waiting = medallion("backfill", *arguments, *fast)
        assert waiting.exit_code == 3, waiting.output
        fleet.write(10)
        fleet.capture()
        fleet.publish()
        done = medallion("backfill", *arguments, *fast)
        assert done.exit_code == 0, done.output
        assert (json.loads(done.stdout)["read"], json.loads(done.stdout)["merged"]) == (0, True)
    verified = medallion("verify", "--settle", "0")
    assert verified.exit_code == 0, verified.output
    sql = "SELECT table_name, source, merged FROM ops.backfills ORDER BY 1"
    assert [tuple(row.values()) for row in json.loads(medallion("query", sql, "--json").stdout)] == [
        ("trips", "scan", True),
        ("vehicles", "export", True),
    ]
    for wrong, said in (
        ("vans --from scan", "vehicles, trips"),
        ("trips", "--from scan"),
        ("trips --export nowhere", "DynamoDB writes it last"),
    ):
        refused = medallion("backfill", *wrong.split())
        assert refused.exit_code == 2 and said in refused.stderr, refused.output


def test_generate_counts_what_it_wrote(fleet: Fleet) -> None:
    found = json.loads(medallion("generate", "--rate", "500", "--count", "100", "--seed", "3", "--json").stdout)
    assert found["initial"] == 162
    assert sum(entry["count"] for entry in found["writes"]) == 262
    again = medallion("generate", "--rate", "500", "--seconds", "0.1")
    assert again.exit_code == 0 and "50 writes" in again.stdout and "after 0 of the initial load" in again.stdout


@pytest.mark.slow
def test_generate_delivers_captured_batches_twice(fleet: Fleet) -> None:
    fleet.write()
    fleet.capture()
    for _ in range(6):  # each time two objects; a fifth of them is delivered again
        found = json.loads(medallion("generate", "--rate", "500", "--count", "1", "--seed", "9", "--json").stdout)
        fleet.capture()
    assert found["redelivered"] > 0
    fleet.publish()
    assert medallion("verify").exit_code == 0


def test_a_command_finds_the_demo_that_runs_in_its_folder(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Path(".medallion")
    env = {name: value for name in NAMED[:4] if (value := os.environ.get(name))}
    for name in env:
        monkeypatch.delenv(name)
    with only_stack(state):
        announce(state, env)
        found = medallion("status", "--json")
        for name, value in env.items():
            monkeypatch.setenv(name, value)  # the command has set them too; this puts them back after the test
    assert found.exit_code == 0, found.output
    assert "Using the local stack that runs in" in found.stderr


def monkeypatch_value(name: str) -> str | None:
    import os

    return os.environ.get(name)
