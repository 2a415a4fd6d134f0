"""The DynamoDB table that keeps the answers of requests with an Idempotency-Key.

Belongs here: what others need to make it. What is in it is Powertools' business.
"""

from __future__ import annotations

from typing import Final

VARIABLE: Final = "MEDALLION_INGEST_REQUESTS"
"""The environment variable with its name."""
KEY: Final = "id"
"""Its hash key, a text."""
EXPIRY: Final = "expiration"
"""The attribute by which DynamoDB's time to live deletes a request after a day."""
