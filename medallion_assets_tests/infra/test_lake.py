"""What the Lake stack promises, in every environment, held against its template."""

from __future__ import annotations

from typing import Any

from medallion_assets.bronze.compacted import FOLDER
from medallion_assets.capture.envelope import BRONZE_COLUMNS
from medallion_assets.contracts.loader import load_domain
from medallion_assets.scheduling.pace import ASK_AGAIN
from medallion_assets_tests.infra.assembly import Assembly, Template

DOMAIN = load_domain("ecommerce")


def bucket(lake: Template, what: str) -> dict[str, Any]:
    (found,) = (one for one in lake.properties("AWS::S3::Bucket") if f"-{what}-" in one["BucketName"])
    return found


def rules(properties: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["Id"]: rule for rule in properties["LifecycleConfiguration"]["Rules"]}


def test_every_bucket_is_encrypted_private_and_cleans_up_aborted_uploads(assembly: Assembly) -> None:
    seen = 0
    for template in assembly.templates:
        for properties in template.properties("AWS::S3::Bucket"):
            seen += 1
            (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
            assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
            assert len(properties["PublicAccessBlockConfiguration"]) == 4
            aborted = [rule.get("AbortIncompleteMultipartUpload") for rule in rules(properties).values()]
            assert {"DaysAfterInitiation": 1} in aborted
    assert seen == 5


def test_every_bucket_refuses_what_is_not_tls(assembly: Assembly) -> None:
    for template in assembly.templates:
        policies = template.properties("AWS::S3::BucketPolicy")
        assert {str(policy["Bucket"]) for policy in policies} == {
            str({"Ref": name}) for name in template.resources("AWS::S3::Bucket")
        }
        for policy in policies:
            denied = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
            assert {"Bool": {"aws:SecureTransport": "false"}} in [one["Condition"] for one in denied]
            assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in [one["Condition"] for one in denied]
            assert all(one["Principal"] == {"AWS": "*"} and one["Action"] == "s3:*" for one in denied)


def test_the_lake_is_versioned_and_bronze_grows_cold(assembly: Assembly) -> None:
    lake = bucket(assembly["Lake"], "lake")
    assert lake["VersioningConfiguration"] == {"Status": "Enabled"}
    cold = rules(lake)["bronze-grows-cold"]
    assert cold["Prefix"] == "bronze/"
    smallest = lake["LifecycleConfiguration"]["TransitionDefaultMinimumObjectSize"]
    assert smallest == "all_storage_classes_128K", "smaller ones cost more there than in Standard"
    assert cold["Transitions"] == [
        {"StorageClass": "STANDARD_IA", "TransitionInDays": 90},
        {"StorageClass": "GLACIER_IR", "TransitionInDays": 180},
    ]
    assert not [rule for rule in rules(lake).values() if "ExpirationInDays" in rule], "nothing of the lake expires"


def test_overwritten_objects_go_after_days_and_those_of_bronze_later(assembly: Assembly) -> None:
    """Of rules that overlap S3 takes the shorter time, so copies go as fast as the warehouse."""
    found = rules(bucket(assembly["Lake"], "lake"))
    kept = {
        one["Prefix"]: one["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for one in found.values()
        if "NoncurrentVersionExpiration" in one
    }
    assert set(kept) == {"warehouse/", "bronze/", f"bronze/{FOLDER}/"}
    assert 1 <= kept["warehouse/"] == kept[f"bronze/{FOLDER}/"] < kept["bronze/"]
    marks = [one["Prefix"] for one in found.values() if one.get("ExpiredObjectDeleteMarker") is True]
    assert set(marks) == set(kept)


def test_query_results_expire(assembly: Assembly) -> None:
    assert rules(bucket(assembly["Lake"], "athena"))["expire"]["ExpirationInDays"] == 7


def test_there_is_a_database_per_layer(assembly: Assembly) -> None:
    databases = [one["DatabaseInput"]["Name"] for one in assembly["Lake"].properties("AWS::Glue::Database")]
    assert sorted(databases) == ["bronze", "deleted", "gold", "history", "ops", "quarantine", "silver"]


def test_athena_finds_bronze_by_projection(assembly: Assembly) -> None:
    tables = {one["TableInput"]["Name"]: one for one in assembly["Lake"].properties("AWS::Glue::Table")}
    assert set(tables) == set(DOMAIN.by_name)
    lake = bucket(assembly["Lake"], "lake")["BucketName"]
    for name, table in tables.items():
        source = DOMAIN.by_name[name].table
        assert table["DatabaseName"] == "bronze"
        described = table["TableInput"]
        assert tuple(column["Name"] for column in described["StorageDescriptor"]["Columns"]) == BRONZE_COLUMNS
        assert [key["Name"] for key in described["PartitionKeys"]] == ["year", "month", "day"]
        assert described["StorageDescriptor"]["Location"] == f"s3://{lake}/bronze/{source}/"
        parameters = described["Parameters"]
        assert parameters["projection.enabled"] == "true"
        assert parameters["projection.year.range"] == f"{DOMAIN.since.year},NOW"
        template = parameters["storage.location.template"]
        assert template == f"s3://{lake}/bronze/{source}/year=${{year}}/month=${{month}}/day=${{day}}"


def test_a_query_is_cancelled_at_its_limit_whatever_the_client_says(assembly: Assembly) -> None:
    for stack in ("Lake", "Dashboards"):
        configuration = assembly[stack].one("AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
        assert configuration["EngineVersion"] == {"SelectedEngineVersion": "Athena engine version 3"}
        assert configuration["EnforceWorkGroupConfiguration"] is True
        assert configuration["BytesScannedCutoffPerQuery"] >= 2**30
        assert configuration["PublishCloudWatchMetricsEnabled"] is True


def test_the_bucket_tells_a_private_queue_of_bronze_where_it_is_asked_to(assemblies: dict[str, Assembly]) -> None:
    lake = assemblies["dev"]["Lake"]
    queue = lake.one("AWS::SQS::Queue")
    assert queue["SqsManagedSseEnabled"] is True
    # Who received a message hides it until it expires; then the sensor lists everything anyway.
    assert queue["MessageRetentionPeriod"] == queue["VisibilityTimeout"] == ASK_AGAIN.total_seconds()
    deny, allow = lake.one("AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Action"]) == ("Deny", "sqs:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert (allow["Action"], allow["Principal"]) == ("sqs:SendMessage", {"Service": "s3.amazonaws.com"})
    assert allow["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket(lake, 'lake')['BucketName']}"},
        "StringEquals": {"aws:SourceAccount": "111111111111"},
    }
    (told,) = bucket(lake, "lake")["NotificationConfiguration"]["QueueConfigurations"]
    assert told["Event"] == "s3:ObjectCreated:*"
    assert {rule["Name"]: rule["Value"] for rule in told["Filter"]["S3Key"]["Rules"]} == {
        "prefix": "bronze/",
        "suffix": ".parquet",
    }
    for other in ("stg", "prod"):
        assert not assemblies[other]["Lake"].properties("AWS::SQS::Queue")
        assert "NotificationConfiguration" not in bucket(assemblies[other]["Lake"], "lake")
