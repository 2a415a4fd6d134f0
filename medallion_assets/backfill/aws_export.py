"""Exports that DynamoDB makes: ExportTableToPointInTime and DescribeExport.

Belongs here: the calls, and their errors as one sentence. Does not belong here: what is remembered of a request
(requested_export), the layout (export).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from medallion_assets.backfill.requested_export import RequestedExport
from medallion_assets.errors import LakeUnavailable, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_POLL_SECONDS: Final = 20.0
_FORBIDDEN: Final = frozenset({"AccessDeniedException", "AccessDenied"})


@dataclass(frozen=True)
class AwsExporter:
    """Exports of the table `table_arn` to `s3://bucket/prefix`. `wait` (seconds) is the clock, for tests."""

    client: DynamoDBClient
    table_arn: str
    bucket: str
    prefix: str
    wait: Callable[[float], None] = time.sleep

    def start(self, request: RequestedExport) -> str:
        """Ask for a full export of now. The same token again is the same export.

        Raises SettingsError for a table without point-in-time recovery and for missing permissions, and LakeUnavailable
        if too many exports go on.
        """
        try:
            answer = self.client.export_table_to_point_in_time(
                TableArn=self.table_arn,
                S3Bucket=self.bucket,
                S3Prefix=self.prefix,
                ClientToken=request.token,
                ExportFormat="DYNAMODB_JSON",
                ExportType="FULL_EXPORT",
            )
        except ClientError as refused:
            raise self._translated(refused) from refused
        return answer["ExportDescription"]["ExportArn"]

    def finish(self, request: RequestedExport, report: Callable[[str], None]) -> None:
        """Wait until DynamoDB has completed it. Raises SettingsError if it failed."""
        if request.arn is None:
            raise ValueError("this export has not started")
        while True:
            try:
                found: Any = self.client.describe_export(ExportArn=request.arn)["ExportDescription"]
            except ClientError as refused:
                if refused.response["Error"]["Code"] == "ExportNotFoundException":
                    raise SettingsError(f"DynamoDB has no export {request.arn} any more. Run this again.") from refused
                raise
            match found["ExportStatus"]:
                case "COMPLETED":
                    return
                case "FAILED":
                    why = f"{found.get('FailureCode', '')}: {found.get('FailureMessage', '')}".strip(": ")
                    raise SettingsError(
                        f"DynamoDB could not make the export {request.arn} ({why}). Correct that, and run this again: "
                        "it asks for another one."
                    )
                case status:
                    report(f"The export {request.id} is {status}; DynamoDB takes minutes to hours for it.")
            self.wait(_POLL_SECONDS)

    def _translated(self, refused: ClientError) -> Exception:
        code, said = refused.response["Error"]["Code"], refused.response["Error"].get("Message", "")
        if code == "PointInTimeRecoveryUnavailableException":
            return SettingsError(
                f"{self.table_arn} has no point-in-time recovery, which an export needs. Switch it on, or load the "
                "table by --from scan."
            )
        if code in _FORBIDDEN:
            return SettingsError(
                f"These credentials must not export {self.table_arn} to s3://{self.bucket}/{self.prefix} ({said}). "
                "They need dynamodb:ExportTableToPointInTime on the table, dynamodb:DescribeExport on its exports, and "
                "s3:PutObject and s3:AbortMultipartUpload there."
            )
        if code == "LimitExceededException":
            return LakeUnavailable(f"DynamoDB makes too many exports at once ({said}). Run this again later.")
        return refused
