"""A domain's traffic: the initial load, then writes at a steady rate; some captured batches are delivered twice.

Belongs here: putting generator, writer and redelivery together. Does not belong here: what each of them does.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Self

from medallion_assets.capture.source_names import SAME_NAMES, SourceNames
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.errors import SettingsError
from medallion_assets.local.generator import Generator
from medallion_assets.local.redelivery import Redelivery
from medallion_assets.local.tables import existing_items
from medallion_assets.local.workload import load_workload
from medallion_assets.local.writer import Writer
from medallion_assets.settings import READ_ONLY_SOURCE

if TYPE_CHECKING:
    from medallion_assets.settings import Settings

_REDELIVERY_SECONDS = 1.0


class Traffic:
    """The writes to the tables of a domain's workload."""

    def __init__(self, domain: Domain, store: BronzeStore, *, seed: int, names: SourceNames = SAME_NAMES) -> None:
        import boto3

        workload = load_workload(domain)
        self._names = names
        self._client = boto3.client("dynamodb")
        self._tables = {name: domain.by_name[name] for name in workload.tables}
        self._generator = Generator(domain, workload, seed=seed, start=datetime.now(UTC))
        self._writer = Writer(self._client, names)
        sources = sorted({contract.table for contract in self._tables.values()})
        self._redelivery = Redelivery(store, sources, share=float(workload.redelivered), seed=seed, names=names)

    @classmethod
    def of(cls, settings: Settings, *, seed: int) -> Self:
        """Return the traffic for the domain and stack of these settings.

        Raises SettingsError if its tables are real ones that are only read.
        """
        if os.environ.get(READ_ONLY_SOURCE):
            raise SettingsError(
                f"{READ_ONLY_SOURCE} is set, as `medallion connect` does: the tables are real ones, and no traffic is "
                "written to them. `medallion up` has tables to write to."
            )
        names = settings.source_names()
        return cls(load_domain(settings.domain), open_store(settings.bronze), seed=seed, names=names)

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many writes were done, by (table, kind)."""
        return self._writer.counts

    @property
    def emitted(self) -> Counter[str]:
        """How many of these writes DynamoDB puts on a stream, by table."""
        return self._writer.emitted

    @property
    def redelivered(self) -> int:
        """How many captured batches were delivered a second time."""
        return self._redelivery.count

    def load(self) -> int:
        """Write the initial load if all tables are empty, otherwise adopt their items; return the number of writes."""
        empty = True
        for name, contract in self._tables.items():
            items = list(existing_items(self._client, contract, self._names))
            self._generator.adopt(name, items)
            empty = empty and not items
        if empty:
            self._writer.write(self._generator.initial(), stop=threading.Event())
        return self.counts.total()

    def run(self, *, rate: float, stop: threading.Event, count: int | None = None) -> None:
        """Write `count` changes at `rate` a second, or until `stop` is set.

        `stop` is also set on leaving. Raises botocore's errors and what the store raises.
        """
        changes = islice(self._generator.live(rate=rate, start=datetime.now(UTC)), count)
        with ThreadPoolExecutor(1, thread_name_prefix="traffic") as pool:
            writing = pool.submit(self._writer.write, changes, rate=rate, stop=stop)
            try:
                while not wait([writing], timeout=_REDELIVERY_SECONDS).done:
                    self._redelivery.step()
            finally:
                stop.set()
            writing.result()
        self._redelivery.step()
