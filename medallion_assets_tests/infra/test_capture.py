"""What the Capture stack promises, in every environment, held against its template."""

from __future__ import annotations

from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.contracts.loader import load_domain
from medallion_assets_tests.infra.assembly import Assembly

DOMAIN = load_domain("ecommerce")


def test_made_tables_have_streams_of_both_images_and_point_in_time_recovery(dev: Assembly) -> None:
    tables = {table["TableName"]: table for table in dev["Capture"].properties("AWS::DynamoDB::Table")}
    assert set(tables) == set(DOMAIN.by_source)
    for name, table in tables.items():
        assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["KeySchema"] == [{"AttributeName": DOMAIN.by_source[name].key.hash, "KeyType": "HASH"}]


def test_existing_tables_are_left_alone(prod: Assembly) -> None:
    assert not prod["Capture"].resources("AWS::DynamoDB::Table")
    sources = {mapping["EventSourceArn"] for mapping in prod["Capture"].properties("AWS::Lambda::EventSourceMapping")}
    assert {source.split("/")[1] for source in sources} == set(DOMAIN.by_source)


def test_every_table_has_a_mapping_that_loses_nothing(assembly: Assembly) -> None:
    mappings = assembly["Capture"].properties("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == len(DOMAIN.tables)
    (queue,) = assembly["Capture"].resources("AWS::SQS::Queue")
    poller = PollerSettings()
    for mapping in mappings:
        assert mapping["BatchSize"] == poller.batch_size == 1_000
        assert mapping["MaximumBatchingWindowInSeconds"] == poller.window_seconds == 1
        assert mapping["StartingPosition"] == "TRIM_HORIZON"
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BisectBatchOnFunctionError"] is True
        assert 1 <= mapping["MaximumRetryAttempts"] <= 20
        assert 3_600 <= mapping["MaximumRecordAgeInSeconds"] < 24 * 3_600
        assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [queue, "Arn"]}}}


def test_the_function_is_small_and_ends_before_late_names_are_given_up(assembly: Assembly) -> None:
    function = assembly["Capture"].one("AWS::Lambda::Function")
    assert function["Architectures"] == ["arm64"]
    assert function["MemorySize"] == 256
    assert function["Timeout"] < 15 * 60
    assert function["Environment"]["Variables"]["MEDALLION_BRONZE"].endswith("/bronze")
    assert "VpcConfig" not in function


def test_what_is_given_up_waits_two_weeks(assembly: Assembly) -> None:
    queue = assembly["Capture"].one("AWS::SQS::Queue")
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600
    assert queue["SqsManagedSseEnabled"] is True


def test_alarms_tell_of_age_errors_throttles_and_given_up_changes(assembly: Assembly) -> None:
    alarms = {alarm["MetricName"]: alarm for alarm in assembly["Capture"].properties("AWS::CloudWatch::Alarm")}
    assert set(alarms) == {"IteratorAge", "Errors", "Throttles", "ApproximateNumberOfMessagesVisible"}
    (topic,) = assembly["Capture"].resources("AWS::SNS::Topic")
    (function,) = assembly["Capture"].resources("AWS::Lambda::Function")
    (queue,) = assembly["Capture"].resources("AWS::SQS::Queue")
    for metric, alarm in alarms.items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["Threshold"] == (300_000 if metric == "IteratorAge" else 1)
        assert (alarm["Period"], alarm["EvaluationPeriods"] <= 5) == (60, True)
        of_queue = metric == "ApproximateNumberOfMessagesVisible"
        (of,) = alarm["Dimensions"]
        assert of["Value"] == ({"Fn::GetAtt": [queue, "QueueName"]} if of_queue else {"Ref": function})
        assert alarm["Namespace"] == ("AWS/SQS" if of_queue else "AWS/Lambda")


def test_alarms_are_let_into_the_topic_and_nobody_without_tls(assembly: Assembly) -> None:
    statements = assembly["Capture"].one("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    allowed = [one for one in statements if one["Effect"] == "Allow"]
    assert [one["Principal"] for one in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
    assert [one["Condition"] for one in statements if one["Effect"] == "Deny"] == [
        {"Bool": {"aws:SecureTransport": "false"}}
    ]


def test_somebody_is_told_where_an_address_is_set(assemblies: dict[str, Assembly]) -> None:
    told = {name: assembly["Capture"].properties("AWS::SNS::Subscription") for name, assembly in assemblies.items()}
    assert [one["Endpoint"] for one in told["prod"]] == ["data-alerts@example.com"]
    assert not told["dev"]
