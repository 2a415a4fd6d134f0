"""Each kind of file that a lake on S3 can lose, by each act that reads it: one sentence, in a process that lives on.

The sentence says what is missing, since when it was there and which command rebuilds the table; and the command does.
Each act runs in a process forked like a run's, which remembers nothing from before. Belongs here: what needs the whole
system. Does not belong here: a lake alone (lake/test_damage).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.local.emulator import Emulator
from medallion_assets_tests.round_trips.acts import capture_batch, make_bucket, run_observers, run_six_assets

pytestmark = pytest.mark.slow

Act = Callable[[], str]


def _run(node: str) -> str:
    """Run an asset of today as a user of the page does; return the description of its failure."""
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets_tests.defs.runs import failure, page_run, today

    with dg.DagsterInstance.ephemeral() as instance:
        done = page_run(defs(), instance, node, days=[today()] if node.startswith("silver") else [])
        return "" if done.success else failure(done, node)


def run_of_silver() -> str:
    return _run("silver/orders")


def refresh_of_mart() -> str:
    return _run("gold/key_metrics")


def observe() -> str:
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets_tests.defs import runs

    with dg.DagsterInstance.ephemeral() as instance:
        done = runs.observe(defs(), instance)
        failed = runs.fared(done)["FAILURE"]
        return " ".join(runs.failure(done, key) for key in sorted(failed))


def checks_alone() -> str:
    import dagster as dg

    from medallion_assets.definitions import defs

    with dg.DagsterInstance.ephemeral() as instance:
        job = defs().resolve_implicit_global_asset_job_def()
        alone = job.get_subset(
            asset_selection=set(),
            asset_check_selection={dg.AssetCheckKey(dg.AssetKey(["silver", "orders"]), "row_rules")},
        )
        return _failures(alone.execute_in_process(instance=instance, raise_on_error=False))


def maintenance() -> str:
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets.lake import maintenance

    maintenance.COMMITS_BETWEEN = 1
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs().resolve_job_def("maintenance")
        return _failures(job.execute_in_process(instance=instance, raise_on_error=False))


def _failures(done: Any) -> str:
    failed = [event.step_failure_data for event in done.all_events if event.is_step_failure]
    return " ".join(
        str(one.user_failure_data.description if one.user_failure_data else one.error.to_string()) for one in failed
    )


def sensor() -> str:
    import dagster as dg

    from medallion_assets.definitions import defs
    from medallion_assets.defs import sensors
    from medallion_assets_tests.defs.ticker import Ticker

    sensors.WATCH_SECONDS = 0.0  # type: ignore[misc]
    with dg.DagsterInstance.ephemeral() as instance:
        ticker = Ticker(defs(), instance)
        ticker.run_until_idle()
        found = ticker.skipped
        while ticker.tick() is not None:
            pass
        assert found.partition("; ")[2] == ticker.skipped.partition("; ")[2], "a tick that does not look says it, too"
        return found


def status() -> str:
    return _command("status", "--json")


def query() -> str:
    return _command("query", "SELECT count(DISTINCT status) AS n FROM silver.orders")


def verify() -> str:
    return _command("verify", "--settle", "0")


def repair() -> str:
    return _command("repair", "orders", "--dry-run", "--settle", "0")


def _command(*arguments: str) -> str:
    from typer.testing import CliRunner

    from medallion_assets.cli.main import app

    found = CliRunner().invoke(app, list(arguments))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stderr


def rebuild_silver() -> str:
    return _command("rebuild", "silver.orders")


def rebuild_gold() -> str:
    return _command("rebuild", "gold.key_metrics")


def rebuild_quarantine() -> str:
    return _command("rebuild", "quarantine.orders")


def rebuild_ledger() -> str:
    return _command("rebuild", "ops.ledger")


def everything_runs() -> str:
    """A run of all six assets, then the observers; they raise if one fails."""
    run_six_assets()
    run_observers()
    return ""


def published_rows() -> str:
    from medallion_assets_tests.defs.shop import rows

    return "\n".join(
        repr(row)
        for name in ("silver.orders", "gold.key_metrics", "quarantine.orders")
        for row in _without_run(rows, name)
    )


def _without_run(rows: Callable[[str, str], list[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [
        {column: value for column, value in row.items() if column not in {"run_id", "quarantined_at", "resolved_at"}}
        for row in rows(*name.split("."))
    ]


def published_rows_or_none() -> str:
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.settings import Settings

    with Lake.open(Settings.load().lake()) as lake:
        return published_rows() if lake.find("silver", "orders") else ""


def remove_the_lake() -> str:
    """Remove Glue's tables and everything below the warehouse."""
    import boto3

    glue = boto3.client("glue")
    for database in glue.get_databases()["DatabaseList"]:
        for table in glue.get_tables(DatabaseName=database["Name"])["TableList"]:
            glue.delete_table(DatabaseName=database["Name"], Name=table["Name"])
    bucket = boto3.resource("s3").Bucket("shop")
    bucket.objects.filter(Prefix="warehouse/").delete()
    return ""


def capture_a_bad_order() -> str:
    from medallion_assets_tests.defs.shop import capture, order

    capture(order("bad", amount="-4.00"))
    return ""


def capture_new_order() -> str:
    import itertools

    from medallion_assets_tests.defs import shop

    shop._sequence = itertools.count(10**21)  # each process counts by itself, and this change is the newest
    shop.capture(shop.order("o1", amount="11.00"))
    return ""


def create_source() -> str:
    import boto3

    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.local.tables import create_tables

    create_tables(boto3.client("dynamodb"), load_domain("ecommerce"))
    return ""


class Shop:
    """The shipped domain on the local AWS, with a history; `do` an act, and let a file be `lost` meanwhile."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)

    def do(self, act: Callable[[], Any]) -> str:
        """Return what an act tells; fail if its process ends or raises."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["medallion_assets.defs.preload"])
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_act, args=(act, self._variables, sender))
        process.start()
        sender.close()
        try:
            kind, text = receiver.recv() if receiver.poll(300) else ("silent", "")
        except EOFError:
            kind, text = "died", ""
        process.join(30)
        assert kind == "told", f"{act.__name__}: {kind} {text} ({process.exitcode})"
        return str(text)

    @contextmanager
    def lost(self, kind: str, how: str) -> Iterator[None]:
        """Take the files of a kind from silver.orders, or put something else in their place, while inside."""
        before = {key: self.read(key) for key in self.keys(kind)}
        for key, content in before.items():
            damage(self._s3(), key, how, content)
        try:
            yield
        finally:
            for key, content in before.items():
                self._s3().put_object(Bucket="shop", Key=key, Body=content)

    def read(self, key: str) -> bytes:
        content: bytes = self._s3().get_object(Bucket="shop", Key=key)["Body"].read()
        return content

    def keys(self, kind: str) -> list[str]:
        if kind in ("data", "deletes"):
            listed = self._s3().list_objects_v2(Bucket="shop", Prefix="warehouse/silver/orders/data/")["Contents"]
            return [one["Key"] for one in listed if one["Key"].endswith("-deletes.parquet") == (kind == "deletes")]
        return [location.removeprefix("s3://shop/") for location in self.do(_METADATA[kind]).split()]

    def delete(self, key: str) -> None:
        self._s3().delete_object(Bucket="shop", Key=key)

    def _s3(self) -> Any:
        import boto3

        session = boto3.Session(
            aws_access_key_id=self._variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._variables["AWS_SECRET_ACCESS_KEY"],
            region_name=self._variables["AWS_REGION"],
        )
        return session.client("s3", endpoint_url=self._variables["AWS_ENDPOINT_URL"])


def damage(s3: Any, key: str, how: str, content: bytes) -> None:
    if how == "gone":
        s3.delete_object(Bucket="shop", Key=key)
        return
    garbage = {
        "cut": content[: len(content) // 2],
        "noise": random.Random(key).randbytes(len(content)),
        "other": b'{"format-version": 2}',
    }
    s3.put_object(Bucket="shop", Key=key, Body=garbage[how])


def _table() -> Any:
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.settings import Settings

    with Lake.open(Settings.load().lake()) as lake:
        return lake.table("silver", "orders")


def metadata_file() -> str:
    return str(_table().metadata_location)


def manifest_list() -> str:
    return str(_table().current_snapshot().manifest_list)


def manifests() -> str:
    table = _table()
    return " ".join(one.manifest_path for one in table.current_snapshot().manifests(table.io))


_METADATA: Final = {"metadata file": metadata_file, "manifest list": manifest_list, "manifest": manifests}


def _act(act: Callable[[], Any], variables: Mapping[str, str], told: Connection) -> None:
    os.environ.update(variables)
    try:
        told.send(("told", act() or ""))
    except BaseException as error:
        told.send(("raised", repr(error)))
        raise


@pytest.fixture(scope="module")
def shop(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    variables = {
        **emulator.client_env("700000000012"),
        "MEDALLION_DOMAIN": str(domain_folder("ecommerce")),
        "MEDALLION_BRONZE": "s3://shop/bronze",
        "MEDALLION_WAREHOUSE": "s3://shop/warehouse",
        "MEDALLION_CATALOG": "glue",
        "DAGSTER_HOME": str(tmp_path_factory.mktemp("dagster")),
    }
    made = Shop(variables)
    for act in (make_bucket, create_source, capture_batch, capture_a_bad_order, everything_runs, capture_new_order):
        made.do(act)
    assert made.do(run_of_silver) == ""  # the marts over it are behind, so that their refresh reads it
    return made


_KNOWN: Final = (
    r"(?:It has been part of the table since|It was committed after) snapshot \d+ of \d{4}-\d\d-\d\d [\d:]{8} UTC\. "
)
_WAY_OUT: Final = (
    r"Restore it from an older version of the bucket, or rebuild the table with `medallion rebuild silver\.orders`"
)


def assert_told(text: str, kind: str) -> None:
    what = {"data": "data file", "deletes": "delete file"}.get(kind, kind)
    sentence = rf"silver\.orders lacks a file, or it cannot be read: the {what} \S+\. {_KNOWN}{_WAY_OUT}"
    assert re.search(sentence, text), text
    assert "Traceback" not in text


_READS: Final[Mapping[str, list[Act]]] = {
    "metadata file": [
        run_of_silver,
        refresh_of_mart,
        status,
        query,
        verify,
        checks_alone,
        maintenance,
        observe,
        sensor,
    ],
    "manifest list": [run_of_silver, query, maintenance],
    "manifest": [run_of_silver, refresh_of_mart, status, query, verify, repair, checks_alone, maintenance],
    "data": [run_of_silver, refresh_of_mart, status, query, verify, checks_alone],
    "deletes": [run_of_silver, refresh_of_mart, status, query, verify, checks_alone, maintenance],
}
"""The acts that read each kind of file."""


@pytest.mark.parametrize(("kind", "act"), [(kind, act) for kind, acts in _READS.items() for act in acts])
def test_an_act_that_misses_a_file_says_so_in_one_sentence(shop: Shop, kind: str, act: Act) -> None:
    with shop.lost(kind, "gone"):
        assert_told(shop.do(act), kind)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *(("metadata file", how) for how in ("cut", "noise", "other")),
        *((kind, how) for kind in ("manifest list", "manifest", "data", "deletes") for how in ("cut", "noise")),
    ],
)
def test_a_file_that_is_garbage_is_told_like_one_that_is_gone(shop: Shop, kind: str, how: str) -> None:
    with shop.lost(kind, how):
        for act in (run_of_silver, query):
            assert_told(shop.do(act), kind)


def test_acts_that_do_not_need_a_lost_file_go_on(shop: Shop) -> None:
    with shop.lost("manifest", "gone"):
        assert shop.do(observe) == ""
    with shop.lost("data", "gone"):
        assert shop.do(observe) == ""


def test_the_command_that_the_sentence_names_rebuilds_the_table(shop: Shop) -> None:
    shop.do(everything_runs)
    before = shop.do(published_rows)
    assert len(before.splitlines()) > 3
    for key in shop.keys("metadata file"):
        shop.delete(key)
    # The files of the other tables are whole, and make no difference.
    for rebuild in (rebuild_silver, rebuild_gold, rebuild_quarantine, rebuild_ledger):
        assert shop.do(rebuild) == ""
    shop.do(everything_runs)
    assert shop.do(published_rows) == before


def test_a_lake_of_which_nothing_is_left_is_made_again_from_bronze(shop: Shop) -> None:
    """The drill of docs/deploy.md."""
    shop.do(everything_runs)
    before = shop.do(published_rows)
    assert len(before.splitlines()) > 3
    shop.do(remove_the_lake)
    assert shop.do(published_rows_or_none) == ""
    shop.do(sensor)
    assert shop.do(published_rows) == before
    assert shop.do(verify) == ""
