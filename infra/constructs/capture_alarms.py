"""The alarms of capture: changes wait, are set aside or given up, or nobody reads a stream.

Belongs here: what is watched, and from which value on. Does not belong here: freshness and completeness, which
Grafana's alerts read from `ops.health`. An alarm on a count of new events goes back by itself, so it fires again for
the next incident.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.alarms import AT_LEAST, BELOW, Alarms
from infra.settings import Environment
from medallion_assets.capture.mapping import DEAD_LETTERS, METRICS_NAMESPACE

_MINUTE = Duration.minutes(1)
_POLL_PERIODS = 3


def add_capture_alarms(
    scope: Construct,
    settings: Environment,
    topic: sns.ITopic,
    *,
    function: lambda_.Function,
    mappings: Mapping[str, lambda_.EventSourceMapping],
    expect_changes: Mapping[str, int],
) -> list[str]:
    """Add the alarms of the function and those of each mapping, which are by DynamoDB table; return their names.

    `expect_changes` are minutes, by table, in which there is some change.
    """
    alarms = Alarms(scope, settings, topic, stack="capture")
    alarms.add(
        "iterator-age",
        "Changes wait five minutes and more before they are captured (ms). A stream keeps them for 24 hours.",
        function.metric("IteratorAge", statistic="Maximum", period=_MINUTE),
        AT_LEAST,
        300_000,
        periods=5,
    )
    alarms.add("errors", "The capture function fails.", function.metric_errors(period=_MINUTE), AT_LEAST, 1, periods=3)
    alarms.add(
        "throttles",
        "The capture function is not let run.",
        function.metric_throttles(period=_MINUTE),
        AT_LEAST,
        1,
        periods=3,
    )
    alarms.add(
        "dead-letters",
        "Capture set records aside: Bronze lacks them until `medallion redrive`.",
        cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=DEAD_LETTERS,
            dimensions_map={"FunctionName": function.function_name},
            statistic="Sum",
            period=_MINUTE,
        ),
        AT_LEAST,
        1,
    )
    alarms.add(
        "destination",
        "A batch that Lambda gave up could not be stored: its changes are lost until `medallion repair`.",
        function.metric("DestinationDeliveryFailures", statistic="Sum", period=_MINUTE),
        AT_LEAST,
        1,
    )
    for table, mapping in mappings.items():
        _add_mapping_alarms(alarms, table, mapping, expect_changes)
    return alarms.names


def _add_mapping_alarms(
    alarms: Alarms, table: str, mapping: lambda_.EventSourceMapping, expect_changes: Mapping[str, int]
) -> None:
    def count(name: str, period: Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=name,
            dimensions_map={"EventSourceMappingUUID": mapping.event_source_mapping_id},
            statistic="Sum",
            period=period,
        )

    alarms.add(
        f"given-up-{table}",
        f"Lambda gave up changes of {table}: Bronze lacks them until `medallion redrive`.",
        count("OnFailureDestinationDeliveredEventCount", _MINUTE),
        AT_LEAST,
        1,
    )
    # A poll that finds nothing counts 0, so no number is below 0: only silence fires the alarm. A disabled mapping and
    # a stream that was switched off or replaced send no number.
    alarms.add(
        f"polling-{table}",
        f"Nobody reads the stream of {table}: the mapping is disabled, or the table has another stream.",
        count("PolledEventCount", Duration.minutes(5)),
        BELOW,
        0,
        periods=_POLL_PERIODS,
        silence_pages=True,
    )
    if (minutes := expect_changes.get(table)) is not None:
        alarms.add(
            f"quiet-{table}",
            f"No change of {table} was captured for {minutes} minutes, though there should be some.",
            count("PolledEventCount", Duration.minutes(5)),
            BELOW,
            1,
            periods=minutes // 5,
            silence_pages=True,
        )
