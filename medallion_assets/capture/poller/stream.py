"""The stream of a DynamoDB table: its ARN, and whether it can be captured.

Belongs here: asking DynamoDB for it. Does not belong here: the shards of a stream (shards).
"""

from typing import TYPE_CHECKING

from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def find_stream(dynamodb: "DynamoDBClient", table: str) -> str | None:
    """Return the ARN of a table's enabled stream; None if there is no table or no stream.

    Raises SettingsError if the stream has no images, and botocore's errors.
    """
    try:
        description = dynamodb.describe_table(TableName=table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return None
    stream = description.get("StreamSpecification")
    if stream is None or not stream["StreamEnabled"]:
        return None
    if stream.get("StreamViewType") not in ("NEW_AND_OLD_IMAGES", "NEW_IMAGE"):
        raise SettingsError(
            f"the stream of table {table} has view type {stream.get('StreamViewType')}; expected NEW_AND_OLD_IMAGES. "
            "Disable the stream and enable it with that view type."
        )
    return description["LatestStreamArn"]


def stream_missing(table: str) -> SettingsError:
    """Return the error for a table without a stream."""
    return SettingsError(
        f"DynamoDB has no table {table} with a stream in this account and region; create the table, or enable its "
        "stream with view type NEW_AND_OLD_IMAGES"
    )
