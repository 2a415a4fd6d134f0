"""The DynamoDB table that keeps the answers of requests with an Idempotency-Key.

Belongs here: making it on the local AWS. On AWS, infra makes it. What is in it is Powertools' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

VARIABLE: Final = "MEDALLION_INGEST_REQUESTS"
"""The environment variable with its name."""
KEY: Final = "id"
EXPIRY: Final = "expiration"
"""The attribute by which DynamoDB's time to live deletes a request after a day."""


def create_requests_table(client: DynamoDBClient, name: str) -> None:
    """Create the table."""
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
