"""The Ingest stack: the API in front of the tables, and the inbound queue.

Belongs here: HTTP API, authorizer, the two functions, the queues, the table of requests. Does not belong here: what a
request does (the room ingest), which actions each function may do (access).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import access
from infra.constructs.alarms import AT_LEAST, Alarms
from infra.findings import accept, acknowledge
from infra.log_groups import log_group
from infra.outputs import publish
from infra.removal import removal_policy
from infra.settings import Environment, Ingest, JwtAuthorizer
from medallion_assets.contracts.loader import Domain
from medallion_assets.ingest import deployed
from medallion_assets.ingest.policy import load_policy

_ARCHITECTURES: Final = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_LOGGED: Final = {
    name: f"$context.{name}"
    for name in ("requestId", "requestTime", "routeKey", "status", "responseLatency", "authorizer.error")
}
"""What the API logs of a request: no path, which has keys, and nobody's name."""


class IngestStack(Stack):
    """Checked writes to the tables."""

    def __init__(
        self, scope: Construct, settings: Environment, ingest: Ingest, domain: Domain, *, package: Path
    ) -> None:
        super().__init__(
            scope,
            "Ingest",
            stack_name=f"{settings.prefix}-ingest",
            env={"account": settings.account, "region": settings.region},
            termination_protection=settings.protected,
            description=f"Medallion assets: checked writes to the tables of {settings.environment}",
        )
        self._settings, self._ingest, self._domain, self._package = settings, ingest, domain, package
        policy = load_policy(domain)
        requests = f"{settings.prefix}-requests"
        self._requests_table(requests)
        remember = access.remember_requests(settings, requests)
        variables = {deployed.REQUESTS: requests}

        of_requests = [*access.ingest_requests(settings, domain, policy), *remember]
        api = self._function("api", deployed.API_HANDLER, of_requests, variables, deployed.API_SECONDS)
        url = self._api(api)

        queue, dead_letters = self._queues()
        of_messages = [
            *access.ingest_messages(settings, domain, policy),
            *remember,
            *access.take_messages(settings, f"{settings.prefix}-inbox"),
            *access.refuse_messages(settings, f"{settings.prefix}-inbox-dead-letters"),
        ]
        variables |= {
            deployed.DEAD_LETTERS: dead_letters.queue_url,
            deployed.ALERTS: settings.arn("sns", settings.alerts_topic),
        }
        inbox = self._function("inbox", deployed.INBOX_HANDLER, of_messages, variables, deployed.INBOX_SECONDS)
        lambda_.EventSourceMapping(
            self,
            "Messages",
            target=inbox,
            event_source_arn=queue.queue_arn,
            batch_size=10,
            report_batch_item_failures=True,
        ).node.add_dependency(inbox)
        self._alarms(api, dead_letters)
        publish(self, settings, "api-url", url, "Where items are written and read")
        publish(self, settings, "inbox-url", queue.queue_url, "The inbound queue, for MEDALLION_INBOX")
        what = "Refused messages, for MEDALLION_INBOX_DEAD_LETTERS"
        publish(self, settings, "inbox-dead-letters-url", dead_letters.queue_url, what)

    def _requests_table(self, name: str) -> None:
        table = dynamodb.Table(
            self,
            "Requests",
            table_name=name,
            partition_key=dynamodb.Attribute(name=deployed.REQUEST_KEY, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            time_to_live_attribute=deployed.REQUEST_EXPIRY,
            removal_policy=removal_policy(self._settings),
        )
        acknowledge(table, "AwsSolutions-DDB3", "answers of requests, kept for a day")
        accept(
            table,
            CKV_AWS_28="answers of requests, kept for a day",
            CKV_AWS_119="versions and paths of items, encrypted with the account's DynamoDB key",
        )

    def _function(
        self, name: str, handler: str, grants: Sequence[access.Grant], variables: dict[str, str], seconds: int
    ) -> lambda_.Function:
        settings = self._settings
        full, id_ = f"{settings.prefix}-ingest-{name}", name.capitalize()
        role = iam.Role(
            self,
            f"Role{id_}",
            role_name=full,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Ingest: the function of the {name}",
        )
        access.grant_to(role, *grants, *access.decrypt_tables(settings))
        group = log_group(self, f"Log{id_}", settings, f"/aws/lambda/{full}")
        group.grant_write(role)
        function = lambda_.Function(
            self,
            f"Function{id_}",
            function_name=full,
            description="Checked writes to the tables",
            code=lambda_.Code.from_asset(str(self._package)),
            handler=handler,
            runtime=lambda_.Runtime(f"python{settings.capture.python}", lambda_.RuntimeFamily.PYTHON),
            architecture=_ARCHITECTURES[settings.capture.architecture],
            memory_size=self._ingest.memory_mb,
            timeout=Duration.seconds(seconds),
            role=role,
            log_group=group,
            environment={"MEDALLION_DOMAIN": self._domain.name, **settings.source_tables, **variables},
        )
        acknowledge(function, "AwsSolutions-L1", "one version behind the newest: its wheels have been out for a year")
        accept(
            function,
            CKV_AWS_115="the API's throttle and the queue bound it; a limit here would refuse requests",
            CKV_AWS_116="the API's caller, and the queue, get what fails",
            CKV_AWS_117="it calls DynamoDB, SQS and SNS only; from inside a VPC its traffic would pay for gateways",
            CKV_AWS_173="names only, encrypted with Lambda's own key",
        )
        return function

    def _api(self, function: lambda_.Function) -> str:
        """Make the HTTP API and return its address."""
        settings = self._settings
        api = gateway.HttpApi(self, "Api", api_name=f"{settings.prefix}-ingest", create_default_stage=False)
        api.add_routes(
            path="/v1/items",
            methods=[gateway.HttpMethod.GET, gateway.HttpMethod.POST],
            integration=(integration := integrations.HttpLambdaIntegration("Integration", function)),
            authorizer=(authorizer := self._authorizer()),
        )
        api.add_routes(
            path="/v1/items/{proxy+}",
            methods=[gateway.HttpMethod[name] for name in _METHODS],
            integration=integration,
            authorizer=authorizer,
        )
        group = log_group(self, "LogRequests", settings, f"/aws/vendedlogs/{settings.prefix}-ingest-requests")
        stage = gateway.CfnStage(
            self,
            "Stage",
            api_id=api.api_id,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings=gateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=group.log_group_arn, format=json.dumps(_LOGGED)
            ),
            default_route_settings=gateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=self._ingest.requests_per_second,
                throttling_burst_limit=2 * self._ingest.requests_per_second,
            ),
        )
        stage.node.add_dependency(api)
        return api.api_endpoint

    def _authorizer(self) -> gateway.IHttpRouteAuthorizer:
        chosen = self._ingest.authorizer
        if isinstance(chosen, JwtAuthorizer):
            return authorizers.HttpJwtAuthorizer("Tokens", chosen.issuer, jwt_audience=list(chosen.audience))
        function = lambda_.Function.from_function_attributes(
            self, "Authorizer", function_arn=chosen.function_arn, same_environment=True
        )
        return authorizers.HttpLambdaAuthorizer(
            "Callers",
            function,
            response_types=[authorizers.HttpLambdaResponseType.SIMPLE],
            # An answer that is kept would be that of another request with the same header.
            results_cache_ttl=Duration.seconds(0),
        )

    def _queues(self) -> tuple[sqs.Queue, sqs.Queue]:
        """Make the inbound queue and its dead-letter queue; people of other accounts may send if they are named."""
        settings = self._settings
        dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            queue_name=f"{settings.prefix}-inbox-dead-letters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=removal_policy(settings),
        )
        queue = sqs.Queue(
            self,
            "Inbox",
            queue_name=f"{settings.prefix}-inbox",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(4),
            # As AWS asks for: six times what the function may take.
            visibility_timeout=Duration.seconds(6 * deployed.INBOX_SECONDS),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=deployed.MOST_RECEIVED),
            removal_policy=removal_policy(settings),
        )
        for each in (queue, dead_letters):
            accept(each, CKV_AWS_27="encrypted with SQS's own key; the check knows KMS keys only")
        acknowledge(dead_letters, "AwsSolutions-SQS3", "it is the dead-letter queue")
        if self._ingest.senders:
            queue.add_to_resource_policy(
                iam.PolicyStatement(
                    sid="Senders",
                    actions=["sqs:SendMessage"],
                    principals=[iam.ArnPrincipal(arn) for arn in self._ingest.senders],
                    resources=[queue.queue_arn],
                )
            )
        return queue, dead_letters

    def _alarms(self, api: lambda_.Function, dead_letters: sqs.Queue) -> None:
        settings = self._settings
        topic = sns.Topic.from_topic_arn(self, "Alerts", settings.arn("sns", settings.alerts_topic))
        alarms = Alarms(self, settings, topic, stack="ingest")
        waiting = dead_letters.metric_approximate_number_of_messages_visible(
            statistic="Maximum", period=Duration.minutes(5)
        )
        alarms.add("dead-letters", "Messages wait in `medallion inbox list`.", waiting, AT_LEAST, 1)
        errors = api.metric_errors(statistic="Sum", period=Duration.minutes(1))
        alarms.add("errors", "The function of the ingest API fails.", errors, AT_LEAST, 1)
