"""Read one shard to its end: gather a window of records, deliver it, until the shard is closed and empty.

Belongs here: the batching window. Does not belong here: how pages are read (reader) or batches delivered (delivery).
"""

from collections.abc import Callable
from datetime import datetime

from medallion_assets.capture.poller.delivery import Record, ShardDelivery
from medallion_assets.capture.poller.progress import ShardProgress
from medallion_assets.capture.poller.reader import ShardReader
from medallion_assets.capture.poller.settings import PollerSettings
from medallion_assets.capture.poller.steps import Steps, has_elapsed


def read_shard(
    reader: ShardReader,
    delivery: ShardDelivery,
    *,
    settings: PollerSettings,
    clock: Callable[[], datetime],
    on_answer: Callable[[], None],
    progress: ShardProgress,
) -> Steps[None]:
    """Deliver a shard to its end; call `on_answer` after each answer, and update `progress`.

    A batch is delivered when `window_seconds` have passed since its first record was read, when it holds `batch_size`
    records, or when the shard is closed. A page that is not full means that there are no more records for now. Records
    that were gathered but not delivered when the work stops are read again by the next poller. Raises what reader and
    delivery raise.
    """
    batch: list[Record] = []
    since = clock()
    while True:
        asked_at = clock()
        page = yield from reader.page()
        on_answer()
        progress.add_answer(page.records, asked_at=asked_at)
        if not batch:
            since = clock()
        batch += page.records
        while batch and (
            len(batch) >= settings.batch_size
            or page.closed
            or has_elapsed(settings.window_seconds, since=since, now=clock())
        ):
            yield from delivery.deliver(batch[: settings.batch_size])
            del batch[: settings.batch_size]
        if not batch:
            progress.confirm_delivery()
        if page.closed:
            delivery.finish()
            return
        if len(page.records) >= settings.page_size:
            yield 0.0
        elif batch:
            left_seconds = settings.window_seconds - (clock() - since).total_seconds()
            yield min(settings.idle_seconds, max(left_seconds, 0.0))
        else:
            yield settings.idle_seconds
