"""The Kinesis data streams that tables write their changes to.

Belongs here: that a table writes to the stream that would be read, with times that order its changes. Does not belong
here: the table's key and encryption (tables), the mapping that is deployed (mappings).
"""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, code, ok, wrong

TABLES = "Tables"
"""In the metadata of a mapping of Kinesis: the names that DynamoDB has for the tables that write to its stream."""


def written_streams(assembly: Assembly) -> dict[str, list[str]]:
    """Return the streams of Kinesis that are read, each with the tables that should write to it."""
    mappings = assembly.of_type("AWS::Lambda::EventSourceMapping")
    return {one.properties["EventSourceArn"]: one.metadata[TABLES] for one in mappings if TABLES in one.metadata}


def check_destination(table: str, stream: str, account: Account) -> Iterator[Finding]:
    """Yield whether a table writes to a stream of Kinesis, and with microseconds."""
    subject, name = f"table {table}: Kinesis", f"--table-name {table} --stream-arn {stream}"
    configuration = "ApproximateCreationDateTimePrecision=MICROSECOND"
    try:
        found = account.client("dynamodb").describe_kinesis_streaming_destination(TableName=table)
    except ClientError as refused:
        if code(refused) != "ResourceNotFoundException":
            raise
        yield wrong(subject, f"there is no table in {account.region}", "correct `sources` in the environment's file")
        return
    written = {one["StreamArn"]: one for one in found["KinesisDataStreamDestinations"]}
    active = sorted(arn for arn, one in written.items() if one["DestinationStatus"] in {"ACTIVE", "UPDATING"})
    if stream not in active:
        yield wrong(
            subject,
            f"it writes to {', '.join(active) or 'no stream of Kinesis'}; the settings name {stream}",
            f"aws dynamodb enable-kinesis-streaming-destination {name} "
            f"--enable-kinesis-streaming-configuration {configuration}",
        )
    elif (precision := written[stream].get("ApproximateCreationDateTimePrecision")) != "MICROSECOND":
        yield wrong(
            subject,
            f"its times have the precision {precision or 'MILLISECOND'}, so its changes are set aside",
            f"aws dynamodb update-kinesis-streaming-destination {name} "
            f"--update-kinesis-streaming-configuration {configuration}; then run a repair of the table",
        )
    else:
        yield ok(subject, "it writes to the stream that is read, with microseconds")
