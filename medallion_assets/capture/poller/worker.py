"""One shard's thread: gather a window of records, deliver it, until the shard is closed and empty.

Belongs here: the batching window. Does not belong here: how pages are read (reader) or batches delivered (mapping).
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime

from medallion_assets.capture.poller.mapping import Record, ShardMapping
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings


def work(
    reader: ShardReader,
    mapping: ShardMapping,
    *,
    settings: PollerSettings,
    clock: Callable[[], datetime],
    halt: threading.Event,
    opened: Callable[[], None],
) -> None:
    """Deliver a shard to its end, or until halted; calls `opened` after each answer.

    A batch goes when `window_s` passed since its first record was read, when it holds `batch_size` records, or when
    the shard is closed. A page that is not full says that there is no more for now. Records gathered when halted are
    read again by the next poller. Raises what reader and mapping raise.
    """
    batch: list[Record] = []
    due = 0.0
    while not halt.is_set():
        page = reader.page()
        opened()
        if page.records and not batch:
            due = time.monotonic() + settings.window_s
        batch += page.records
        while batch and (len(batch) >= settings.batch_size or page.closed or time.monotonic() >= due):
            if not mapping.deliver(batch[: settings.batch_size]):
                return
            del batch[: settings.batch_size]
        if page.closed:
            mapping.checkpoint.finish(mapping.stream_arn, mapping.shard_id, now=clock())
            return
        if len(page.records) < settings.page_size:
            halt.wait(min(settings.idle_s, max(due - time.monotonic(), 0)) if batch else settings.idle_s)
