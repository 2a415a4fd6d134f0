"""Messages of the inbound queue, on queues, a topic and tables of the local AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from typer.testing import CliRunner

from medallion_assets.cli.main import app as commands
from medallion_assets.ingest.dead_letter import move
from medallion_assets.ingest.inbox import Inbox
from medallion_assets.ingest.items import items_of
from medallion_assets.ingest.once import Once
from medallion_assets.ingest.policy import load_policy
from medallion_assets_tests.ingest.conftest import Api, Context

ITEM = {"Id": "o-1", "Amount": 12.5}


@dataclass
class Post:
    """The inbox with what is around it."""

    inbox: Inbox
    api: Api
    queue: str
    alerts: str

    def take(self, *messages: object, ids: str = "m") -> list[str]:
        records = [
            {"messageId": f"{ids}-{at}", "body": one if isinstance(one, str) else json.dumps(one)}
            for at, one in enumerate(messages)
        ]
        return self.inbox.take(records, Context())

    def received(self, queue: str) -> list[str]:
        answer = boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        return [one["Body"] for one in answer.get("Messages", [])]


@pytest.fixture
def post(api: Api, monkeypatch: pytest.MonkeyPatch) -> Post:
    sqs, sns, dynamodb = boto3.client("sqs"), boto3.client("sns"), boto3.client("dynamodb")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("inbox", "dead", "alerts")}
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    arn = sqs.get_queue_attributes(QueueUrl=urls["alerts"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    monkeypatch.setenv("MEDALLION_INBOX", urls["inbox"])
    monkeypatch.setenv("MEDALLION_INBOX_DEAD_LETTERS", urls["dead"])
    policy = load_policy(api.domain)
    items = items_of(dynamodb, api.domain, policy)
    made = Inbox(items, policy, Once(dynamodb, "requests"), sqs, sns, urls["dead"], topic)
    return Post(made, api, urls["inbox"], urls["alerts"])


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(commands, ["inbox", *arguments, "--json"])
    return json.loads(done.stdout)


def test_a_message_is_written_once_however_often_it_is_delivered(post: Post) -> None:
    message = {"verb": "post", "table": "orders", "item": ITEM}
    assert post.take(message) == post.take(message) == []
    assert post.api("GET", "/v1/items/orders/o-1").headers["etag"] == '"1"'
    assert run("list") == []


def test_refused_messages_go_to_the_dead_letters_with_reason_alert_and_metric(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"verb": "put", "table": "orders", "key": {"Id": "o-1"}, "item": {"Id": "o-1", "Amount": "secret"}}
    forbidden = {"verb": "post", "table": "users", "item": {"PK": "USER#1", "SK": "P"}}
    assert post.take(wrong, {"verb": "post", "table": "orders", "item": ITEM}, forbidden, "no json") == []
    metric = json.loads(capsys.readouterr().out)
    assert metric["InboxDeadLetters"] == 3
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Medallion"

    letters = {one["table"]: one for one in run("list")}
    assert {name: one["code"] for name, one in letters.items()} == {"orders": "mismatch", "?": letters["?"]["code"]}
    (mismatch,) = letters["orders"]["mismatches"]
    assert (mismatch["field"], mismatch["expected"]) == ("Amount", "decimal(12,2)")
    assert sorted(one["code"] for one in run("list")) == ["forbidden", "mismatch", "mismatch"]
    (alert,) = post.received(post.alerts)
    text = json.loads(alert)["Message"]
    assert "3 messages of the inbox were refused." in text
    assert "orders: mismatch of Amount" in text
    assert "secret" not in json.dumps([letters, text])
    assert post.api("GET", "/v1/items/orders/o-1").status == 200
    assert post.api("GET", "/v1/items/users/USER#1/P").status == 404


def test_replay_sends_the_message_again_and_drop_deletes_it(post: Post) -> None:
    one, other = ({"verb": "post", "table": "orders", "item": {"Id": name}} for name in ("a", "b"))
    post.take(one, other, "no json")
    first = next(letter for letter in run("list", "--table", "orders"))
    assert run("replay", first["id"]) == {"replayed": 1, "by_table": {"orders": 1}}
    (body,) = post.received(post.queue)
    assert json.loads(body) in (one, other)
    assert run("drop", "--table", "orders") == {"dropped": 1, "by_table": {"orders": 1}}
    assert run("drop", "--all") == {"dropped": 1, "by_table": {"?": 1}}
    assert run("list") == []
    assert CliRunner().invoke(commands, ["inbox", "drop"]).exit_code == 2
    assert CliRunner().invoke(commands, ["inbox", "drop", "--all"]).exit_code == 1


def test_a_message_that_is_refused_again_meanwhile_is_replayed_once(post: Post) -> None:
    post.take({"verb": "post", "table": "orders", "item": {"Id": "a"}})
    sent: list[str] = []

    class Refusing:
        """SQS, with a consumer that refuses at once what it is sent."""

        def __getattr__(self, name: str) -> Any:
            return getattr(post.inbox.sqs, name)

        def send_message(self, *, MessageBody: str, **_: object) -> None:
            sent.append(MessageBody)
            assert len(sent) < 5, "it does not end"
            post.take(MessageBody, ids=f"again-{len(sent)}")

    sqs: Any = Refusing()
    assert move(sqs, post.inbox.dead_letters, lambda letter: True, to=post.queue) == {"orders": 1}
    assert len(sent) == len(run("list")) == 1


def test_the_alert_of_many_long_names_is_short(post: Post) -> None:
    item = {"Id": "a", **{f"{at:03d}{'x' * 1_000}": 1 for at in range(200)}}
    post.take({"verb": "post", "table": "orders", "item": item})
    (alert,) = post.received(post.alerts)
    assert len(alert) < 10_000


class Unreachable:
    def __getattr__(self, name: str) -> Any:
        def call(**_: object) -> Mapping[str, Any]:
            raise EndpointConnectionError(endpoint_url="x")

        return call


def test_what_aws_does_not_answer_is_tried_again(post: Post) -> None:
    fine, wrong = {"verb": "post", "table": "orders", "item": ITEM}, {"verb": "post", "table": "orders", "item": {}}
    orders = post.inbox.items["orders"]
    client, orders._client = orders._client, Unreachable()  # type: ignore[assignment]
    assert post.take(fine, ids="n") == ["n-0"]
    orders._client = client
    assert post.take(fine, ids="n") == []
    object.__setattr__(post.inbox, "sqs", Unreachable())
    assert post.take(wrong, ids="w") == ["w-0"]
