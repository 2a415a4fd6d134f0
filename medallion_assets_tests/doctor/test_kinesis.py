"""Tables whose changes come by Kinesis: they write to the stream that is read, with microseconds."""

from __future__ import annotations

from pathlib import Path

import boto3

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.finding import Finding
from medallion_assets.doctor.kinesis import check_destination, written_streams
from medallion_assets.doctor.tables import existing_tables
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.doctor.environment import account_id, assembly_of, create_orders


def test_a_table_writes_to_the_stream_that_is_read_with_microseconds(aws: Emulator, tmp_path: Path) -> None:
    stream = f"arn:aws:kinesis:{REGION}:{account_id()}:stream/changes"
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"EventSourceArn": stream},
        "Metadata": {"Tables": ["Orders"]},
    }
    assembly = assembly_of(tmp_path / "test", {"Mapping": mapping})
    assert written_streams(assembly) == {stream: ["Orders"]} and not existing_tables(assembly)

    def found() -> Finding:
        (one,) = check_destination("Orders", stream, Account(REGION))
        return one

    assert "there is no table" in found().seen
    create_orders()
    assert "it writes to no stream of Kinesis" in found().seen
    client = boto3.client("dynamodb")
    boto3.client("kinesis").create_stream(StreamName="changes", ShardCount=1)
    client.enable_kinesis_streaming_destination(
        TableName="Orders",
        StreamArn=stream,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MILLISECOND"},
    )
    assert "the precision MILLISECOND" in found().seen
    client.update_kinesis_streaming_destination(
        TableName="Orders",
        StreamArn=stream,
        UpdateKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )
    assert found().seen == "it writes to the stream that is read, with microseconds"
