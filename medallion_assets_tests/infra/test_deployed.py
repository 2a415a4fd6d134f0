"""The Lake and Capture stacks, deployed to the local AWS from their synthesised templates, and the pipeline on them.

What the local AWS does with them is not all that AWS does: it ignores lifecycle rules, PITR, alarms and IAM (the
templates' own tests hold those), and its event source mapping ignores retries, bisect and partial failures. So its
mapping delivers here what succeeds, while what fails is shown by invoking the function with the records of the stream.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest

from medallion_assets.capture.envelope import BRONZE_COLUMNS
from medallion_assets.definitions import defs
from medallion_assets.defs.resources import MedallionResource
from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import read_assembly
from medallion_assets.doctor.finding import Level
from medallion_assets.doctor.mappings import check_mappings
from medallion_assets.doctor.names import check_names
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.settings import Settings
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.defs.runs import fared, incremental_run, today
from medallion_assets_tests.infra.assembly import Assembly, synthesise, write_environment
from medallion_assets_tests.infra.calls import recorded, refused
from medallion_assets_tests.infra.deployment import bootstrap, deploy

pytestmark = pytest.mark.slow

FUNCTION = "medallion-dev-capture"
_accounts = itertools.count(900_000)


@dataclass(frozen=True)
class Deployed:
    """The two stacks in an account of their own."""

    assembly: Assembly
    bucket: str

    def keys(self, prefix: str) -> list[str]:
        listed = boto3.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    @property
    def package(self) -> Path:
        (found,) = (path for path in self.assembly["Capture"].assets() if path.suffix == ".zip")
        return found


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Both stacks as the templates say, for this machine's own processor and Python, since no container runs here."""
    account = f"{os.getpid() % 1_000_000:06d}{next(_accounts):06d}"
    folder = tmp_path_factory.mktemp("deployed")
    here = {
        "architecture": {"aarch64": "arm64"}.get(platform.machine(), "x86_64"),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    # The local AWS has no budgets.
    changes = {"account": account, "region": REGION, "capture": here, "monthly_budget_usd": None}
    settings = write_environment(folder / "environments", "dev", **changes)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.client_env(account).items():
            patch.setenv(name, value)
        patch.setattr("boto3.DEFAULT_SESSION", None)
        (assembly,) = synthesise(folder / "build", settings)
        bootstrap(assembly["Capture"])
        deploy(assembly["Lake"], "medallion-dev-lake")
        deploy(assembly["Capture"], "medallion-dev-capture")
        bucket = f"medallion-dev-lake-{account}-{REGION}"
        for name, value in (
            ("MEDALLION_DOMAIN", "ecommerce"),
            ("MEDALLION_BRONZE", f"s3://{bucket}/bronze"),
            ("MEDALLION_WAREHOUSE", f"s3://{bucket}/warehouse"),
            ("MEDALLION_CATALOG", "glue"),
        ):
            patch.setenv(name, value)
        yield Deployed(assembly, bucket)


def until(looked_for: Callable[[], list[Any]], seconds: float = 30) -> list[Any]:
    deadline = time.monotonic() + seconds
    while not (found := looked_for()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def put(table: str, **attributes: dict[str, Any]) -> None:
    boto3.client("dynamodb").put_item(TableName=table, Item=attributes)


def stream_records(table: str) -> list[dict[str, Any]]:
    """The stream's records in the shape of Lambda's event; times and bytes as JSON has them."""
    streams = boto3.client("dynamodbstreams")
    arn = boto3.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    records = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for record in streams.get_records(ShardIterator=iterator)["Records"]:
            change = {**record["dynamodb"], "ApproximateCreationDateTime": 1_700_000_000}
            records.append({**record, "dynamodb": change, "eventSourceARN": arn})
    return records


def invoke(records: list[dict[str, Any]]) -> None:
    answer = boto3.client("lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps({"Records": records}).encode())
    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body


def test_a_written_item_becomes_a_bronze_object_and_then_gold(deployed: Deployed) -> None:
    put("Customers", CustomerID={"S": "c1"}, Name={"S": "Ann"}, Region={"S": "North"})
    put("Products", ProductID={"S": "p1"}, Name={"S": "Lamp"}, Price={"N": "1.50"}, StockLevel={"N": "3"})
    put(
        "Orders",
        OrderID={"S": "o1"},
        CustomerID={"S": "c1"},
        ProductID={"L": [{"S": "p1"}]},
        OrderDate={"S": f"{today()}T00:00:01Z"},
        TotalAmount={"N": "12.30"},
        Status={"S": "pending"},
    )
    for table in ("Customers", "Products", "Orders"):
        (key,) = until(partial(deployed.keys, f"bronze/{table}/"))
        assert f"/year={today():%Y}/month={today():%m}/day={today():%d}/" in key

    with dg.DagsterInstance.ephemeral() as instance, recorded() as needs:
        fate = fared(incremental_run(defs(), instance, today()))
    assert not refused(deployed.assembly["Orchestrator"], "Rolepipeline", needs)
    assert not fate["FAILURE"]
    assert "gold/daily_sales_by_region" in fate["SUCCESS"]
    with Lake.open(Settings.load().lake()) as lake, lake.duckdb() as connection:
        sales = lake.scan_sql(lake.table("gold", "daily_sales_by_region"), None)
        rows = connection.sql(f"SELECT region, order_count, total_revenue FROM {sales}").fetchall()
    assert rows == [("North", 1, Decimal("12.30"))]
    for layer in ("silver/orders", "gold/daily_sales_by_region"):
        assert deployed.keys(f"warehouse/{layer}/"), layer


def test_looks_and_reconciling_need_no_more_than_their_roles_may_do(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medallion_assets.reconciliation.catch_up.CatchUp", partial(CatchUp, capture_delay_seconds=0))
    definitions, orchestrator = defs(), deployed.assembly["Orchestrator"]
    resources = {"medallion": MedallionResource()}
    with dg.DagsterInstance.ephemeral() as instance:
        with (
            recorded() as needs,
            dg.build_sensor_context(instance=instance, resources=resources, definitions=definitions) as context,
        ):
            definitions.resolve_sensor_def("bronze_arrivals").evaluate_tick(context)
            for name in ("observe", "reconciliation"):
                definitions.resolve_job_def(name).execute_in_process(instance=instance)
        assert {need.action for need in needs} >= {"dynamodb:Scan", "glue:CreateTable", "s3:ListBucket"}
        assert not refused(orchestrator, "Rolepipeline", needs)
    with recorded() as needs:
        medallion("verify", "--settle", "0")
    assert "dynamodb:Scan" in {need.action for need in needs}
    assert not refused(orchestrator, "Roleoperator", needs)


def test_a_record_that_cannot_be_written_is_a_dead_letter_and_its_neighbours_are_in_bronze(deployed: Deployed) -> None:
    for number in range(3):
        put("Products", ProductID={"S": f"q{number}"}, Name={"S": "Box"}, Price={"N": "2"}, StockLevel={"N": "1"})
    records = stream_records("Products")[-3:]
    del records[1]["dynamodb"]["Keys"]
    invoke(records)
    # The function writes what is before the bad record and what is after it, each as an object of one row.
    alone = [key for key in deployed.keys("bronze/Products/") if _rows(deployed, key) == 1]
    for record in (records[0], records[2]):
        assert any(record["dynamodb"]["SequenceNumber"] in key for key in alone)
    (letter,) = deployed.keys("bronze/_dead_letters/Products/")
    assert records[1]["dynamodb"]["SequenceNumber"] in letter


def test_the_mapping_is_as_the_template_says(deployed: Deployed) -> None:
    mappings = boto3.client("lambda").list_event_source_mappings(FunctionName=FUNCTION)["EventSourceMappings"]
    assert len(mappings) == 3
    for mapping in mappings:
        assert mapping["BatchSize"] == 1_000
        assert "medallion-dev-given-up-" in mapping["DestinationConfig"]["OnFailure"]["Destination"]


def test_others_find_names_in_parameters(deployed: Deployed) -> None:
    pages = boto3.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/medallion/dev", Recursive=True)
    found = {one["Name"]: one["Value"] for page in pages for one in page["Parameters"]}
    assert found["/medallion/dev/lake/bucket-name"] == deployed.bucket
    assert found["/medallion/dev/lake/glue-database/gold"] == "gold"
    assert found["/medallion/dev/capture/function-arn"].endswith(f":function:{FUNCTION}")


def test_the_doctor_finds_what_is_deployed(deployed: Deployed) -> None:
    assembly = read_assembly(deployed.assembly.folder)
    account = Account(assembly.region)
    assert {found.subject: found.level for found in check_mappings(assembly, account)} == {
        f"mapping of {table}": Level.OK for table in ("Customers", "Orders", "Products")
    }
    names = {found.subject: found for found in check_names(assembly, account)}
    assert names["names of Glue Database"].seen == "0 names are free, 7 are this environment's own"
    assert {found.level for found in names.values()} == {Level.OK}


def test_athena_sees_the_columns_that_capture_writes(deployed: Deployed) -> None:
    table = boto3.client("glue").get_table(DatabaseName="bronze", Name="orders")["Table"]
    columns = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    assert tuple(columns) == BRONZE_COLUMNS
    put("Customers", CustomerID={"S": "c2"}, Name={"S": "Bob"}, Region={"S": "South"})
    key = until(lambda: deployed.keys("bronze/Customers/"))[0]
    with Lake.open(Settings.load().lake()) as lake, lake.duckdb() as connection:
        written = connection.sql(f"DESCRIBE SELECT * FROM read_parquet('s3://{deployed.bucket}/{key}')").fetchall()
    kinds = {"VARCHAR": "string", "TIMESTAMP WITH TIME ZONE": "timestamp"}
    days = {"year", "month", "day"}  # DuckDB takes these from the path
    assert {name: kinds[kind] for name, kind, *_ in written if name not in days} == columns


def test_the_package_stands_alone_and_starts_fast(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an interpreter that sees nothing but the unpacked zip: another library's copy must not hide a missing file."""
    with zipfile.ZipFile(deployed.package) as archive:
        archive.extractall(tmp_path)
        unpacked = sum(entry.file_size for entry in archive.infolist())
    code = f"""
import sys, time
sys.path = [path for path in sys.path if "site-packages" not in path]
sys.path.insert(0, {str(tmp_path)!r})
start = time.perf_counter()
from medallion_assets.capture.handler import handler
imported = time.perf_counter()
import json
handler(json.loads(sys.stdin.read()), None)
written = time.perf_counter()
handler({{"Records": []}}, None)
import boto3
assert boto3.__file__.startswith({str(tmp_path)!r})
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(imported - start, written - imported, int(peak) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=json.dumps({"Records": stream_records("Customers")}),
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported, written, peak = map(float, done.stdout.split())
    size = deployed.package.stat().st_size
    with capsys.disabled():
        print(  # noqa: T201 - these numbers are why the package is as it is
            f"\ncapture package: {size / 1e6:.1f} MB zipped, {unpacked / 1e6:.1f} MB unpacked; cold start here: import "
            f"{imported * 1000:.0f} ms, first object {written * 1000:.0f} ms, {peak:.0f} MB"
        )
    assert size < 20e6
    assert unpacked < 60e6


def _rows(deployed: Deployed, key: str) -> int:
    with Lake.open(Settings.load().lake()) as lake, lake.duckdb() as connection:
        (found,) = connection.sql(f"SELECT count(*) FROM read_parquet('s3://{deployed.bucket}/{key}')").fetchall()
    return int(found[0])
