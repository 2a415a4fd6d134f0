"""Counters in a DynamoDB table: an entry for each group, an entry for each item's last change, transactions.

Belongs here: entries, conditions, limits. Does not belong here: which changes are in a step (step).

The table's key is `counter` and `entry`, both text; `expires` is its time to live.

- `<counter>`, `total <group>`: the measures of a group, each an attribute of its own
- `<counter> <hash of the key>`, `seen`: an item's last change. It has a partition key of its own, because DynamoDB
  writes at most 1,000 units a second to one
- `<counter>`, `frozen`: until when the counter is read as a whole
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.errors import LakeUnavailable
from medallion_assets.live.change import Key
from medallion_assets.live.counter import COUNT
from medallion_assets.live.step import SEEN_FOR, Seen, Step, Totals
from medallion_assets.live.store import FROZEN_SECONDS, Outcome, Snapshot, read_seen, seen_text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

P = ParamSpec("P")
T = TypeVar("T")

_ACTIONS: Final = 100
"""How many actions DynamoDB takes in one transaction, and how many keys in one BatchGetItem."""

_LATER: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "ThrottlingError",
        "RequestLimitExceeded",
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "TransactionInProgressException",
    }
)


def _reached(call: Callable[P, T]) -> Callable[P, T]:
    """Raise LakeUnavailable for what botocore raises when the service cannot answer."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _LATER:
                raise
            raise LakeUnavailable(f"the table of the counters does not answer: {error}") from error
        except BotoCoreError as error:
            raise LakeUnavailable(f"the table of the counters does not answer: {error}") from error

    return wrapped


class DynamoStore:
    """A LiveStore in a DynamoDB table."""

    changes_at_once = 90
    entries_at_once = _ACTIONS - 1

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    @classmethod
    def open(cls, table: str) -> Self:
        """Return the store in a table of boto3's account and region."""
        import boto3
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=10)
        return cls(boto3.client("dynamodb", config=config), table)

    @_reached
    def seen(self, counter: str, keys: Collection[Key]) -> dict[Key, Seen]:
        """Return the last changes of those items that have one."""
        wanted, found = list(keys), {}
        for at in range(0, len(wanted), _ACTIONS):
            asked: Any = {
                self._table: {
                    "Keys": [_item(counter, key) for key in wanted[at : at + _ACTIONS]],
                    "ConsistentRead": True,
                }
            }
            while asked:
                answer = self._client.batch_get_item(RequestItems=asked)
                for item in answer["Responses"].get(self._table, ()):
                    found[item["key"]["S"]] = read_seen(item["last"]["S"])
                asked = answer.get("UnprocessedKeys")
        return found

    @_reached
    def apply(self, counter: str, step: Step, before: Mapping[Key, Seen]) -> Outcome:
        """Apply a step in one transaction, if the items' last changes are still those in `before`."""
        expires = str(int(time.time() + SEEN_FOR.total_seconds()))
        actions = [self._not_frozen(counter)]
        actions += [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {
                        **_item(counter, key),
                        "key": {"S": key},
                        "last": {"S": seen_text(one)},
                        "expires": {"N": expires},
                    },
                    **_unchanged(before.get(key)),
                }
            }
            for key, one in step.seen.items()
        ]
        return self._write([*actions, *self._grown(counter, step.deltas)])

    @_reached
    def totals(self, counter: str) -> Totals:
        """Return the groups that have an item, and their numbers."""
        return {group: measures for group, measures in self._totals(counter).items() if measures.get(COUNT)}

    @_reached
    def snapshot(self, counter: str) -> Snapshot:
        """Return a counter as it is at one moment. Its writers wait; its readers do not."""
        now = int(time.time())
        frozen: Any = {"counter": {"S": counter}, "entry": {"S": "frozen"}}
        until = {"N": str(now + FROZEN_SECONDS)}
        reader = {"S": secrets.token_hex(8)}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**frozen, "until": until, "reader": reader},
                ConditionExpression="attribute_not_exists(#u) OR #u <= :now",
                ExpressionAttributeNames={"#u": "until"},
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException as read:
            raise LakeUnavailable(
                f"counter {counter} is being read as a whole already; try again in a minute"
            ) from read
        try:
            seen: dict[Key, Seen] = {}
            for item in self._scan("begins_with(#c, :c) AND #e = :e", {":c": f"{counter} ", ":e": "seen"}):
                seen[item["key"]["S"]] = read_seen(item["last"]["S"])
            totals = self._totals(counter)
            if time.time() >= now + FROZEN_SECONDS:
                raise LakeUnavailable(f"reading counter {counter} took more than {FROZEN_SECONDS} s; try again")
        finally:
            with suppress(self._client.exceptions.ConditionalCheckFailedException):
                self._client.delete_item(
                    TableName=self._table,
                    Key=frozen,
                    ConditionExpression="#r = :r",
                    ExpressionAttributeNames={"#r": "reader"},
                    ExpressionAttributeValues={":r": reader},
                )
        return Snapshot(totals, seen)

    @_reached
    def correct(self, counter: str, deltas: Totals) -> None:
        """Add deltas, a hundred groups in one transaction; changes that are applied at the same time stay."""
        actions = self._grown(counter, deltas)
        for at in range(0, len(actions), _ACTIONS):
            while self._write(actions[at : at + _ACTIONS]) != "applied":
                time.sleep(0.05)

    @_reached
    def forget(self, counter: str) -> None:
        """Delete all that is kept of a counter."""
        for item in self._scan("#c = :c OR begins_with(#c, :s)", {":c": counter, ":s": f"{counter} "}):
            self._client.delete_item(TableName=self._table, Key={name: item[name] for name in ("counter", "entry")})

    def _write(self, actions: list[Any]) -> Outcome:
        try:
            self._client.transact_write_items(TransactItems=actions)
        except self._client.exceptions.TransactionCanceledException as cancelled:
            codes = [reason.get("Code", "None") for reason in cancelled.response.get("CancellationReasons", ())]
            if later := _LATER.intersection(codes):
                raise LakeUnavailable(f"the table of the counters does not answer: {sorted(later)}") from cancelled
            if not {"ConditionalCheckFailed", "TransactionConflict"}.intersection(codes):
                raise
            return "frozen" if codes[0] == "ConditionalCheckFailed" and "ConditionCheck" in actions[0] else "changed"
        return "applied"

    def _not_frozen(self, counter: str) -> dict[str, Any]:
        return {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": {"counter": {"S": counter}, "entry": {"S": "frozen"}},
                "ConditionExpression": "attribute_not_exists(#u) OR #u <= :now",
                "ExpressionAttributeNames": {"#u": "until"},
                "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
            }
        }

    def _grown(self, counter: str, deltas: Totals) -> list[dict[str, Any]]:
        return [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": {"counter": {"S": counter}, "entry": {"S": f"total {group}"}},
                    "UpdateExpression": "ADD " + ", ".join(f"#m{at} :m{at}" for at in range(len(measures))),
                    "ExpressionAttributeNames": {f"#m{at}": name for at, name in enumerate(measures)},
                    "ExpressionAttributeValues": {
                        f":m{at}": {"N": f"{number:f}"} for at, number in enumerate(measures.values())
                    },
                }
            }
            for group, measures in deltas.items()
        ]

    def _totals(self, counter: str) -> Totals:
        totals: Totals = {}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="#c = :c AND begins_with(#e, :e)",
            ExpressionAttributeNames={"#c": "counter", "#e": "entry"},
            ExpressionAttributeValues={":c": {"S": counter}, ":e": {"S": "total "}},
        )
        for page in pages:
            for item in page["Items"]:
                group = item["entry"]["S"].removeprefix("total ")
                measures = {name: Decimal(one["N"]) for name, one in item.items() if "N" in one}
                totals[group] = {name: number for name, number in measures.items() if number}
        return {group: measures for group, measures in totals.items() if measures}

    def _scan(self, condition: str, values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        names = {short: name for short, name in (("#c", "counter"), ("#e", "entry")) if short in condition}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ConsistentRead=True,
            FilterExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={name: {"S": text} for name, text in values.items()},
        )
        for page in pages:
            yield from page["Items"]


def table_settings(table: str) -> dict[str, Any]:
    """Return what DynamoDB's `create_table` needs for a table of counters."""
    return {
        "TableName": table,
        "KeySchema": [
            {"AttributeName": "counter", "KeyType": "HASH"},
            {"AttributeName": "entry", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "counter", "AttributeType": "S"},
            {"AttributeName": "entry", "AttributeType": "S"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


def _item(counter: str, key: Key) -> dict[str, Any]:
    return {
        "counter": {"S": f"{counter} {hashlib.sha256(key.encode()).hexdigest()}"},
        "entry": {"S": "seen"},
    }


def _unchanged(before: Seen | None) -> dict[str, Any]:
    """Return the condition that an item's last change is still the one that was read."""
    if before is None:
        return {"ConditionExpression": "attribute_not_exists(#l)", "ExpressionAttributeNames": {"#l": "last"}}
    return {
        "ConditionExpression": "#l = :l",
        "ExpressionAttributeNames": {"#l": "last"},
        "ExpressionAttributeValues": {":l": {"S": seen_text(before)}},
    }
