"""One simulated AWS account: everything else of this package, made from one seed.

Belongs here: putting the parts together. Does not belong here: what any of them does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from medallion_assets.simulation.clock import START, Clock
from medallion_assets.simulation.delivery import EventSourceMapping, Handler, MappingSettings
from medallion_assets.simulation.faults import NEVER, Fault, Faults, Rates
from medallion_assets.simulation.objects import FaultyStore
from medallion_assets.simulation.queues import Queue
from medallion_assets.simulation.scheduler import Scheduler
from medallion_assets.simulation.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

    from medallion_assets.capture.store import BronzeStore


class Cloud:
    """Tables, streams, queues and Bronze of one seed, on one virtual clock, with one plan of faults."""

    clock: Clock
    faults: Faults
    scheduler: Scheduler
    tables: dict[str, Table]
    queues: dict[str, Queue]
    dynamodb: DynamoDBClient
    streams: DynamoDBStreamsClient
    sqs: SQSClient

    def __init__(
        self,
        seed: int,
        *,
        start: datetime = START,
        rates: Rates | Mapping[str, Rates] = NEVER,
        script: Iterable[Fault] | None = None,
    ) -> None:
        raise NotImplementedError

    def dice(self, name: str) -> random.Random:
        """Return a random generator of this seed and name; the same name gives the same object."""
        raise NotImplementedError

    def create_table(
        self,
        name: str,
        key: Mapping[str, str],
        *,
        ttl: str | None = None,
        view: str | None = "NEW_AND_OLD_IMAGES",
        shards: int = 1,
    ) -> Table:
        """Create a table: `key` is {attribute: "S"|"N"|"B"}, hash first; `view` None makes no stream."""
        raise NotImplementedError

    def create_queue(self, name: str) -> Queue:
        """Create an SQS queue."""
        raise NotImplementedError

    def store(self, store: BronzeStore | None = None) -> FaultyStore:
        """Return Bronze with this cloud's faults: around `store`, or in memory."""
        raise NotImplementedError

    def mapping(
        self,
        table: Table,
        handler: Handler,
        settings: MappingSettings | None = None,
        *,
        on_failure: Queue | None = None,
    ) -> EventSourceMapping:
        """Return an event source mapping from the table's current stream to the handler."""
        raise NotImplementedError
