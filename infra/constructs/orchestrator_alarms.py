"""The alarms of Dagster: a task is gone, the daemon does nothing, the database fills, the page does not answer.

Belongs here: what is watched, and from which value on. Does not belong here: what runs do (Grafana's alerts read it
from `ops.checks` and `ops.health`).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.alarms import AT_LEAST, BELOW, Alarms
from infra.settings import Environment

_SERVICES: Final = ("code", "daemon", "webserver")

DAEMON_LINE: Final = "Checking for new runs for sensor"
"""What Dagster's daemon logs at each tick of a sensor; a test compares it with Dagster's code."""

_FIVE_MINUTES = Duration.minutes(5)
_GIB: Final = 1024**3


def services(settings: Environment) -> list[str]:
    """Return the services of the cluster, each with one task."""
    return [*_SERVICES, *(["viewer"] if settings.orchestrator.viewers is not None else [])]


def add_orchestrator_alarms(
    scope: Construct, settings: Environment, *, database: rds.DatabaseInstance, target: elb.ApplicationTargetGroup
) -> list[str]:
    """Add the alarms of the services, the daemon, the database and the load balancer's target; return their names."""
    topic = sns.Topic.from_topic_arn(scope, "Alerts", settings.arn("sns", settings.alerts_topic))
    alarms = Alarms(scope, settings, topic, stack="dagster")
    for service in services(settings):
        alarms.add(
            f"no-{service}",
            f"No task of the service {service} runs.",
            cloudwatch.Metric(
                namespace="ECS/ContainerInsights",
                metric_name="RunningTaskCount",
                dimensions_map={"ClusterName": settings.prefix, "ServiceName": service},
                statistic="Minimum",
                period=_FIVE_MINUTES,
            ),
            BELOW,
            1,
            periods=2,
            silence_pages=True,
        )
    alarms.add(
        "daemon-idle",
        "The daemon evaluates no sensor: nothing is merged, and nothing is observed.",
        _sensor_ticks(scope, settings),
        BELOW,
        1,
        periods=2,
        silence_pages=True,
    )
    alarms.add(
        "database-storage",
        "Dagster's database has less than 2 GiB left, though its storage grows by itself up to 100 GiB.",
        database.metric_free_storage_space(statistic="Minimum", period=_FIVE_MINUTES),
        BELOW,
        2 * _GIB,
        silence_pages=True,
    )
    alarms.add(
        "database-cpu",
        "Dagster's database is busy (percent).",
        database.metric_cpu_utilization(period=_FIVE_MINUTES),
        AT_LEAST,
        90,
        periods=3,
    )
    alarms.add(
        "unhealthy-page",
        "The load balancer gets no answer of Dagster's page.",
        target.metrics.unhealthy_host_count(statistic="Maximum", period=_FIVE_MINUTES),
        AT_LEAST,
        1,
        periods=2,
    )
    return alarms.names


def _sensor_ticks(scope: Construct, settings: Environment) -> cloudwatch.Metric:
    """Return how many ticks of sensors the daemon logged."""
    group = logs.LogGroup.from_log_group_name(scope, "DaemonLog", f"/{settings.prefix}/daemon")
    metric = logs.MetricFilter(
        scope,
        "SensorTicks",
        log_group=group,
        metric_namespace=f"Medallion/{settings.prefix}",
        metric_name="SensorTicks",
        filter_pattern=logs.FilterPattern.literal(f'"{DAEMON_LINE}"'),
        metric_value="1",
    )
    return metric.metric(statistic="Sum", period=_FIVE_MINUTES)
