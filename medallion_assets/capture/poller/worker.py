"""One shard's work: gather a window of records, deliver it, until the shard is closed and empty.

Belongs here: the batching window. Does not belong here: how pages are read (reader) or batches delivered (mapping).
"""

from collections.abc import Callable
from datetime import datetime

from medallion_assets.capture.poller.mapping import Record, ShardMapping
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.steps import Steps, passed


def work(
    reader: ShardReader,
    mapping: ShardMapping,
    *,
    settings: PollerSettings,
    clock: Callable[[], datetime],
    opened: Callable[[], None],
    progress: ShardProgress,
) -> Steps[None]:
    """Deliver a shard to its end; calls `opened` after each answer, and keeps `progress`.

    A batch goes when `window_s` passed since its first record was read, when it holds `batch_size` records, or when
    the shard is closed. A page that is not full says that there is no more for now. Records gathered when the work is
    dropped are read again by the next poller. Raises what reader and mapping raise.
    """
    batch: list[Record] = []
    since = clock()
    while True:
        asked_at = clock()
        page = yield from reader.page()
        opened()
        progress.answered(page.records, asked_at=asked_at)
        if not batch:
            since = clock()
        batch += page.records
        while batch and (
            len(batch) >= settings.batch_size or page.closed or passed(settings.window_s, since=since, now=clock())
        ):
            yield from mapping.deliver(batch[: settings.batch_size])
            del batch[: settings.batch_size]
        if not batch:
            progress.delivered()
        if page.closed:
            mapping.checkpoint.finish(mapping.stream_arn, mapping.shard_id, now=clock())
            return
        if len(page.records) >= settings.page_size:
            yield 0.0
        elif batch:
            left_s = settings.window_s - (clock() - since).total_seconds()
            yield min(settings.idle_s, max(left_s, 0.0))
        else:
            yield settings.idle_s
