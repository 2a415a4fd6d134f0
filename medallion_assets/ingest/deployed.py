"""What the functions of the API and of the inbox, and who deploys them, both know.

Belongs here: environment variables, the table of requests, the metric. Does not belong here: anything that imports AWS.
"""

from __future__ import annotations

from typing import Final

API_HANDLER: Final = "medallion_assets.ingest.handler.handler"
INBOX_HANDLER: Final = "medallion_assets.ingest.inbox_handler.handler"

REQUESTS: Final = "MEDALLION_INGEST_REQUESTS"
"""The DynamoDB table that keeps the answers of requests with an Idempotency-Key."""
INBOX: Final = "MEDALLION_INBOX"
"""The URL of the inbound queue."""
DEAD_LETTERS: Final = "MEDALLION_INBOX_DEAD_LETTERS"
"""The URL of its dead-letter queue."""
ALERTS: Final = "MEDALLION_INBOX_ALERTS"
"""The ARN of the topic of alerts."""

REQUEST_KEY: Final = "id"
"""The hash key of the table of requests, a text."""
REQUEST_EXPIRY: Final = "expiration"
"""The attribute by which DynamoDB's time to live deletes a request after a day."""

METRIC: Final = "InboxDeadLetters"
"""The metric of refused messages, in capture's namespace."""
INBOX_SECONDS: Final = 60
"""How long the function of the inbox may take for its messages."""
API_SECONDS: Final = 29
"""How long a request may take; an HTTP API gives up after 30 seconds."""
MOST_RECEIVED: Final = 5
"""How often a message is delivered before SQS gives it up."""
