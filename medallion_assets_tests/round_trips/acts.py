"""What the system does again and again, as acts whose requests are counted; the shop they run in; and their table.

Each act runs in a process forked like a run's, which remembers nothing from before. Belongs here: the acts and how
they are counted. Does not belong here: counting itself (shim), the counts that are right (docs/reference/performance).
"""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from medallion_assets.local.emulator import run_emulator
from medallion_assets_tests.round_trips.shim import Shim, run_shim

BATCHES: Final = 4
OBJECTS: Final = 9
"""Objects of each batch: three of each table."""

COLUMNS: Final = {
    "S3 PUT": re.compile(r"s3 (PUT|multipart)"),
    "S3 GET": re.compile(r"s3 GET"),
    "S3 HEAD": re.compile(r"s3 HEAD"),
    "S3 LIST": re.compile(r"s3 LIST"),
    "S3 DELETE": re.compile(r"s3 DELETE"),
    "Glue": re.compile(r"glue "),
}

_DAGSTER_YAML: Final = """
telemetry: {enabled: false}
compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}
"""
"""Steps write to this process's output, where an error is seen."""


@dataclass(frozen=True)
class Shop:
    """The shipped domain on a local AWS behind a shim; its environment variables."""

    shim: Shim
    variables: Mapping[str, str]
    exact: bool = True
    """Whether counts are the same on any machine: acts have one core and one step at a time, and forget nothing."""

    def count(self, act: Callable[[], None]) -> Counter[str]:
        """Return the requests of an act, by operation. Raises RuntimeError if it fails."""
        self.shim.take()
        self.run(act)
        return self.shim.take()

    def run(self, act: Callable[[], None]) -> None:
        """Run an act in a process of its own. Raises RuntimeError if it fails."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["medallion_assets.defs.preload"])
        process = context.Process(target=_act, args=(act, dict(self.variables), self.exact))
        process.start()
        process.join(300)
        if process.exitcode != 0:
            process.kill()
            raise RuntimeError(f"{act.__name__} ended with {process.exitcode}; its error is on the standard output")


@contextmanager
def open_shop() -> Iterator[Shop]:
    """Run the local AWS and the shim while inside."""
    from medallion_assets.contracts.loader import domain_folder

    with (
        tempfile.TemporaryDirectory() as folder,
        run_emulator(Path(folder) / "aws") as emulator,
        run_shim(emulator.endpoint, folder=Path(folder)) as shim,
    ):
        (Path(folder) / "dagster.yaml").write_text(_DAGSTER_YAML)
        yield Shop(
            shim,
            {
                **emulator.client_env(),
                "AWS_ENDPOINT_URL": shim.endpoint,
                "MEDALLION_DOMAIN": str(domain_folder("ecommerce")),
                "MEDALLION_BRONZE": "s3://shop/bronze",
                "MEDALLION_WAREHOUSE": "s3://shop/warehouse",
                "MEDALLION_CATALOG": "glue",
                "DAGSTER_HOME": folder,
            },
        )


def _act(act: Callable[[], None], variables: Mapping[str, str], exact: bool) -> None:
    from medallion_assets.defs import executor
    from medallion_assets.lake import memory

    os.environ.update(variables)
    if exact:
        # Nothing is forgotten for its age, and no two steps open a file at the same moment.
        memory.SECONDS = 3600.0  # type: ignore[misc]
        executor.THREADS_PER_CORE = 1  # type: ignore[misc]
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    act()


def make_bucket() -> None:
    """Create the bucket of the shop."""
    import boto3

    boto3.client("s3").create_bucket(Bucket="shop")


def capture_batch() -> None:
    """Capture three objects of each table: customers, products and orders, of which some were there before."""
    from medallion_assets_tests.defs.shop import capture, customer, order, product, store

    before = sum(1 for _ in store().list("Orders"))
    for number in range(before, before + OBJECTS // 3):
        capture(customer(f"c{number % 7}", region="EU" if number % 2 else "US"))
        capture(product(f"p{number % 5}", stock=number))
        capture(*(order(f"o{key}", customer=f"c{number % 7}", amount=f"{number}.00") for key in {number, number // 2}))


def run_six_assets() -> None:
    """A run of all three tables and all three marts, as the sensor launches it."""
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets_tests.defs.runs import incremental_run, today

    with dg.DagsterInstance.ephemeral() as instance:
        if not incremental_run(defs(), instance, today()).success:
            raise RuntimeError("the run failed")


def merge_one_table() -> None:
    """The merge of the pending objects of one table, without Dagster."""
    from medallion_assets.capture.store import open_store
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.lake.memory import TableMemory
    from medallion_assets.settings import Settings
    from medallion_assets.silver.batches import merge_pending

    chosen = Settings.load()
    domain = load_domain(chosen.domain)
    contract = domain.by_name["products"]
    with Lake.open(chosen.lake()) as lake:
        lake.remember_tables(TableMemory())
        store = open_store(chosen.bronze)
        found = merge_pending(lake, store, contract, domain, day=_today(), run_id="one", now=datetime.now(UTC))
        if not all(result.published for result in found):
            raise RuntimeError("the merge was held")


def refresh_one_mart() -> None:
    """The refresh of one mart whose table has changed, without Dagster."""
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.gold.refresh import refresh
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.lake.memory import TableMemory
    from medallion_assets.settings import Settings

    chosen = Settings.load()
    (mart,) = (one for one in load_marts(load_domain(chosen.domain)) if one.name == "product_performance")
    with Lake.open(chosen.lake()) as lake:
        lake.remember_tables(TableMemory())
        refresh(lake, mart, today=_today(), now=datetime.now(UTC), run_id="one")


def tick_the_sensor() -> None:
    """One look of the sensor on Bronze, with nothing pending, in a process that has not looked before."""
    _tick(1)


def tick_the_sensor_twice() -> None:
    """Two such looks of one process within `sensors.ASK_AGAIN`."""
    _tick(2)


def _tick(times: int) -> None:
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets.defs import sensors
    from medallion_assets.defs.resources import MedallionResource
    from medallion_assets.scheduling.planner import Cursor

    sensors.WATCH_SECONDS = 0.0  # type: ignore[misc]
    sensors.next_look = lambda looked_at, busy_at, now, freshness: now  # type: ignore[attr-defined]
    definitions, cursor = defs(), Cursor()
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(times):
            with dg.build_sensor_context(
                instance=instance,
                cursor=cursor.model_dump_json(),
                resources={"medallion": MedallionResource()},
                definitions=definitions,
            ) as context:
                told = definitions.resolve_sensor_def(sensors.SENSOR).evaluate_tick(context).cursor
            # This instance knows no run, so the first tick asks for one.
            cursor = Cursor.model_validate_json(told or "").model_copy(update={"request": None, "stale": frozenset()})


def run_maintenance() -> None:
    """A run of the hourly job `maintenance`."""
    import dagster as dg

    from medallion_assets.definitions import defs

    with dg.DagsterInstance.ephemeral() as instance:
        if not defs().resolve_job_def("maintenance").execute_in_process(instance=instance).success:
            raise RuntimeError("the run failed")


def run_observers() -> None:
    """A run of the job `observe`: the ledger, then the health. Dagster's storage has what the run before it left."""
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets_tests.defs.runs import observe

    with dg.DagsterInstance.get() as instance:
        if not observe(defs(), instance).success:
            raise RuntimeError("the run failed")


def status_command() -> None:
    """`medallion status`."""
    _command("status", "--json")


def query_command() -> None:
    """`medallion query` over one mart."""
    _command("query", "SELECT count(*) FROM gold.key_metrics", "--json")


def _command(*arguments: str) -> None:
    from typer.testing import CliRunner

    from medallion_assets.cli.main import app

    found = CliRunner().invoke(app, list(arguments))
    if found.exit_code not in (0, 1):
        raise RuntimeError(found.output)


def _today() -> date:
    return datetime.now(UTC).date()


def count_acts(shop: Shop) -> dict[str, Counter[str]]:
    """Return the requests of each act, by its words in the documents' table."""
    shop.run(make_bucket)
    for _ in range(BATCHES - 1):
        shop.run(capture_batch)
        shop.run(run_six_assets)
    for _ in range(3):  # the first ones report the days of the past
        shop.run(run_observers)
    shop.run(capture_batch)
    found = {"run of six assets, 9 new objects": shop.count(run_six_assets)}
    found["run of `observe` after it"] = shop.count(run_observers)
    found["run of six assets with nothing new"] = shop.count(run_six_assets)
    found["tick of the sensor with nothing new"] = shop.count(tick_the_sensor)
    found["another tick within five minutes"] = (
        shop.count(tick_the_sensor_twice) - found["tick of the sensor with nothing new"]
    )
    found["run of `observe` with nothing new"] = shop.count(run_observers)
    found["run of `maintenance` with nothing to do"] = shop.count(run_maintenance)
    found["`medallion status`"] = shop.count(status_command)
    found["`medallion query` of one mart"] = shop.count(query_command)
    shop.run(capture_batch)
    found["merge of one table, 3 new objects"] = shop.count(merge_one_table)
    shop.run(run_six_assets)
    shop.run(capture_batch)
    shop.run(merge_one_table)
    found["refresh of one mart"] = shop.count(refresh_one_mart)
    return found


def as_table(found: Mapping[str, Counter[str]]) -> str:
    """Return the counts as a Markdown table."""
    lines = ["| act | requests | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 2) + "|"]
    for act, counts in found.items():
        parts = [sum(n for asked, n in counts.items() if kind.match(asked)) for kind in COLUMNS.values()]
        lines.append(f"| {act} | {sum(counts.values())} | " + " | ".join(map(str, parts)) + " |")
    return "\n".join(lines)
