"""How a new version of the capture function is released: a tenth of the batches for five minutes, then all.

The mappings call the alias `live`. CodeDeploy moves it to the new version, and back if that version fails or sets
records aside; CloudFormation then rolls the stack back. The alarms see the new version only: an alarm of the whole
function, which the version before has set off, would keep its own correction out. Belongs here: alias, pace and what
ends a release. Does not belong here: the function and its mappings (stacks.capture), alarms that page (capture_alarms).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.alarms import AT_LEAST
from infra.findings import acknowledge
from infra.settings import Environment
from medallion_assets.capture.mapping import DEAD_LETTERS, METRICS_NAMESPACE

ALIAS: Final = "live"


class Release(Construct):
    """The alias that the mappings call, and its way from one version to the next; `alarms` are their names."""

    def __init__(self, scope: Construct, settings: Environment, function: lambda_.Function) -> None:
        super().__init__(scope, "Release")
        name, version = function.function_name, function.current_version
        self.alias = lambda_.Alias(self, "Alias", alias_name=ALIAS, version=version)
        executed = {"FunctionName": name, "Resource": f"{name}:{ALIAS}", "ExecutedVersion": version.version}
        set_aside = {"FunctionName": name, "Version": version.version}
        self.alarms = [f"{settings.prefix}-capture-new-version-{what}" for what in ("errors", "letters")]
        errors = _count("AWS/Lambda", "Errors", executed)
        letters = _count(METRICS_NAMESPACE, DEAD_LETTERS, set_aside)
        alarms = [
            self._alarm(self.alarms[0], errors, "fails"),
            self._alarm(self.alarms[1], letters, "sets records aside"),
        ]
        role = iam.Role(
            self,
            "Role",
            role_name=f"{settings.prefix}-release",
            assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"),
            description="CodeDeploy: moves the capture function's alias",
        )
        acknowledge(
            role,
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]",
            "AWS's own policy for exactly this; the CDK adds it by itself",
        )
        codedeploy.LambdaDeploymentGroup(
            self,
            "Group",
            deployment_group_name=f"{settings.prefix}-capture",
            application=codedeploy.LambdaApplication(
                self, "Application", application_name=f"{settings.prefix}-capture"
            ),
            alias=self.alias,
            role=role,
            deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
            alarms=alarms,
            auto_rollback=codedeploy.AutoRollbackConfig(deployment_in_alarm=True, failed_deployment=True),
        )

    def _alarm(self, name: str, metric: cloudwatch.Metric, does: str) -> cloudwatch.Alarm:
        """Return an alarm without an action of its own: it ends the release, which fails the deployment."""
        return cloudwatch.Alarm(
            self,
            f"Alarm{metric.metric_name}",
            alarm_name=name,
            alarm_description=f"The version of the capture function that is being released {does}.",
            metric=metric,
            threshold=1,
            evaluation_periods=1,
            comparison_operator=AT_LEAST,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _count(namespace: str, name: str, dimensions: Mapping[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic="Sum",
        period=Duration.minutes(1),
    )
