"""What is wrong outside (arguments, settings, files, services) is one clear message, an exit code, no traceback."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import boto3
import pytest

from medallion_assets.cli.contracts import schema_text
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.processes import free_port
from medallion_assets.local.stackfile import only_stack
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.fixtures.fleet_lake import NAMED, Fleet

SERVICES = (
    ("status",),
    ("query", "SELECT count(*) AS n FROM silver.orders"),
    ("verify",),
    ("repair", "trips", "--dry-run"),
    ("generate", "--count", "1"),
    ("quarantine", "list"),
    ("quarantine", "replay", "trips"),
    ("quarantine", "drop", "trips", "1", "--reason", "x"),
    ("redrive",),
    ("rebuild", "silver.trips"),
)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names a stack."""
    places = (FLEET, "s3://nowhere/bronze", "s3://nowhere/warehouse", "glue")
    for name, value in zip(NAMED, places, strict=False):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "-")  # set here so that what the command sets is undone
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


def test_help_imports_nothing_heavy() -> None:
    heavy = {"boto3", "dagster", "duckdb", "pyarrow", "pydantic", "pyiceberg", "rich", "sqlglot", "yaml"}
    code = "import sys, medallion_assets.cli.main; print(sorted(set(sys.modules) & set(sys.argv[1].split(','))))"
    found = subprocess.run([sys.executable, "-c", code, ",".join(heavy)], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "generate",
        "status",
        "query",
        "verify",
        "repair",
        "redrive",
        "rebuild",
        "cost",
        "doctor",
        "quarantine list",
        "quarantine show",
        "quarantine replay",
        "quarantine drop",
        "contracts check",
        "contracts schema",
    ],
)
def test_every_command_has_help_with_examples(command: str) -> None:
    found = medallion(*command.split(), "--help")
    assert found.exit_code == 0
    assert f"Examples:\n    medallion {command}" in found.stdout


@pytest.mark.parametrize("group", ["", "quarantine", "contracts"])
def test_the_list_of_commands_says_what_each_does_in_a_sentence_that_fits(group: str) -> None:
    _, _, commands = medallion(*group.split(), "--help").stdout.partition("Commands:\n")
    lines = commands.splitlines()
    assert len(lines) > 1
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


def test_the_installed_command_names_its_exit_codes() -> None:
    found = subprocess.run([Path(sys.executable).parent / "medallion"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "Exit codes: 0 fine;" in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-command"], "No such command"),
        (["query"], "Missing argument 'SELECT'"),
        (["query", "SELECT 1", "--format", "xml"], "'xml' is not one of"),
        (["generate", "--rate", "0"], "--rate"),
        (["generate", "--seconds", "5", "--count", "5"], "not both"),
        (["contracts", "schema", "table"], "'table' is not one of"),
        (["redrive", "--given-up", "no/such/place"], "no/such/place is no directory; expected s3://bucket"),
        (["quarantine", "replay"], "Missing argument 'TABLE'"),
        (["quarantine", "drop", "trips", "1"], "Missing option '--reason'"),
        (["quarantine", "drop", "trips", "1", "--reason", " "], "--reason"),
        (["quarantine", "drop", "trips", "--reason", "x"], "either an event id or --where"),
        (["quarantine", "drop", "trips", "1", "--where", "TRUE", "--reason", "x"], "either an event id or --where"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: list[str], said: str) -> None:
    found = medallion(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr


@pytest.mark.parametrize("arguments", SERVICES)
def test_without_settings_the_missing_variables_and_the_demo_are_named(arguments: tuple[str, ...]) -> None:
    found = medallion(*arguments)
    assert found.exit_code == 2
    assert "MEDALLION_DOMAIN is not set" in found.stderr and "`medallion demo`" in found.stderr


@pytest.mark.parametrize("arguments", SERVICES)
def test_a_service_that_does_not_answer_is_exit_code_3(
    arguments: tuple[str, ...], named: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    found = medallion(*arguments)
    assert found.exit_code == 3, found.output
    assert str(port) in found.stderr and "Traceback" not in found.stderr


@pytest.mark.parametrize("arguments", SERVICES)
def test_missing_credentials_are_exit_code_2(
    arguments: tuple[str, ...], named: None, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    found = medallion(*arguments)
    assert found.exit_code == 2, found.output
    assert "credentials" in found.stderr


@pytest.mark.parametrize("arguments", [("verify",), ("generate", "--count", "1")])
def test_a_missing_table_is_named_with_the_next_step(arguments: tuple[str, ...], fleet: Fleet) -> None:
    boto3.client("dynamodb").delete_table(TableName="fleet-Trips")
    found = medallion(*arguments)
    assert found.exit_code == 2, found.output
    assert "ResourceNotFoundException" in found.stderr and "`medallion demo` creates everything" in found.stderr


@pytest.mark.parametrize("arguments", [("verify",), ("repair", "trips", "--dry-run"), ("generate", "--count", "1")])
def test_a_table_is_looked_for_under_the_name_that_dynamodb_has(
    arguments: tuple[str, ...], fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract's own name exists, so only who asks for the other one fails."""
    monkeypatch.setenv("MEDALLION_SOURCE_TABLES", "fleet-Trips=prod-Trips")
    found = medallion(*arguments)
    assert found.exit_code == 2 and "ResourceNotFoundException" in found.stderr, found.output


@pytest.mark.both_lakes
@pytest.mark.parametrize("fleet", ["glue"], indirect=True)
def test_a_missing_bucket_is_named(fleet: Fleet) -> None:
    bucket = fleet.settings.bronze.removeprefix("s3://").partition("/")[0]
    boto3.client("s3").delete_bucket(Bucket=bucket)
    found = medallion("status")
    assert found.exit_code == 2, found.output
    assert bucket in found.stderr


def test_an_unknown_domain_lists_the_shipped_ones(named: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DOMAIN", "ecomerce")
    for arguments in (
        ("contracts", "check"),
        ("contracts", "check", "ecomerce"),
        ("generate",),
        ("demo", "--once"),
        ("up",),
    ):
        found = medallion(*arguments)
        assert (found.exit_code, found.stdout) == (2, ""), found.output
        assert "No domain 'ecomerce': expected the name of a shipped one (ecommerce" in found.stderr


def test_contracts_check_describes_a_domain() -> None:
    shown = medallion("contracts", "check")
    assert shown.exit_code == 0 and "customer_id" in shown.stdout
    found = json.loads(medallion("contracts", "check", FLEET, "--json").stdout)
    assert [table["name"] for table in found["tables"]] == ["vehicles", "trips"]
    assert found["marts"] == ["daily_distance"] and found["workload"] is True
    assert found["mart_columns"]["daily_distance"]["distance_km"] == "decimal(38,3)"
    assert [(table["enriched"], table["dropped"]) for table in found["tables"]] == [
        ({}, []),
        ({"depot": "string"}, ["Debug"]),
    ]


def test_contracts_check_shows_what_is_enriched_dropped_and_in_marts() -> None:
    shown = medallion("contracts", "check", FLEET)
    assert re.search(r"depot +│ string +│ enriched: vehicles\.depot", shown.stdout), shown.stdout
    assert "dropped: Debug\n" in shown.stdout
    assert re.search(r"distance_km +│ decimal\(38,3\) +│ Their length together\.", shown.stdout), shown.stdout
    assert shown.stderr == ""


def test_a_dropped_attribute_that_the_workload_does_not_write_is_noted(tmp_path: Path) -> None:
    shutil.copytree(FLEET, tmp_path / "fleet")
    path = tmp_path / "fleet/tables/trips.yaml"
    path.write_text(path.read_text().replace("drop: [Debug]", "drop: [Debgu]"))
    found = medallion("contracts", "check", str(tmp_path / "fleet"))
    assert found.exit_code == 0
    assert "note: trips: drop: workload.yaml writes no attribute 'Debgu'; it writes Debug, Weather" in found.stderr


def test_contracts_check_names_the_mistakes_of_marts_and_workload_together(tmp_path: Path) -> None:
    shutil.copytree(FLEET, tmp_path / "fleet")
    for file, old, new in [
        ("marts/daily_distance/mart.yaml", "grain: [day", "grain: [date"),
        ("marts/daily_distance/query.sql", "FROM silver.trips", "FROM silver.trip"),
        ("workload.yaml", "burst:", "bursts:"),
    ]:
        path = tmp_path / "fleet" / file
        path.write_text(path.read_text().replace(old, new))
    found = medallion("contracts", "check", str(tmp_path / "fleet"))
    assert found.exit_code == 2
    assert re.search(
        r"(?s)mart\.yaml: grain: .*query\.sql: FROM silver\.trip: .*workload\.yaml: bursts: ", found.stderr
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("tables/trips.yaml", "owner:", "ownr:", r"trips.yaml: ownr: unknown key"),
        ("tables/trips.yaml", "bigint", "long", r"trips.yaml: columns.VehicleNo.type: 'long' is not a type"),
        ("tables/trips.yaml", "columns:", "columns: [", r"trips.yaml: not readable as YAML"),
        ("tables/trips.yaml", "name: trips", "name: vehicles", r"name: 'vehicles' is also the name of .*trips.yaml"),
        ("marts/daily_distance/mart.yaml", "grain: [day", "grain: [date", r"mart.yaml: grain: no column 'date'"),
        ("marts/daily_distance/query.sql", "distance_km)", "distance)", r"query.sql: .*distance"),
        ("workload.yaml", "bursts", "burst", r""),
        ("workload.yaml", "burst:", "bursts:", r"workload.yaml: bursts: unknown key"),
        ("domain.yaml", "since:", "from:", r"domain.yaml: since: missing"),
        ("domain.yaml", "2026-01-01", "yesterday", r"since: expected a day like 2026-01-31, found 'yesterday'"),
        ("workload.yaml", "count: 12", "count: -1", r"initial.count: expected greater than or equal to 0, found"),
    ],
)
def test_contracts_check_names_file_and_field_of_a_mistake(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    shutil.copytree(FLEET, tmp_path / "fleet")
    path = tmp_path / "fleet" / file
    path.write_text(path.read_text().replace(old, new, 1))
    found = medallion("contracts", "check", str(tmp_path / "fleet"))
    assert found.exit_code == (2 if said else 0), found.output
    assert re.search(said, found.stderr)


@pytest.mark.parametrize(
    ("file", "renamed"),
    [
        ("tables/trips.yaml", "tables/trips.yml"),
        ("tables/trips.yaml", "tables/trips.YAML"),
        ("marts/daily_distance/mart.yaml", "marts/daily_distance/mart.yml"),
        ("workload.yaml", "workload.yml"),
    ],
)
def test_a_file_that_would_be_left_out_for_its_ending_is_refused(tmp_path: Path, file: str, renamed: str) -> None:
    shutil.copytree(FLEET, tmp_path / "fleet")
    (tmp_path / "fleet" / file).rename(tmp_path / "fleet" / renamed)
    (tmp_path / "fleet" / "tables" / "README.md").write_text("notes")
    found = medallion("contracts", "check", str(tmp_path / "fleet"))
    assert found.exit_code == 2
    assert f"fleet/{renamed}: not read" in found.stderr and f"name it {Path(file).name}" in found.stderr


@pytest.mark.parametrize("kind", ["contract", "mart", "workload", "dashboard", "query"])
def test_the_committed_schemas_are_those_of_the_models(kind: str, tmp_path: Path) -> None:
    import medallion_assets.contracts

    committed = Path(medallion_assets.contracts.__file__).parent / f"{kind}.schema.json"
    assert committed.read_text() == schema_text(kind), "run `make schemas`"  # type: ignore[arg-type]
    assert medallion("contracts", "schema", kind).stdout == schema_text(kind)  # type: ignore[arg-type]
    medallion("contracts", "schema", "--write", str(tmp_path))
    assert (tmp_path / f"{kind}.schema.json").read_text() == committed.read_text()


def test_the_version_is_that_of_the_package() -> None:
    found = medallion("--version")
    assert (found.exit_code, found.stdout) == (0, f"medallion-assets {version('medallion-assets')}\n")


def test_ctrl_c_in_the_middle_of_a_query_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise RuntimeError("Query interrupted") from KeyboardInterrupt()  # as DuckDB raises it

    monkeypatch.setattr("medallion_assets.cli.environment.settings", interrupted)
    found = medallion("query", "SELECT 1")
    assert (found.exit_code, found.output) == (130, "")


def test_the_domain_is_the_one_named_then_that_of_the_folder_then_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checked() -> str:
        found = json.loads(medallion("contracts", "check", "--json").stdout)
        assert isinstance(found, dict)
        return str(found["domain"])

    assert checked() == "ecommerce"
    shutil.copytree(FLEET, tmp_path / "vans")
    monkeypatch.chdir(tmp_path / "vans")
    assert checked() == "vans"
    monkeypatch.setenv("MEDALLION_DOMAIN", "ecommerce")
    assert checked() == "ecommerce"


def test_a_demo_without_a_workload_is_refused_before_anything_starts(tmp_path: Path) -> None:
    shutil.copytree(FLEET, tmp_path / "vans")
    (tmp_path / "vans" / "workload.yaml").unlink()
    found = medallion("demo", "--once", "--domain", "vans")
    assert found.exit_code == 2
    assert "vans/workload.yaml: no such file. It describes what `medallion demo`" in found.stderr
    assert not (tmp_path / ".medallion").exists()


def test_a_demo_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medallion_assets.local.pipeline.find_spec", lambda name: None)
    found = medallion("demo", "--once")
    assert found.exit_code == 2
    assert (
        "Running here needs dagster-webserver, which is not installed: pip install 'medallion-assets[local]'"
        in found.stderr
    )


def test_a_port_that_is_taken_is_named_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        found = medallion("up", "--dagster-port", str(port))
    assert (found.exit_code, found.stdout) == (3, "")
    assert f"Port {port} on 127.0.0.1 is taken. Stop what listens there or choose another port." in found.stderr
    assert not Path(".medallion/stack").exists()


def test_a_second_demo_in_the_folder_is_refused_with_one_sentence() -> None:
    with only_stack(Path(".medallion")):
        found = medallion("demo", "--once")
    assert found.exit_code == 3
    assert "A local stack already runs on" in found.stderr and found.stderr.count("\n") == 1


def test_a_missing_emulator_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_EMULATOR", "/no/such/ministack")
    found = medallion("demo", "--once")
    assert found.exit_code == 3
    assert "MEDALLION_EMULATOR is '/no/such/ministack', and there is no such file." in found.stderr


def test_a_reader_that_stops_early_is_no_error(fleet: Fleet) -> None:
    sql = "SELECT n FROM UNNEST(sequence(1, 9999)) AS t (n)"
    command = f'{Path(sys.executable).parent / "medallion"} query "{sql}" --format csv | head -1'
    found = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.stderr) == ("n", "")
