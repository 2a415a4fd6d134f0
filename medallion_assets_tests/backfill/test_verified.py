"""A backfill on the local AWS, with our poller and with writers going on: `verify` finds no difference."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from medallion_assets.backfill import handover
from medallion_assets.backfill.backfill import backfill, plan_from_scan
from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.lake.catalog import Lake
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.reconcile import reconcile
from medallion_assets.reconciliation.scan import DynamoTable
from medallion_assets_tests.fixtures.fleet_lake import Fleet
from medallion_assets_tests.ledger.test_end_to_end import polling

TABLE = "fleet-Vehicles"


def _switch_stream(*, on: bool) -> None:
    wanted = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"} if on else {"StreamEnabled": False}
    boto3.client("dynamodb").update_table(TableName=TABLE, StreamSpecification=wanted)  # type: ignore[arg-type]


@contextmanager
def _writing(keys: int) -> Iterator[list[int]]:
    """Put and delete items of so many keys all the time; the list has one number, that of the writes so far."""
    client, dice, halt, done = boto3.client("dynamodb"), random.Random(4), threading.Event(), [0]

    def write() -> None:
        for number in itertools.count():
            if halt.wait(0.01):
                return
            key = {"VehicleNo": {"N": str(dice.randrange(keys))}}
            if dice.random() < 0.3:
                client.delete_item(TableName=TABLE, Key=key)
            else:
                item = {**key, "Plate": {"S": f"P{number}"}, "Depot": {"S": "North"}}
                client.put_item(TableName=TABLE, Item=item)
            done[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        halt.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.both_lakes
@pytest.mark.parametrize("fleet", ["files", "glue"], indirect=True)
def test_after_a_backfill_nothing_differs_while_writers_go_on(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "CLOCK_TOLERANCE", timedelta())  # all clocks here are one
    _switch_stream(on=False)
    client = boto3.client("dynamodb")
    for number in range(300):
        item = {"VehicleNo": {"N": str(number)}, "Plate": {"S": "before"}, "Depot": {"S": "South"}}
        client.put_item(TableName=TABLE, Item=item)
    _switch_stream(on=True)
    domain, store = load_domain(fleet.settings.domain), open_store(fleet.settings.bronze)
    contract, source = domain.by_name["vehicles"], DynamoTable(client, TABLE)
    catch_up = CatchUp(wait=lambda seconds: fleet.publish())
    with polling(fleet, tmp_path), _writing(200) as written, Lake.open(fleet.settings.lake()) as lake:
        while not list(store.list(TABLE)):
            catch_up.wait(0.1)
        plan = plan_from_scan(
            lake, store, contract, source.describe(), table=source, threads=2, now=lambda: datetime.now(UTC)
        )
        done = backfill(lake, store, contract, plan, catch_up=catch_up, merge_seconds=60)
        before = written[0]
        found = reconcile(
            lake,
            domain,
            contract,
            source=source,
            store=store,
            folder=tmp_path / "compared",
            catch_up=catch_up,
            after_catching_up=True,
        ).comparison
        assert written[0] > before, "the writers went on"
    assert done.merged and done.items > 100
    assert found.equal > 150 and found.behind is None
    assert (found.missing, found.extra, found.different, found.unconfirmed) == (0, 0, 0, 0), found
