"""What the Capture stack promises, in every environment, held against its template."""

from __future__ import annotations

import json
from typing import Any

from medallion_assets.capture.kinesis import KinesisTables
from medallion_assets.capture.mapping import DEAD_LETTERS, METRICS_NAMESPACE
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.contracts.loader import load_domain
from medallion_assets.simulation.delivery import MappingSettings
from medallion_assets_tests.infra.assembly import Assembly
from medallion_assets_tests.infra.conftest import KINESIS, LAYER

DOMAIN = load_domain("ecommerce")


def test_made_tables_have_streams_of_both_images_and_point_in_time_recovery(dev: Assembly) -> None:
    tables = {table["TableName"]: table for table in dev["Capture"].properties("AWS::DynamoDB::Table")}
    assert set(tables) == set(DOMAIN.sources)
    for name, table in tables.items():
        assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["KeySchema"] == [{"AttributeName": DOMAIN.sources[name].contracts[0].key.hash, "KeyType": "HASH"}]


def test_existing_tables_are_left_alone(prod: Assembly) -> None:
    assert not prod["Capture"].resources("AWS::DynamoDB::Table")
    sources = {mapping["EventSourceArn"] for mapping in prod["Capture"].properties("AWS::Lambda::EventSourceMapping")}
    assert {source.split("/")[1] for source in sources} == set(DOMAIN.sources)


def test_every_table_has_a_mapping_with_the_settings_that_the_histories_play(assembly: Assembly) -> None:
    mappings = assembly["Capture"].properties("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == len(DOMAIN.tables)
    (bucket,) = assembly["Capture"].resources("AWS::S3::Bucket")
    played = MappingSettings.deployed()
    for mapping in mappings:
        assert mapping["BatchSize"] == played.batch_size == PollerSettings().batch_size
        assert mapping["MaximumBatchingWindowInSeconds"] == played.window_s == PollerSettings().window_seconds
        assert mapping["StartingPosition"] == played.starting_position == "TRIM_HORIZON"
        assert mapping["ParallelizationFactor"] == played.parallelization_factor
        assert ("FunctionResponseTypes" in mapping) is played.report_item_failures is False
        assert mapping["BisectBatchOnFunctionError"] is played.bisect is True
        assert played.max_retries is None and mapping["MaximumRetryAttempts"] == -1
        assert mapping["MaximumRecordAgeInSeconds"] == played.max_record_age_s == 24 * 3_600
        assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}
        assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": [bucket, "Arn"]}}}
    assert assembly["Capture"].one("AWS::Lambda::Function")["Timeout"] == played.timeout_s


def test_the_function_is_small_and_ends_before_late_names_are_given_up(assembly: Assembly) -> None:
    function = assembly["Capture"].one("AWS::Lambda::Function")
    assert function["Architectures"] == ["arm64"]
    assert function["MemorySize"] == 256
    assert function["Timeout"] < 15 * 60
    assert function["Environment"]["Variables"]["MEDALLION_BRONZE"].endswith("/bronze")
    assert "VpcConfig" not in function


def test_traces_leave_the_account_only_where_a_collector_is_named(
    assembly: Assembly, variants: dict[str, Assembly]
) -> None:
    def traced(where: Assembly) -> tuple[dict[str, str], dict[str, str], list[str]]:
        function = where["Capture"].one("AWS::Lambda::Function")
        (run,) = [
            container
            for task in where["Orchestrator"].properties("AWS::ECS::TaskDefinition")
            for container in task["ContainerDefinitions"]
            if container["Name"] == "run"
        ]
        variables = {each["Name"]: each["Value"] for each in run["Environment"]}
        return (
            {name: text for name, text in function["Environment"]["Variables"].items() if name.startswith("OTEL")},
            {name: text for name, text in variables.items() if name.startswith("OTEL")},
            function.get("Layers", []),
        )

    assert traced(assembly) == ({}, {}, [])
    of_function, of_runs, layers = traced(variants["open"])
    assert (of_function["OTEL_EXPORTER_OTLP_ENDPOINT"], layers) == ("http://localhost:4318", [LAYER])
    assert of_runs["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel.internal:4318"
    assert of_runs["OTEL_SERVICE_NAME"] == of_function["OTEL_SERVICE_NAME"] == "medallion-open"
    assert [one["Resource"] for one in variants["open"]["Capture"].statements() if one.get("Sid") == "WriteTraces"] == [
        "*"
    ]


def test_tables_that_come_by_kinesis_have_one_mapping_for_their_stream(variants: dict[str, Assembly]) -> None:
    capture = variants["trino"]["Capture"]
    mappings = [one for _, one in capture.resources("AWS::Lambda::EventSourceMapping").items()]
    (found,) = [one for one in mappings if one["Properties"]["EventSourceArn"] == KINESIS["kinesis"][0]["stream"]]
    assert found["Properties"]["MaximumRecordAgeInSeconds"] == 72 * 3_600, "as long as the stream keeps them"
    assert found["Metadata"]["Tables"] == ["prod-Orders"]
    assert len(mappings) == len(DOMAIN.tables), "of a stream of DynamoDB only those of the other tables"
    assert {table["TableName"] for table in capture.properties("AWS::DynamoDB::Table")} == {"Customers", "Products"}
    (grant,) = [one for one in capture.statements() if str(one.get("Sid")).startswith("ReadKinesis")]
    assert grant["Resource"] == found["Properties"]["EventSourceArn"]
    assert not [action for action in grant["Action"] if not action.startswith("kinesis:")]
    variables = capture.one("AWS::Lambda::Function")["Environment"]["Variables"]
    assert KinesisTables.parse(variables["MEDALLION_KINESIS_TABLES"]).stream_arn(
        "Orders", source="prod-Orders", arn=grant["Resource"]
    )
    names = {alarm["AlarmName"] for alarm in capture.properties("AWS::CloudWatch::Alarm")}
    assert {
        "medallion-trino-capture-polling-kinesis-changes",
        "medallion-trino-capture-given-up-kinesis-changes",
    } <= names


def test_what_is_given_up_stays_until_it_is_redriven(assembly: Assembly) -> None:
    bucket = assembly["Capture"].one("AWS::S3::Bucket")
    assert bucket["PublicAccessBlockConfiguration"]["BlockPublicAcls"] is True
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert not any("ExpirationInDays" in rule for rule in bucket["LifecycleConfiguration"]["Rules"])


def test_lambda_may_put_what_it_gives_up_there_and_nothing_else(assembly: Assembly) -> None:
    given_up = [one for one in assembly["Capture"].statements() if one.get("Sid") in {"GiveUp", "GivenUpBucket"}]
    assert [(one["Action"], one["Resource"].partition("-given-up-")[2].partition("/")[2]) for one in given_up] == [
        ("s3:PutObject", "aws/lambda/*"),
        ("s3:ListBucket", ""),
    ]
    assert all("s3:ResourceAccount" in one["Condition"]["StringEquals"] for one in given_up), "no bucket of others"


def alarms(assembly: Assembly) -> dict[str, Any]:
    """The alarms that page, by name; those of a release end the release."""
    found = assembly["Capture"].properties("AWS::CloudWatch::Alarm")
    named = {alarm["AlarmName"].partition("-capture-")[2]: alarm for alarm in found}
    return {name: alarm for name, alarm in named.items() if not name.startswith("new-version-")}


def test_a_new_version_is_released_to_a_tenth_first_and_taken_back_if_it_fails(assembly: Assembly) -> None:
    capture = assembly["Capture"]
    ((alias_id, alias),) = capture.resources("AWS::Lambda::Alias").items()
    ((version, _),) = capture.resources("AWS::Lambda::Version").items()
    ((group_id, group),) = capture.resources("AWS::CodeDeploy::DeploymentGroup").items()
    released = {"Fn::GetAtt": [version, "Version"]}
    assert alias["Properties"]["FunctionVersion"] == released
    assert alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {"Ref": group_id}
    for mapping in capture.properties("AWS::Lambda::EventSourceMapping"):
        assert alias_id in json.dumps(mapping["FunctionName"]) and ":live" in json.dumps(mapping["FunctionName"])
    of = group["Properties"]
    assert of["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert of["AutoRollbackConfiguration"]["Events"] == ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]
    assert of["AlarmConfiguration"]["Enabled"] is True
    watched = [
        capture.resources("AWS::CloudWatch::Alarm")[one["Name"]["Ref"]] for one in of["AlarmConfiguration"]["Alarms"]
    ]
    for alarm in (one["Properties"] for one in watched):
        # An alarm of the whole function may be on already: the correction of what set it off could not be released.
        assert released in [dimension["Value"] for dimension in alarm["Dimensions"]]
    assert [one["Properties"]["MetricName"] for one in watched] == ["Errors", DEAD_LETTERS]


def test_every_alarm_tells_the_topic_when_it_goes_off_and_when_all_is_well(assembly: Assembly) -> None:
    (topic,) = assembly["Capture"].resources("AWS::SNS::Topic")
    for alarm in alarms(assembly).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]


def test_alarms_of_the_function(assembly: Assembly) -> None:
    (function,) = assembly["Capture"].resources("AWS::Lambda::Function")
    found = alarms(assembly)
    wanted = {
        "iterator-age": ("AWS/Lambda", "IteratorAge", 300_000),
        "errors": ("AWS/Lambda", "Errors", 1),
        "throttles": ("AWS/Lambda", "Throttles", 1),
        "destination": ("AWS/Lambda", "DestinationDeliveryFailures", 1),
        "dead-letters": (METRICS_NAMESPACE, DEAD_LETTERS, 1),
    }
    for name, about in wanted.items():
        alarm = found.pop(name)
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == about
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": function}}]
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert (alarm["Period"], alarm["EvaluationPeriods"] <= 5) == (60, True)
    assert set(found) == {f"{kind}-{table}" for kind in ("given-up", "polling") for table in DOMAIN.sources}


def test_records_that_are_set_aside_or_given_up_page_for_each_incident(assembly: Assembly) -> None:
    """A count of what is new goes back to nothing, so the next incident is a new alarm; a level would stay."""
    found = alarms(assembly)
    for name in ("dead-letters", *(f"given-up-{table}" for table in DOMAIN.sources)):
        alarm = found[name]
        assert (alarm["Statistic"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == ("Sum", 1, "notBreaching")
        assert alarm["MetricName"] in {DEAD_LETTERS, "OnFailureDestinationDeliveredEventCount"}


def test_a_stream_that_nobody_reads_pages(assembly: Assembly) -> None:
    """Lambda counts 0 for a poll that finds nothing, and sends no metric for a mapping that is disabled."""
    for table, source in DOMAIN.sources.items():
        alarm = alarms(assembly)[f"polling-{table}"]
        (of,) = alarm["Dimensions"]
        assert of["Name"] == "EventSourceMappingUUID"
        assert of["Value"]["Ref"].startswith(f"Mapping{source.name}")
        assert (alarm["MetricName"], alarm["Statistic"]) == ("PolledEventCount", "Sum")
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 0)
        assert alarm["TreatMissingData"] == "breaching"


def test_alarms_are_let_into_the_topic_and_nobody_without_tls(assembly: Assembly) -> None:
    statements = assembly["Capture"].one("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    allowed = [one for one in statements if one["Effect"] == "Allow"]
    assert {"Service": "cloudwatch.amazonaws.com"} in [one["Principal"] for one in allowed]
    assert all("aws:SourceAccount" in one["Condition"]["StringEquals"] for one in allowed)
    assert [one["Condition"] for one in statements if one["Effect"] == "Deny"] == [
        {"Bool": {"aws:SecureTransport": "false"}}
    ]


def test_the_topic_hears_of_costs_above_the_budget_where_there_is_one(assemblies: dict[str, Assembly]) -> None:
    for name, assembly in assemblies.items():
        stack = assembly["Capture"]
        allowed = stack.one("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
        publishers = {one["Principal"]["Service"] for one in allowed if one["Effect"] == "Allow"}
        if name == "stg":
            assert not stack.resources("AWS::Budgets::Budget")
            assert publishers == {"cloudwatch.amazonaws.com"}
            continue
        budget = stack.one("AWS::Budgets::Budget")
        assert budget["Budget"]["BudgetLimit"] == {"Amount": 300 if name == "dev" else 1500, "Unit": "USD"}
        assert "CostFilters" not in budget["Budget"], "a tag that nobody activated would make it 0 dollars"
        (topic,) = stack.resources("AWS::SNS::Topic")
        for kind, notified in zip(("ACTUAL", "FORECASTED"), budget["NotificationsWithSubscribers"], strict=True):
            assert notified["Notification"]["NotificationType"] == kind
            assert notified["Subscribers"] == [{"Address": {"Ref": topic}, "SubscriptionType": "SNS"}]
        assert publishers == {"cloudwatch.amazonaws.com", "budgets.amazonaws.com"}


def test_somebody_is_told_where_an_address_is_set(assemblies: dict[str, Assembly]) -> None:
    told = {name: assembly["Capture"].properties("AWS::SNS::Subscription") for name, assembly in assemblies.items()}
    assert [one["Endpoint"] for one in told["prod"]] == ["data-alerts@example.com"]
    assert not told["dev"]


def test_a_table_that_should_change_pages_when_it_is_quiet(variants: dict[str, Assembly]) -> None:
    found = alarms(variants["open"])
    for table, minutes in (("Orders", 60), ("Heartbeat", 15)):
        alarm = found[f"quiet-{table}"]
        assert alarm["Period"] * alarm["EvaluationPeriods"] == minutes * 60
        assert (alarm["MetricName"], alarm["ComparisonOperator"]) == ("PolledEventCount", "LessThanThreshold")
        assert (alarm["Threshold"], alarm["TreatMissingData"]) == (1, "breaching")
    assert {name for name in found if name.startswith("quiet-")} == {"quiet-Orders", "quiet-Heartbeat"}


def test_a_domain_with_a_heartbeat_has_its_item_written_every_five_minutes(
    dev: Assembly, variants: dict[str, Assembly]
) -> None:
    stack = variants["open"]["Capture"]
    schedule = stack.one("AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert schedule["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:dynamodb:putItem"
    written = json.loads(schedule["Target"]["Input"])
    assert written == {
        "TableName": "Heartbeat",
        "Item": {"Id": {"S": "heartbeat"}, "WrittenAt": {"S": "<aws.scheduler.scheduled-time>"}},
    }
    (put,) = [one for one in stack.statements() if one.get("Sid") == "PutHeartbeat"]
    assert put["Action"] == "dynamodb:PutItem" and put["Resource"].endswith(":table/Heartbeat")
    assert not dev["Capture"].resources("AWS::Scheduler::Schedule")
