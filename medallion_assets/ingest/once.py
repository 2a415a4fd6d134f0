"""Requests that are done once: a repeated one answers the same, by Powertools' idempotency and a table in DynamoDB.

Belongs here: keeping and finding answers. Does not belong here: what a request does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)

from medallion_assets.ingest.refusal import Refused

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT_SECONDS: Final = 24 * 3600


class Once:
    """Acts that are done once for a day. It does one at a time."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        """`table` is the DynamoDB table that keeps the answers."""
        self._config = IdempotencyConfig(
            event_key_jmespath="id",
            payload_validation_jmespath="content",
            expires_after_seconds=_KEPT_SECONDS,
            hash_function="sha256",
        )
        store = DynamoDBPersistenceLayer(table, boto3_client=client)
        self._do = idempotent_function(
            _act, data_keyword_argument="request", persistence_store=store, config=self._config
        )

    def do(self, id_: Sequence[str], content: str, act: Callable[[], Mapping[str, Any]], context: Any) -> Any:
        """Return what `act` returns, JSON data, or what it returned for the same id and content before.

        An act that raises may be tried again. `context` has get_remaining_time_in_millis, for how long others wait.
        Raises Refused, and what `act` raises.
        """
        self._config.register_lambda_context(context)
        try:
            return self._do(request={"id": [*id_], "content": content}, act=act)
        except IdempotencyValidationError:
            raise Refused(422, "key_reused", "The Idempotency-Key was used for another request.") from None
        except IdempotencyAlreadyInProgressError:
            raise Refused(409, "in_progress", "A request with this Idempotency-Key is being done.") from None
        except IdempotencyPersistenceLayerError as error:
            raise Refused(503, "unavailable", "The table of requests did not answer; try again.") from error


def _act(request: Mapping[str, Any], act: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    return act()
