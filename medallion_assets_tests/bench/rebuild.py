"""A table rebuilt from a day of many small Bronze objects, with their compacted copies and without.

Belongs here: the day, the two rebuilds, and the run that writes the copies. Does not belong here: counting requests
(round_trips).
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from medallion_assets_tests.round_trips.acts import Shop, make_bucket, open_shop

OBJECTS: Final = 5_000
CHANGES: Final = 5
"""Changes of each object: a Lambda function whose window is some seconds, on a table with one change a second."""


def run() -> list[dict[str, Any]]:
    """Requests and CPU seconds of each act. The local AWS and the shim before it are processes of their own."""
    with open_shop() as shop:
        os.environ.update(shop.variables)
        make_bucket()
        _capture()
        alone = _measure(shop, _rebuild)
        copying = _measure(shop, _compact)
        copied = _measure(shop, _rebuild)
        objects_kb, copies_kb = _kilobytes("Products"), _kilobytes("_compacted")
    what = f"silver.products from a day of {OBJECTS:,} objects of {CHANGES} changes"
    return [
        _figure(f"rebuild of {what}: requests", copied[0], alone[0], "requests", "each object read by itself"),
        _figure(f"rebuild of {what}: CPU", copied[1], alone[1], "s of CPU", "each object read by itself"),
        _figure("writing their copies: requests", copying[0], copied[0], "requests", "the rebuild with copies"),
        _figure("writing their copies: CPU", copying[1], copied[1], "s of CPU", "the rebuild with copies"),
        _figure("size of the copies", copies_kb, objects_kb, "KB", "the objects"),
    ]


def _figure(work: str, ours: float, other: float, unit: str, what_other_is: str) -> dict[str, Any]:
    return {
        "work": work,
        "ours": round(ours, 1),
        "other": round(other, 1),
        "unit": unit,
        "ratio": round(other / ours, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "what_other_is": what_other_is,
    }


def _measure(shop: Shop, act: Callable[[], None]) -> tuple[int, float]:
    shop.shim.take()
    began = time.process_time()
    act()
    return sum(shop.shim.take().values()), time.process_time() - began


def _day() -> datetime:
    """Return the beginning of the day before yesterday, which is settled."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)


def _capture() -> None:
    from medallion_assets.capture.store import open_store
    from medallion_assets.capture.write_bronze import write_bronze
    from medallion_assets_tests.defs.shop import product

    store, began = open_store(os.environ["MEDALLION_BRONZE"]), _day()

    def one(number: int) -> None:
        changes = [product(f"p{number * CHANGES + each}", stock=number) for each in range(CHANGES)]
        write_bronze(changes, store=store, captured_at=began + timedelta(seconds=number * 17))

    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(one, range(OBJECTS)):
            pass


def _rebuild() -> None:
    from medallion_assets.capture.store import open_store
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.engines.embedded import EmbeddedEngine
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.repair.rebuild import rebuild
    from medallion_assets.settings import Settings

    chosen, now = Settings.load(), datetime.now(UTC)
    domain = load_domain(chosen.domain)
    with Lake.open(chosen.lake()) as lake:
        done = rebuild(
            lake,
            open_store(chosen.bronze),
            domain,
            (),
            layer="silver",
            name="products",
            run_id="bench",
            now=now,
            engine=EmbeddedEngine(lake),
        )
    if done.rows != OBJECTS * CHANGES:
        raise RuntimeError(f"{done.rows} rows were read, {OBJECTS * CHANGES} were captured")


def _kilobytes(table: str) -> float:
    from medallion_assets.capture.store import open_store

    return sum(entry.bytes for entry in open_store(os.environ["MEDALLION_BRONZE"]).entries(table)) / 1000


def _compact() -> None:
    from medallion_assets.capture.store import open_store
    from medallion_assets.maintenance.compact_bronze import compact_bronze
    from medallion_assets.settings import Settings

    done = compact_bronze(
        open_store(Settings.load().bronze), "Products", now=datetime.now(UTC), elapsed=lambda: timedelta(0)
    )
    if done.objects != OBJECTS:
        raise RuntimeError(f"{done.objects} objects were copied")
