"""The items of one table, read and written in DynamoDB under conditions.

Every write through here counts in the version attribute, and is conditional on the version that was read before it. So
two writers do not overwrite each other, and an ETag is good for `If-Match`. A writer beside the API that does not count
is not seen by that.

Belongs here: what a request does in DynamoDB. Does not belong here: HTTP (app), what an item may be (validate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.contracts.loader import Domain
from medallion_assets.ingest.item_key import key_of_item, key_of_token, page_token
from medallion_assets.ingest.mismatch import Mismatch
from medallion_assets.ingest.policy import Policy
from medallion_assets.ingest.refusal import Refused, mismatched
from medallion_assets.ingest.stored_item import Item
from medallion_assets.ingest.validate import Validator

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRIES: Final = 5


@dataclass(frozen=True)
class Precondition:
    """What the caller expects of the item before a write.

    - versions: one of these versions, from If-Match; None if any will do
    - exists: from `If-Match: *` (true) and `If-None-Match: *` (false); None if either will do
    """

    versions: frozenset[int] | None = None
    exists: bool | None = None


ANY: Final = Precondition()


@dataclass(frozen=True)
class Written:
    """A write that was done: the key, the version that the item has (None if it is deleted), and if it is new."""

    key: Item
    version: int | None
    created: bool = False


@dataclass(frozen=True)
class Page:
    """Some items, and the token of the next page; None on the last one."""

    items: tuple[Item, ...]
    next: str | None


class Items:
    """The items of one contract. Every method raises Refused."""

    def __init__(self, client: DynamoDBClient, table: str, validator: Validator, version_attribute: str) -> None:
        """`table` is the table's name in DynamoDB."""
        self.contract = validator.contract
        self._client = client
        self._table = table
        self._validator = validator
        self._version = version_attribute

    def read(self, key: Item) -> Item:
        """Return the item with this key, as it is after every write that was answered."""
        item = self._current(key)
        if item is None:
            raise _not_found()
        return item

    def version_of(self, item: Item) -> int:
        """Return how often the item was written through here."""
        text = item.get(self._version, {}).get("N", "0")
        return int(text) if text.isdigit() else 0

    def page(self, hash_key: Item, *, limit: int, after: str | None) -> Page:
        """Return at most `limit` items: those with a hash key, in the order of their range keys, or of the table.

        Items of other entities do not count, so a page may have fewer items than asked for, and still a next one.
        """
        asked: dict[str, Any] = {"TableName": self._table, "Limit": limit, "ConsistentRead": True}
        if after is not None:
            asked["ExclusiveStartKey"] = key_of_token(self.contract, after)
        if hash_key:
            ((name, value),) = hash_key.items()
            if after is not None and asked["ExclusiveStartKey"][name] != value:
                raise Refused(400, "wrong_token", "`next` is a token of another list; use that of the last page.")
            asked |= {"KeyConditionExpression": "#h = :h", "ExpressionAttributeNames": {"#h": name}}
            answer: Any = _ask(lambda: self._client.query(**asked, ExpressionAttributeValues={":h": value}))
        else:
            answer = _ask(lambda: self._client.scan(**asked))
        found = tuple(item for item in answer["Items"] if self._validator.is_of_entity(item))
        last = answer.get("LastEvaluatedKey")
        return Page(found, page_token(last) if last else None)

    def create(self, item: Item) -> Written:
        """Write an item whose key is free."""
        new, key = self._counted(item, 1)
        try:
            self._put(new, "attribute_not_exists(#h)", {"#h": self.contract.key.hash}, {})
        except _Changed:
            raise Refused(409, "exists", "There is an item with this key already; PUT replaces it.") from None
        return Written(key, 1, created=True)

    def replace(self, key: Item, item: Item, expected: Precondition = ANY) -> Written:
        """Write a whole item, whether or not there is one with its key."""
        if any(name in item and item[name] != value for name, value in key.items()):
            fields = [name for name, value in key.items() if name in item and item[name] != value]
            raise mismatched(
                [Mismatch(name, "another value than the path has", "the key of the path") for name in fields]
            )

        def write(before: Item | None, version: int) -> Written:
            new, _ = self._counted(key | item, version + 1)
            self._put(new, *self._unchanged(before))
            return Written(key, version + 1, created=before is None)

        return self._write(key, expected, write)

    def change(self, key: Item, changes: Mapping[str, Any], expected: Precondition = ANY) -> Written:
        """Change attributes of an item; None removes one. What is not named stays, also if others change it now."""
        if of_key := [name for name in changes if name in key and changes[name] != key[name]]:
            raise mismatched([Mismatch(name, "another value", "the key, which never changes") for name in of_key])
        changed = {name: value for name, value in changes.items() if name not in key and name != self._version}

        def write(before: Item | None, version: int) -> Written:
            if before is None:
                raise _not_found()
            merged = {name: value for name, value in (before | changed).items() if value is not None}
            new, _ = self._counted(merged, version + 1)
            self._update(key, {**changed, self._version: new[self._version]}, before)
            return Written(key, version + 1)

        return self._write(key, expected, write)

    def remove(self, key: Item, expected: Precondition = ANY) -> Written:
        """Delete an item."""

        def write(before: Item | None, version: int) -> Written:
            if before is None:
                raise _not_found()
            condition, names, values = self._unchanged(before)
            asked: dict[str, Any] = {"ConditionExpression": condition, "ExpressionAttributeNames": names}
            if values:
                asked["ExpressionAttributeValues"] = values
            _ask(lambda: self._client.delete_item(TableName=self._table, Key=key, **asked))
            return Written(key, None)

        return self._write(key, expected, write)

    def _write(self, key: Item, expected: Precondition, write: Callable[[Item | None, int], Written]) -> Written:
        """Read, compare with what the caller expects, and write unless somebody else wrote meanwhile."""
        for _ in range(_TRIES):
            before = self._current(key, of_any_entity=True)
            if before is not None and not self._validator.is_of_entity(before):
                raise Refused(409, "other_entity", f"The item with this key is none of {self.contract.lake_name}.")
            version = 0 if before is None else self.version_of(before)
            if expected.exists is not None and expected.exists != (before is not None):
                there = "There is no item" if before is None else "There is an item"
                raise Refused(412, "precondition_failed", f"{there} with this key.")
            if expected.versions is not None and (before is None or version not in expected.versions):
                raise Refused(412, "precondition_failed", "The item has another version; read it again.")
            try:
                return write(before, version)
            except _Changed:
                continue
        raise Refused(409, "busy", "Others change this item all the time; try again.")

    def _current(self, key: Item, *, of_any_entity: bool = False) -> Item | None:
        answer: Any = _ask(lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True))
        item: Item | None = answer.get("Item")
        return item if item is None or of_any_entity or self._validator.is_of_entity(item) else None

    def _counted(self, item: Item, version: int) -> tuple[Item, Item]:
        """Return the item with its version, and its key, if the contract allows it."""
        counted = item | {self._version: {"N": str(version)}}
        if found := self._validator.mismatches(counted):
            raise mismatched(found)
        return counted, key_of_item(self.contract, counted)

    def _unchanged(self, before: Item | None) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return the condition that an item is as it was read, its names and its values."""
        hash_ = {"#h": self.contract.key.hash}
        if before is None:
            return "attribute_not_exists(#h)", hash_, {}
        names = hash_ | {"#v": self._version}
        if self._version not in before:
            return "attribute_exists(#h) AND attribute_not_exists(#v)", names, {}
        return "attribute_exists(#h) AND #v = :v", names, {":v": before[self._version]}

    def _put(self, item: Item, condition: str, names: dict[str, str], values: dict[str, Any]) -> None:
        asked: dict[str, Any] = {"ConditionExpression": condition, "ExpressionAttributeNames": names}
        if values:
            asked["ExpressionAttributeValues"] = values
        _ask(lambda: self._client.put_item(TableName=self._table, Item=item, **asked))

    def _update(self, key: Item, changed: Mapping[str, Any], before: Item) -> None:
        condition, names, values = self._unchanged(before)
        names |= {f"#a{at}": name for at, name in enumerate(changed)}
        kept = {at: value for at, value in enumerate(changed.values()) if value is not None}
        gone = [f"#a{at}" for at in range(len(changed)) if at not in kept]
        values |= {f":a{at}": value for at, value in kept.items()}
        expression = f"SET {', '.join(f'#a{at} = :a{at}' for at in kept)}"
        expression += f" REMOVE {', '.join(gone)}" if gone else ""
        _ask(
            lambda: self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        )


def items_of(
    client: DynamoDBClient, domain: Domain, policy: Policy, names: SourceNames = SAME_NAMES
) -> dict[str, Items]:
    """Return the items of every table that the policy names, by lake name."""
    contracts = [domain.by_name[name] for name in sorted(policy.tables)]
    return {
        one.lake_name: Items(client, names.in_dynamodb(one.table), Validator(one), policy.version_attribute)
        for one in contracts
    }


class _Changed(Exception):
    """The item is not as it was read."""


def _not_found() -> Refused:
    return Refused(404, "not_found", "There is no item with this key.")


def _ask(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise _Changed from None
        if code == "ValidationException":
            raise Refused(
                422, "not_storable", "DynamoDB refuses the item: it is over 400 KB, or its key has another type."
            ) from None
        if code == "ResourceNotFoundException":
            raise Refused(503, "no_table", "The table of this contract does not exist in DynamoDB.") from None
        raise Refused(503, "unavailable", f"DynamoDB did not take the request ({code}); try again.") from error
    except BotoCoreError as error:
        raise Refused(503, "unavailable", "DynamoDB did not answer; try again.") from error
