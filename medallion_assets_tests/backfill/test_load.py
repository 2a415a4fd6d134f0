"""A backfill that has its export made: by our exporter over the local AWS, and by DynamoDB's API as boto3 knows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from medallion_assets.backfill import handover
from medallion_assets.backfill.aws_export import AwsExporter
from medallion_assets.backfill.backfill import Backfill
from medallion_assets.backfill.export import read_export
from medallion_assets.backfill.export_files import open_export_files
from medallion_assets.backfill.load import Load
from medallion_assets.backfill.local_export import LocalExporter
from medallion_assets.backfill.requested_export import RequestedExport, find_request, make_export, new_request
from medallion_assets.backfill.scan_snapshot import SEGMENT_BYTES
from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import LakeUnavailable, SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.fixtures.fleet_lake import Fleet, stream
from medallion_assets_tests.silver.changes import NOON, bench_on_files, contract

ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/Orders"
EXPORT_ARN = f"{ARN}/export/01234567890123-a1b2c3d4"
REQUEST = RequestedExport("0123456789abcdef", NOON, f"{ARN}/stream/2026-03-01T00:00:00.000", bytes=0)
ORDERS = contract("Orders", {"Id": "string"}, key="Id")
VEHICLE = {"VehicleNo": {"N": "7"}, "Plate": {"S": "X"}, "Depot": {"S": "North"}}


@pytest.mark.both_lakes
def test_without_a_location_an_export_is_made_and_loaded_and_never_a_second_one(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lake is on S3, so is the export."""
    monkeypatch.setattr(handover, "CLOCK_TOLERANCE", timedelta())
    place = fleet.settings.warehouse if fleet.settings.warehouse.startswith("s3://") else str(tmp_path)
    settings = fleet.settings.model_copy(update={"exports": f"{place}/exports"})
    client, store = boto3.client("dynamodb"), open_store(settings.bronze)
    fleet.write()
    fleet.delivered["fleet-Vehicles"] = len(stream("fleet-Vehicles"))  # from before the stream
    fleet.write(20)
    client.put_item(TableName="fleet-Vehicles", Item=VEHICLE)
    fleet.capture()
    fleet.publish()
    vehicles = load_domain(FLEET).by_name["vehicles"]

    def load(merge: Callable[[], None]) -> Backfill:
        with Lake.open(settings.lake()) as lake:
            return Load(
                settings,
                lake,
                store,
                vehicles,
                client,
                "export",
                CatchUp(capture_delay_seconds=0, wait=lambda seconds: merge()),
                merge_seconds=0 if merge is idle else 20,
            ).run()

    def idle() -> None:
        """The pipeline does not run."""

    items = client.scan(TableName="fleet-Vehicles", Select="COUNT")["Count"]
    first = load(idle)
    assert not first.merged and first.read == first.items == items
    client.delete_item(TableName="fleet-Vehicles", Key={"VehicleNo": {"N": "7"}})

    def pipeline() -> None:
        fleet.capture()
        fleet.publish()

    second = load(pipeline)
    assert (second.id, second.read, second.merged) == (first.id, 0, True), "the same export, and no file read again"
    pipeline()
    with Lake.open(settings.lake()) as lake, lake.duckdb() as connection:
        rows = connection.execute(f"SELECT count(*) FROM {lake.scan_sql(lake.table('silver', 'vehicles'), None)}")
        assert rows.fetchall() == [(items - 1,)], "the vehicle that was deleted stays deleted"
    assert load(pipeline).id != first.id, "the next backfill is of a new export"


class Table:
    """A table whose segments have two items each."""

    def __init__(self) -> None:
        self.scanned: list[int] = []
        self.dies_at: int | None = None

    def scan_segment(self, segment: int, of: int) -> Iterator[bytes]:
        assert of == 3
        self.scanned.append(segment)
        yield json.dumps({"Items": [{"Id": {"S": f"{segment}-0"}}]}).encode()
        if segment == self.dies_at:
            raise LakeUnavailable("the machine is gone")
        yield json.dumps({"Items": [{"Id": {"S": f"{segment}-1"}}]}).encode()


def test_our_exporter_that_died_scans_only_the_segments_that_are_left(tmp_path: Path) -> None:
    table, store = Table(), open_store(str(tmp_path / "bronze"))
    exporter = LocalExporter(table, ARN, str(tmp_path), lambda: NOON + timedelta(minutes=1))
    table.dies_at = 1
    request = replace(REQUEST, bytes=3 * SEGMENT_BYTES)
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        with pytest.raises(LakeUnavailable):
            make_export(store, ORDERS, request, exporter, lambda text: None)
        table.dies_at = None
        found = find_request(bench.lake, store, ORDERS, stream_arn=REQUEST.stream_arn, now=NOON)
        assert found is not None and found.token == request.token
        done = make_export(store, ORDERS, found, exporter, lambda text: None)
    assert table.scanned == [0, 1, 1, 2]
    folder = tmp_path / "AWSDynamoDB" / done.id
    export = read_export(open_export_files(str(folder)), table_arn=ARN)
    assert (export.items, len(export.files), export.at, export.ended_at) == (6, 3, NOON, NOON + timedelta(minutes=1))
    names = {"_started", "manifest-files.json", "manifest-files.md5", "manifest-summary.json", "manifest-summary.md5"}
    assert {path.name for path in folder.iterdir()} == {*names, "data"}
    make_export(store, ORDERS, done, exporter, lambda text: None)
    assert len(table.scanned) == 4


@dataclass
class Api:
    """DynamoDB's API with answers that botocore holds against its description of the service."""

    exporter: AwsExporter
    stub: Stubber
    waited: list[float]


@pytest.fixture
def api() -> Iterator[Api]:
    client = boto3.client("dynamodb", region_name="eu-central-1")
    waited: list[float] = []
    with Stubber(client) as stub:
        yield Api(AwsExporter(client, ARN, "exports", "of/us", waited.append), stub, waited)
        stub.assert_no_pending_responses()


def _started(token: str) -> dict[str, Any]:
    return {
        "TableArn": ARN,
        "S3Bucket": "exports",
        "S3Prefix": "of/us",
        "ClientToken": token,
        "ExportFormat": "DYNAMODB_JSON",
        "ExportType": "FULL_EXPORT",
    }


def _export(status: str, **more: str) -> dict[str, Any]:
    return {"ExportDescription": {"ExportArn": EXPORT_ARN, "ExportStatus": status, **more}}


def test_dynamodb_is_asked_once_for_an_export_and_waited_for(api: Api, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    said: list[str] = []
    request = new_request(stream_arn=REQUEST.stream_arn, bytes=1, now=datetime.now(UTC))
    api.stub.add_response("export_table_to_point_in_time", _export("IN_PROGRESS"), _started(request.token))
    api.stub.add_client_error("describe_export", "InternalServerError", http_status_code=500)
    with pytest.raises(Exception, match="InternalServerError"):
        make_export(store, ORDERS, request, api.exporter, said.append)
    api.stub.add_response("describe_export", _export("IN_PROGRESS"), {"ExportArn": EXPORT_ARN})
    api.stub.add_response("describe_export", _export("COMPLETED"), {"ExportArn": EXPORT_ARN})
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        now = datetime.now(UTC) + timedelta(days=3)
        found = find_request(bench.lake, store, ORDERS, stream_arn=REQUEST.stream_arn, now=now)
        assert found is not None, "a run after a crash goes on with the export"
        assert make_export(store, ORDERS, found, api.exporter, said.append).id == "01234567890123-a1b2c3d4"
        assert len(said) == len(api.waited) == 1 and "IN_PROGRESS" in said[0]
        assert find_request(bench.lake, store, ORDERS, stream_arn=f"{ARN}/stream/x", now=now) is None


def test_a_request_whose_answer_was_lost_is_repeated_with_its_token_while_dynamodb_knows_it(
    api: Api, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    for _ in range(2):
        api.stub.add_client_error(
            "export_table_to_point_in_time", "InternalServerError", expected_params=_started(REQUEST.token)
        )
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        request: RequestedExport | None = REQUEST
        for _ in range(2):
            assert request is not None
            with pytest.raises(Exception, match="InternalServerError"):
                make_export(store, ORDERS, request, api.exporter, lambda text: None)
            request = find_request(
                bench.lake, store, ORDERS, stream_arn=REQUEST.stream_arn, now=NOON + timedelta(hours=7)
            )
        later = NOON + timedelta(hours=9)
        assert find_request(bench.lake, store, ORDERS, stream_arn=REQUEST.stream_arn, now=later) is None


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("PointInTimeRecoveryUnavailableException", SettingsError, "no point-in-time recovery"),
        ("AccessDeniedException", SettingsError, "dynamodb:ExportTableToPointInTime"),
        ("LimitExceededException", LakeUnavailable, "Run this again later"),
    ],
)
def test_an_export_that_dynamodb_refuses_is_one_sentence(
    api: Api, code: str, error: type[Exception], said: str
) -> None:
    api.stub.add_client_error("export_table_to_point_in_time", code)
    with pytest.raises(error, match=said):
        api.exporter.start(REQUEST)


def test_an_export_that_failed_is_forgotten(api: Api, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    failed = _export("FAILED", FailureCode="AccessDenied", FailureMessage="the bucket has another owner")
    api.stub.add_response("describe_export", failed)
    with bench_on_files(tmp_path / "lake", ORDERS) as bench:
        with pytest.raises(SettingsError, match=r"AccessDenied: the bucket has another owner.* asks for another one"):
            make_export(store, ORDERS, replace(REQUEST, arn=EXPORT_ARN), api.exporter, lambda text: None)
        assert find_request(bench.lake, store, ORDERS, stream_arn=REQUEST.stream_arn, now=NOON) is None


def test_where_exports_are_made_must_be_said(fleet: Fleet) -> None:
    with Lake.open(fleet.settings.lake()) as lake:
        load = Load(
            fleet.settings,
            lake,
            open_store(fleet.settings.bronze),
            load_domain(FLEET).by_name["vehicles"],
            boto3.client("dynamodb"),
            "export",
            CatchUp(),
            merge_seconds=0,
        )
        with pytest.raises(SettingsError, match="MEDALLION_EXPORTS is not set"):
            load.estimate()
