"""An alarm that pages: it notifies the environment's topic when it fires, and when all is well again.

Belongs here: how every alarm is made. Does not belong here: what is watched (capture_alarms, orchestrator_alarms).
"""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.settings import Environment

AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


class Alarms:
    """Makes the alarms of one stack; `stack` is the word in their names."""

    def __init__(self, scope: Construct, settings: Environment, topic: sns.ITopic, *, stack: str) -> None:
        self._scope = scope
        self._prefix = f"{settings.prefix}-{stack}"
        self._notify = actions.SnsAction(topic)
        self.names: list[str] = []

    def add(
        self,
        name: str,
        meaning: str,
        metric: cloudwatch.IMetric,
        comparison: cloudwatch.ComparisonOperator,
        threshold: float,
        *,
        periods: int = 1,
        silence_pages: bool = False,
    ) -> None:
        """Add an alarm on `periods` periods in a row. `silence_pages`: no data is as bad as a bad value."""
        missing = cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self._scope,
            f"Alarm-{name}",
            alarm_name=f"{self._prefix}-{name}",
            alarm_description=f"{meaning} See docs/runbook.md.",
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing.BREACHING if silence_pages else missing.NOT_BREACHING,
        )
        self.names.append(f"{self._prefix}-{name}")
        alarm.add_alarm_action(self._notify)
        alarm.add_ok_action(self._notify)
