"""A domain of 200 tables and 60 marts on S3: a tick of the sensor, and a run with changes in 20 tables.

Every request takes 30 ms, plus or minus 10. Each act runs in a process forked like a run's. Belongs here: the domain
with changes in it, and what each act takes. Does not belong here: loading the definitions (definitions), Dagster's
pages (week, decade).
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from medallion_assets_tests.fixtures.large_domain import write_large_domain
from medallion_assets_tests.round_trips.acts import Shop, make_bucket, open_shop
from medallion_assets_tests.round_trips.shim import Weather

TABLES, MARTS, CHANGED = 200, 60, 20
CHANGES: Final = 100
"""Changes of a table that has some, in one object."""

DELAYED, QUICK = Weather(delay_ms=30.0, jitter_ms=10.0), Weather()


def run() -> list[dict[str, Any]]:
    """Seconds of an idle tick, and of a run side by side and one step after the other."""
    with tempfile.TemporaryDirectory() as name, open_shop() as opened:
        home = Path(name)
        write_large_domain(home / "domain", tables=TABLES, marts=MARTS)
        shutil.copy("medallion_assets/local/dagster.yaml", home / "dagster.yaml")
        shop = replace(
            opened,
            exact=False,
            variables={**opened.variables, "MEDALLION_DOMAIN": str(home / "domain"), "DAGSTER_HOME": str(home)},
        )
        for act in (make_bucket, _create_tables, _capture, _tick, _run_side_by_side):
            shop.run(act)
        shop.shim.set(DELAYED)
        idle = _measured(shop, home, _tick_twice)
        found = {}
        for act in (_run_side_by_side, _run_one_after_the_other):
            shop.run(_capture)
            shop.run(_tick)
            found[act] = _measured(shop, home, act)
    ours, other = found[_run_side_by_side], found[_run_one_after_the_other]
    return [
        {
            "work": f"large domain, tick of the sensor with nothing new in {TABLES} tables, 30 ms a request",
            "ours": idle["seconds"],
            "other": idle["first_seconds"],
            "unit": "s",
            "ratio": round(idle["first_seconds"] / idle["seconds"], 1),
            "peak_mb": round(idle["peak_mb"]),
            "what_other_is": "the first tick of a process; 1 s is asked for",
        },
        {
            "work": f"large domain, run with changes in {CHANGED} of {TABLES} tables and their marts, 30 ms a request",
            "ours": ours["seconds"],
            "other": other["seconds"],
            "unit": f"s, of which {ours['cpu_seconds']} s and {other['cpu_seconds']} s of CPU",
            "ratio": round(other["seconds"] / ours["seconds"], 1),
            "peak_mb": round(ours["peak_mb"]),
            "what_other_is": "one step after the other; 30 s and 600 MB are asked for",
        },
    ]


def _measured(shop: Shop, home: Path, act: Callable[[], None]) -> dict[str, float]:
    shop.run(act)
    found: dict[str, float] = json.loads((home / "measured.json").read_text())
    return found


def _write_measures(start: float, cpu: float, more: Mapping[str, float] = {}) -> None:
    measures = {
        "seconds": round(time.monotonic() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **more,
    }
    (_home() / "measured.json").write_text(json.dumps(measures))


def _home() -> Path:
    return Path(os.environ["DAGSTER_HOME"])


def _create_tables() -> None:
    """Create every Silver table, without rows."""
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.settings import Settings
    from medallion_assets.silver.table import ensure_silver_table, silver_schema

    chosen = Settings.load()
    domain = load_domain(chosen.domain)
    with Lake.open(chosen.lake()) as lake:
        for contract in domain.tables:
            ensure_silver_table(lake, contract, silver_schema(contract, domain))


def _capture() -> None:
    """Capture one object of changes of each table that has some."""
    from medallion_assets_tests.defs.shop import capture, record

    started = time.time_ns()

    def item(key: int) -> dict[str, dict[str, Any]]:
        return {
            "Other": {"S": f"k{key % 7}"},
            "At": {"S": "2026-03-05T10:00:00Z"},
            "Value0": {"S": f"kind {key % 3}"},
            "Value1": {"N": f"{key}.50"},
            "Value2": {"N": str(started % 1000 + key)},
            "Value4": {"BOOL": True},
        }

    for table in range(CHANGED):
        capture(*(record(f"Table{table}", {"Id": {"S": f"k{key}"}}, item(key)) for key in range(CHANGES)))


def _tick() -> None:
    """Tick the sensor and keep what it asks for."""
    _with_ticker(lambda ticker: None)


def _tick_twice() -> None:
    def measure(ticker: Any) -> None:
        start = time.monotonic()
        _tick_at_once(ticker)
        again, cpu = time.monotonic(), time.process_time()
        _tick_at_once(ticker)
        _write_measures(again, cpu, {"first_seconds": round(again - start, 2)})

    _with_ticker(measure, ticks=0)


def _run_side_by_side() -> None:
    _run_requested(one_after_the_other=False)


def _run_one_after_the_other() -> None:
    _run_requested(one_after_the_other=True)


def _run_requested(*, one_after_the_other: bool) -> None:
    """Run what the last tick asked for."""
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets_tests.defs.runs import launched_run
    from medallion_assets_tests.defs.ticker import launched

    logging.disable(logging.INFO)
    request = dg.deserialize_value((_home() / "request.json").read_text(), dg.RunRequest)
    start, cpu = time.monotonic(), time.process_time()
    job = defs().resolve_job_def("refresh")
    if one_after_the_other:
        job = job.with_executor_def(dg.in_process_executor)
    subset = job.get_subset(asset_selection=set(request.asset_selection or ()), asset_check_selection=set())
    with dg.DagsterInstance.get() as instance:
        result = launched_run(
            subset,
            instance,
            partition_key=request.partition_key,
            run_config=request.run_config,
            tags=launched(request),
        )
    if not result.success:
        failed = next(event for event in result.all_events if event.is_step_failure)
        raise RuntimeError(f"the run failed, {failed.step_key} first: {failed.step_failure_data.error}")
    _write_measures(start, cpu)


def _with_ticker(act: Callable[[Any], None], *, ticks: int = 1) -> None:
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets.defs import sensors
    from medallion_assets_tests.defs.ticker import Ticker

    sensors.WATCH_SECONDS = 0.0  # type: ignore[misc]
    cursor = _home() / "cursor.json"
    with dg.DagsterInstance.get() as instance:
        ticker = Ticker(defs(), instance)
        ticker.cursor = cursor.read_text() if cursor.exists() else None
        for _ in range(ticks):
            request = _tick_at_once(ticker)
            if request is not None:
                (_home() / "request.json").write_text(dg.serialize_value(request))
        act(ticker)
        if ticker.cursor is not None:
            cursor.write_text(ticker.cursor)


def _tick_at_once(ticker: Any) -> Any:
    """Tick without the pause since the last look at Bronze."""
    if ticker.cursor is not None:
        ticker.cursor = json.dumps({**json.loads(ticker.cursor), "looked_at": None})
    return ticker.tick()
