"""One backfill of one table, as a person asks for it: from an export that exists, from one that is made now, or a scan.

Belongs here: what the command and the asset have in common: which snapshot, its estimate, and the run. Does not belong
here: the steps of loading (backfill), how progress is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from medallion_assets.backfill.aws_export import AwsExporter
from medallion_assets.backfill.backfill import Backfill, Plan, backfill, plan_from_export, plan_from_scan
from medallion_assets.backfill.estimate import Estimate, estimate_export, estimate_plan
from medallion_assets.backfill.export_files import open_export_files
from medallion_assets.backfill.handover import lossy_gaps, require_captured
from medallion_assets.backfill.local_export import LocalExporter
from medallion_assets.backfill.progress import read_progress
from medallion_assets.backfill.requested_export import (
    Exporter,
    RequestedExport,
    find_request,
    finish_request,
    make_export,
    new_request,
)
from medallion_assets.backfill.snapshot import Kind
from medallion_assets.capture.given_up import GivenUp, find_given_up
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.cost.data import load_prices
from medallion_assets.errors import SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.scan import Description, DynamoTable
from medallion_assets.settings import VARIABLES, DomainSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


@dataclass
class Load:
    """A backfill of the table `contract`.

    - source: an export, or a scan
    - location: the folder of an export that exists; None makes one at MEDALLION_EXPORTS
    - read_capacity: units a second that a scan may use of the table; threads: how many segments it reads at once
    - merge_seconds: how long the running pipeline may take to merge the last rows
    """

    settings: DomainSettings
    lake: Lake
    store: BronzeStore
    contract: Contract
    client: DynamoDBClient
    source: Kind
    catch_up: CatchUp
    merge_seconds: float
    location: str | None = None
    read_capacity: float | None = None
    threads: int = 4
    _plan: Plan | None = field(default=None, init=False)
    _request: RequestedExport | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.contract.where is not None:
            name = self.contract.lake_name
            raise SettingsError(
                f"{name} is one entity of {self.contract.table}, and a backfill loads whole tables; load it by "
                f"`medallion repair {name} --reason 'first load'`."
            )
        if self.location is not None and self.source == "scan":
            raise SettingsError("A scan takes no export: give either the folder of an export, or a scan.")

    def estimate(self) -> Estimate:
        """Check that the table may be loaded, and return what is left to do; write nothing.

        Raises SettingsError, botocore's errors, LakeUnavailable, CorruptObject.
        """
        if self.source == "scan":
            self._plan = plan_from_scan(
                self.lake,
                self.store,
                self.contract,
                self._about,
                table=self._table,
                threads=self.threads,
                now=self.catch_up.now,
            )
        elif self.location is not None:
            self._plan = self._plan_export(self.location)
        else:
            self._request = self._find_request()
            if self._request.arn is None or not read_progress(self.store, self.contract, self._request.id):
                return estimate_export(load_prices(), self._about, scanned=not _is_aws(self.client))
            self._plan = self._plan_export(self._folder(self._request))
        return estimate_plan(load_prices(), self._plan)

    def run(
        self,
        *,
        note: Callable[[str], None] = lambda text: None,
        report: Callable[[int, int], None] = lambda items, of: None,
    ) -> Backfill:
        """Make the export, if it is to be made, and load the items. After a crash the same call goes on.

        `note` is called with how the export goes on, `report` with the items in Bronze so far and those of the
        snapshot. Raises what `estimate` and `backfill` raise.
        """
        if self._plan is None:
            self.estimate()
        if self._plan is None and self._request is not None:
            self._request = make_export(self.store, self.contract, self._request, self._exporter(), note)
            self._plan = self._plan_export(self._folder(self._request))
        if self._plan is None:
            raise ValueError("neither a plan nor a request")
        done = backfill(
            self.lake,
            self.store,
            self.contract,
            self._plan,
            catch_up=self.catch_up,
            merge_seconds=self.merge_seconds,
            given_up=self._given_up,
            report=report,
        )
        if self._request is not None and done.merged:
            finish_request(self.store, self.contract, self._request)
        return done

    def _find_request(self) -> RequestedExport:
        now = self.catch_up.now()
        self._exports()  # a setting that is missing shows before anything is asked for
        found = find_request(self.lake, self.store, self.contract, stream_arn=self._about.stream_arn, now=now)
        if found is not None:
            return found
        stream = require_captured(self.store, self.contract, stream_arn=self._about.stream_arn, at=now, now=now)
        lossy_gaps(self.lake, self.store, self.contract, at=now)
        return new_request(stream_arn=stream, bytes=self._about.bytes, now=now)

    def _exporter(self) -> Exporter:
        exports, table = self._exports(), self._about.arn
        if not _is_aws(self.client):
            return LocalExporter(self._table, table, exports, self.catch_up.now)
        bucket, _, prefix = exports.removeprefix("s3://").partition("/")
        return AwsExporter(self.client, table, bucket, prefix.strip("/"))

    def _exports(self) -> str:
        exports = self.settings.exports
        if exports is None:
            raise SettingsError(
                f"{VARIABLES['exports']} is not set: it says where an export of {self.contract.table} is written. Set "
                "it to s3://bucket/prefix, give the folder of an export that exists (--export), or load the table by a "
                "scan (--from scan)."
            )
        if _is_aws(self.client) and not exports.startswith("s3://"):
            raise SettingsError(
                f"{VARIABLES['exports']} is {exports}, and DynamoDB exports to buckets only: expected s3://bucket/prefix."
            )
        return exports.rstrip("/")

    def _folder(self, request: RequestedExport) -> str:
        return f"{self._exports()}/AWSDynamoDB/{request.id}"

    def _plan_export(self, location: str) -> Plan:
        return plan_from_export(
            self.lake,
            self.store,
            self.contract,
            self._about,
            files=open_export_files(location),
            now=self.catch_up.now(),
            table=self._table,
        )

    def _given_up(self) -> Mapping[str, GivenUp]:
        settings = self.settings
        return find_given_up(settings.given_up_store(), settings.source_names(), settings.kinesis())

    @cached_property
    def _table(self) -> DynamoTable:
        return DynamoTable(
            self.client,
            self.settings.source_names().in_dynamodb(self.contract.table),
            read_capacity=self.read_capacity or self.settings.read_capacity,
            segments=self.threads,
        )

    @cached_property
    def _about(self) -> Description:
        """The table, and its stream."""
        about, kinesis = self._table.describe(), self.settings.kinesis()
        stream = kinesis.latest_stream(self.contract.table, table_arn=about.arn, own=about.stream_arn)
        return replace(about, stream_arn=stream)


def _is_aws(client: DynamoDBClient) -> bool:
    """Return whether the client asks AWS, and not an emulator."""
    return (urlsplit(client.meta.endpoint_url).hostname or "").endswith(_AWS)
