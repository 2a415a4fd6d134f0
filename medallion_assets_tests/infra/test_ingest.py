"""What the Ingest stack promises, held against its template: who gets in, and what its functions may do."""

from __future__ import annotations

import json
from typing import Any

from medallion_assets.ingest.deployed import API_SECONDS, DEAD_LETTERS, INBOX_SECONDS, MOST_RECEIVED, REQUESTS
from medallion_assets_tests.infra.assembly import Assembly, Template
from medallion_assets_tests.infra.conftest import AUTHORIZER, SENDER, TOKENS
from medallion_assets_tests.infra.test_access import allowed


def tables(template: Template, role: str) -> dict[str, set[str]]:
    """The actions of DynamoDB that a role may do, by table."""
    found: dict[str, set[str]] = {}
    for action, resource in allowed(template, role):
        if action.startswith("dynamodb:"):
            found.setdefault(resource.rpartition("/")[2], set()).add(action.removeprefix("dynamodb:"))
    return found


def test_an_environment_without_it_has_no_stack(assembly: Assembly) -> None:
    assert "Ingest" not in [template.name for template in assembly.templates]


def test_each_function_may_do_what_the_policy_allows_and_nothing_else(variants: dict[str, Assembly]) -> None:
    stack = variants["open"]["Ingest"]
    kept = {"GetItem", "PutItem", "UpdateItem", "DeleteItem"}
    every = kept | {"Query", "Scan"}
    requests = "medallion-open-requests"
    expected = {"Orders": every, "Customers": every, "Products": {"GetItem"}, requests: kept}
    assert tables(stack, "RoleApi") == expected
    assert tables(stack, "RoleInbox") == {"Orders": kept, requests: kept}
    others = {action for action, _ in allowed(stack, "RoleApi") if not action.startswith(("dynamodb:", "logs:"))}
    assert not others
    messages = {
        (action, arn.rpartition(":")[2]) for action, arn in allowed(stack, "RoleInbox") if "dynamodb" not in action
    }
    assert {one for one in messages if not one[0].startswith("logs:")} == {
        *(
            (f"sqs:{verb}", "medallion-open-inbox")
            for verb in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
        ),
        ("sqs:SendMessage", "medallion-open-inbox-dead-letters"),
        ("sns:Publish", "medallion-open-alerts"),
    }


def test_no_request_goes_past_the_authorizer(variants: dict[str, Assembly]) -> None:
    for name, kind in (("open", "JWT"), ("trino", "CUSTOM")):
        stack = variants[name]["Ingest"]
        routes = stack.properties("AWS::ApiGatewayV2::Route")
        assert {route["RouteKey"] for route in routes} == {
            "GET /v1/items",
            "POST /v1/items",
            *(f"{method} /v1/items/{{proxy+}}" for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
        }
        assert {route["AuthorizationType"] for route in routes} == {kind}
    tokens = variants["open"]["Ingest"].one("AWS::ApiGatewayV2::Authorizer")["JwtConfiguration"]
    assert tokens == {"Issuer": TOKENS["issuer"], "Audience": TOKENS["audience"]}
    callers = variants["trino"]["Ingest"].one("AWS::ApiGatewayV2::Authorizer")
    assert callers["AuthorizerResultTtlInSeconds"] == 0
    assert AUTHORIZER in json.dumps(callers["AuthorizerUri"])


def test_a_message_is_tried_again_and_then_given_up(variants: dict[str, Assembly]) -> None:
    stack = variants["open"]["Ingest"]
    queues = {
        queue["QueueName"].removeprefix("medallion-open-"): queue for queue in stack.properties("AWS::SQS::Queue")
    }
    assert queues["inbox"]["RedrivePolicy"]["maxReceiveCount"] == MOST_RECEIVED
    assert queues["inbox"]["VisibilityTimeout"] == 6 * INBOX_SECONDS
    assert all(queue["SqsManagedSseEnabled"] for queue in queues.values())
    mapping = stack.one("AWS::Lambda::EventSourceMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    senders = [
        statement["Principal"]["AWS"]
        for policy in stack.properties("AWS::SQS::QueuePolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert senders == [SENDER]
    assert not any("Allow" in json.dumps(one) for one in _queue_policies(variants["trino"]["Ingest"]))
    alarms = {alarm["AlarmName"] for alarm in stack.properties("AWS::CloudWatch::Alarm")}
    assert alarms == {"medallion-open-ingest-dead-letters", "medallion-open-ingest-errors"}


def _queue_policies(stack: Template) -> list[dict[str, Any]]:
    return stack.properties("AWS::SQS::QueuePolicy")


def test_the_functions_know_their_domain_and_end_in_time(variants: dict[str, Assembly]) -> None:
    functions = {one["FunctionName"]: one for one in variants["trino"]["Ingest"].properties("AWS::Lambda::Function")}
    api, inbox = (functions[f"medallion-trino-ingest-{name}"] for name in ("api", "inbox"))
    assert (api["Timeout"], inbox["Timeout"]) == (API_SECONDS, INBOX_SECONDS)
    for function in (api, inbox):
        variables = function["Environment"]["Variables"]
        assert variables["MEDALLION_DOMAIN"] == "sold"
        assert variables["MEDALLION_SOURCE_TABLES"] == "Orders=prod-Orders"
        assert variables[REQUESTS] == "medallion-trino-requests"
    assert DEAD_LETTERS not in api["Environment"]["Variables"]
    logged = json.loads(variants["open"]["Ingest"].one("AWS::ApiGatewayV2::Stage")["AccessLogSettings"]["Format"])
    assert not {"path", "ip", "authorizer.claims.sub"} & set(logged)
