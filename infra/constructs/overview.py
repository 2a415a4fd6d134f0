"""One CloudWatch dashboard of an environment's infrastructure: capture, Dagster's tasks, its database, all alarms.

Belongs here: what runs, and how busy it is. Does not belong here: data (Grafana shows freshness, quality, the marts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.constructs.orchestrator_alarms import services
from infra.settings import Environment
from medallion_assets.capture.mapping import DEAD_LETTERS, METRICS_NAMESPACE

_PERIOD: Final = Duration.minutes(5)


def add_overview(
    scope: Construct,
    settings: Environment,
    *,
    alarms: Sequence[str],
    database: rds.DatabaseInstance,
    target: elb.ApplicationTargetGroup,
) -> None:
    """Add the dashboard; `alarms` are the names of those that page. The first three of an account cost nothing."""
    shown = cloudwatch.Dashboard(scope, "Overview", dashboard_name=settings.prefix, default_interval=Duration.hours(12))
    status = [
        cloudwatch.Alarm.from_alarm_arn(scope, f"Shown-{name}", settings.arn("cloudwatch", f"alarm:{name}"))
        for name in alarms
    ]
    shown.add_widgets(cloudwatch.AlarmStatusWidget(alarms=status, title="What pages", width=24, height=4))
    shown.add_widgets(
        _graph("Capture: age of the oldest change (ms)", _of_capture(settings, "IteratorAge", "Maximum")),
        _graph(
            "Capture: calls, errors, throttles",
            *(_of_capture(settings, name, "Sum") for name in ("Invocations", "Errors", "Throttles")),
        ),
        _graph("Capture: records set aside", _of_capture(settings, DEAD_LETTERS, "Sum", namespace=METRICS_NAMESPACE)),
    )
    shown.add_widgets(
        _graph("Tasks that run", *(_of_service(settings, name, "RunningTaskCount") for name in services(settings))),
        _graph("CPU of the services", *(_of_service(settings, name, "CpuUtilized") for name in services(settings))),
        _graph(
            "Memory of the services (MB)",
            *(_of_service(settings, name, "MemoryUtilized") for name in services(settings)),
        ),
    )
    shown.add_widgets(
        _graph("Tasks in the cluster, with runs", _of_cluster(settings, "TaskCount")),
        _graph("Database: CPU (percent)", database.metric_cpu_utilization(period=_PERIOD)),
        _graph("Database: connections", database.metric_database_connections(period=_PERIOD)),
    )
    shown.add_widgets(
        _graph("Database: free storage (bytes)", database.metric_free_storage_space(period=_PERIOD)),
        _graph("Page: time to answer (s)", target.metrics.target_response_time(period=_PERIOD)),
        _graph(
            "Page: answers of 5xx",
            target.metrics.http_code_target(elb.HttpCodeTarget.TARGET_5XX_COUNT, period=_PERIOD),
        ),
    )


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6)


def _of_capture(
    settings: Environment, name: str, statistic: str, *, namespace: str = "AWS/Lambda"
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map={"FunctionName": f"{settings.prefix}-capture"},
        statistic=statistic,
        period=_PERIOD,
        label=name,
    )


def _of_service(settings: Environment, service: str, name: str) -> cloudwatch.Metric:
    return _insight(name, service, {"ClusterName": settings.prefix, "ServiceName": service})


def _of_cluster(settings: Environment, name: str) -> cloudwatch.Metric:
    return _insight(name, "tasks", {"ClusterName": settings.prefix})


def _insight(name: str, label: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="ECS/ContainerInsights",
        metric_name=name,
        dimensions_map=dimensions,
        statistic="Average",
        period=_PERIOD,
        label=label,
    )
