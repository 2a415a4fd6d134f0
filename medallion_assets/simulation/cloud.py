"""One simulated AWS account: everything else of this package, made from one seed.

Belongs here: putting the parts together. Does not belong here: what any of them does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from medallion_assets.simulation import clients
from medallion_assets.simulation.clients import ACCOUNT, REGION
from medallion_assets.simulation.clock import START, Clock
from medallion_assets.simulation.delivery import EventSourceMapping, Handler, MappingSettings
from medallion_assets.simulation.faults import NEVER, Fault, Faults, Rates
from medallion_assets.simulation.objects import FaultyStore, MemoryStore
from medallion_assets.simulation.queues import Queue
from medallion_assets.simulation.scheduler import Scheduler
from medallion_assets.simulation.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

    from medallion_assets.capture.store import BronzeStore


class Cloud:
    """Tables, streams, queues and Bronze of one seed, on one virtual clock, with one plan of faults.

    `rates` say how often things go wrong, by fault point; `script` instead says exactly what goes wrong (see faults).
    """

    def __init__(
        self,
        seed: int,
        *,
        start: datetime = START,
        rates: Rates | Mapping[str, Rates] = NEVER,
        script: Iterable[Fault] | None = None,
    ) -> None:
        self.seed = seed
        self.clock = Clock(start)
        self.faults = Faults(seed, self.clock, rates, script=script)
        self.tables: dict[str, Table] = {}
        self.queues: dict[str, Queue] = {}
        self._dice: dict[str, random.Random] = {}
        self.scheduler = Scheduler(self.clock, self.dice("scheduler"))

    def dice(self, name: str) -> random.Random:
        """Return the random generator of this name: what is drawn from one does not move the others."""
        if name not in self._dice:
            self._dice[name] = random.Random(f"{self.seed}/dice/{name}")  # noqa: S311 - dice
        return self._dice[name]

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """A boto3 client of the tables."""
        return clients.dynamodb_client(clients.DynamoDB(self.tables, self._create, self.faults), self.faults)

    @cached_property
    def streams(self) -> DynamoDBStreamsClient:
        """A boto3 client of the streams."""
        return clients.streams_client(clients.Streams(self.tables, self.faults), self.faults)

    @cached_property
    def sqs(self) -> SQSClient:
        """A boto3 client of the queues."""
        return clients.sqs_client(clients.SQS(self.queues, self.create_queue), self.faults)

    def create_table(
        self,
        name: str,
        key: Mapping[str, str],
        *,
        ttl: str | None = None,
        view: str | None = "NEW_AND_OLD_IMAGES",
        shards: int = 1,
        split_rate: float = 0.0,
    ) -> Table:
        """Create a table. `key` is {attribute: "S", "N" or "B"}, hash first; without `view` it has no stream.

        `split_rate` is the share of shards that, when their 4 hours are over, have two children.
        """
        table = Table(
            name,
            f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}",
            key,
            clock=self.clock,
            dice=self.dice(f"table/{name}"),
            ttl=ttl,
            partitions=shards,
            split_rate=split_rate,
        )
        self.tables[name] = table
        if view is not None:
            table.enable_stream(view)
        return table

    def create_queue(self, name: str) -> Queue:
        """Create an SQS queue; return the one there is if the name is taken."""
        if name not in self.queues:
            url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
            self.queues[name] = Queue(name, url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", self.clock)
        return self.queues[name]

    def store(self, inner: BronzeStore | None = None) -> FaultyStore:
        """Return Bronze with this cloud's faults: around a store, or in memory."""
        return FaultyStore(MemoryStore() if inner is None else inner, self.faults)

    def mapping(
        self,
        table: Table,
        handler: Handler,
        settings: MappingSettings | None = None,
        *,
        on_failure: Queue | BronzeStore | None = None,
    ) -> EventSourceMapping:
        """Return an event source mapping from the table's enabled stream to a function. ValueError without a stream."""
        if table.stream is None:
            raise ValueError(f"table {table.name} has no enabled stream; enable it before it is mapped")
        return EventSourceMapping(
            table.stream,
            handler,
            settings or MappingSettings(),
            clock=self.clock,
            faults=self.faults,
            dice=self.dice(f"mapping/{table.name}"),
            on_failure=on_failure,
        )

    def _create(self, request: Mapping[str, Any]) -> Table:
        types = {entry["AttributeName"]: entry["AttributeType"] for entry in request["AttributeDefinitions"]}
        key = {entry["AttributeName"]: types[entry["AttributeName"]] for entry in request["KeySchema"]}
        stream = request.get("StreamSpecification", {"StreamEnabled": False})
        return self.create_table(
            request["TableName"], key, view=stream.get("StreamViewType") if stream["StreamEnabled"] else None
        )
