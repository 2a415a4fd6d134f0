"""The DynamoDB tables of a domain on the local AWS.

Belongs here: creating them from the contracts, and reading their items. Does not belong here: production's tables,
which the application owns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.contracts.entity import TextPattern
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Column, Contract

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import ScalarAttributeTypeType


def create_tables(client: DynamoDBClient, domain: Domain) -> None:
    """Create every table of the domain, with a stream of both images."""
    for source in domain.sources.values():
        keys = list(zip(source.key_columns, ("HASH", "RANGE"), strict=False))
        client.create_table(
            TableName=source.table,
            AttributeDefinitions=[
                {"AttributeName": column.attribute, "AttributeType": _key_type(column)} for column, _ in keys
            ],
            KeySchema=[{"AttributeName": column.attribute, "KeyType": role} for column, role in keys],  # type: ignore[typeddict-item]
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )


def existing_items(
    client: DynamoDBClient, contract: Contract, names: SourceNames = SAME_NAMES
) -> Iterator[dict[str, Any]]:
    """Yield every item of the contract as Python values. Raises botocore's errors."""
    from boto3.dynamodb.types import TypeDeserializer

    deserialize = TypeDeserializer().deserialize
    for page in client.get_paginator("scan").paginate(TableName=names.in_dynamodb(contract.table), ConsistentRead=True):
        for item in page["Items"]:
            values = {name: deserialize(value) for name, value in item.items()}
            if all(_fits(pattern, values.get(attribute)) for attribute, pattern in (contract.where or {}).items()):
                yield values


def _fits(pattern: TextPattern, value: object) -> bool:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.startswith(pattern.text) if pattern.is_prefix else text == pattern.text


def _key_type(column: Column) -> ScalarAttributeTypeType:
    match column.type.kind:
        case "string":
            return "S"
        case "binary":
            return "B"
        case _:
            return "N"
