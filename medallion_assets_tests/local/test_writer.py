"""Changes reach DynamoDB as they were drawn, at the pace asked for, and captured batches can be delivered again."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.contracts.loader import load_domain
from medallion_assets.local.emulator import Emulator
from medallion_assets.local.generator import Generator
from medallion_assets.local.redelivery import Redelivery, stream_records
from medallion_assets.local.tables import create_tables, existing_items
from medallion_assets.local.traffic import Traffic
from medallion_assets.local.workload import load_workload
from medallion_assets.local.writer import Writer
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.fixtures.fleet_lake import stream
from medallion_assets_tests.local.test_generator import START, changes, replayed


@pytest.fixture
def client(aws: Emulator) -> Any:
    client = boto3.client("dynamodb")
    create_tables(client, load_domain(FLEET))
    return client


def test_the_tables_end_as_the_changes_say_whatever_the_threads_do(client: Any) -> None:
    written = changes(FLEET, 3, 500)
    writer = Writer(client)
    writer.write(written, stop=threading.Event())
    *_, (_, expected) = replayed(written)
    found = {
        (contract.table, *(item[column.attribute] for column in contract.key_columns)): item
        for contract in load_domain(FLEET).tables
        for item in existing_items(client, contract)
    }
    assert found == expected
    assert writer.counts.total() == len(written)


def test_writes_that_change_nothing_leave_no_record(client: Any) -> None:
    written = changes(FLEET, 3, 300)
    writer = Writer(client)
    writer.write(written, stop=threading.Event())
    assert any(change.kind == "touch" for change in written)
    found = {contract.table: len(stream(contract.table)) for contract in load_domain(FLEET).tables}
    assert found == writer.emitted
    assert sum(found.values()) < len(written)


def test_the_pace_is_the_one_asked_for(client: Any) -> None:
    domain = load_domain(FLEET)
    generator = Generator(domain, load_workload(domain), seed=1, start=START)
    writer, began = Writer(client), time.monotonic()
    writer.write(islice(generator.live(rate=200, start=START), 300), rate=200, stop=threading.Event())
    assert 1.3 < time.monotonic() - began < 4


def test_stopping_ends_the_writing_at_once(client: Any) -> None:
    domain = load_domain(FLEET)
    generator = Generator(domain, load_workload(domain), seed=1, start=START)
    writer, stop, began = Writer(client), threading.Event(), time.monotonic()
    threading.Timer(0.3, stop.set).start()
    writer.write(generator.live(rate=0.5, start=START), rate=0.5, stop=stop)
    assert time.monotonic() - began < 2


def test_a_refused_write_ends_the_writing_with_its_error(client: Any) -> None:
    client.delete_table(TableName="fleet-Trips")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        Writer(client).write(changes(FLEET, 3, 100), stop=threading.Event())


def test_a_redelivered_batch_is_the_same_records_in_another_object(client: Any, tmp_path: Path) -> None:
    Writer(client).write(changes(FLEET, 3, 200), stop=threading.Event())
    store = open_store(str(tmp_path))
    sent = stream("fleet-Trips")
    assert write_bronze(sent, store=store, captured_at=datetime.now(UTC)) == []
    [first] = store.list("fleet-Trips")
    redelivery = Redelivery(store, ["fleet-Trips"], share=1.0, seed=1)
    redelivery.step()
    [_, second] = store.list("fleet-Trips")
    assert redelivery.count == 1
    one, two = stream_records(store.read(first)), stream_records(store.read(second))
    assert one == two and len(one) == len(sent)
    assert first.rpartition("_")[2] == second.rpartition("_")[2], "the content hash of both names"


def test_traffic_loads_empty_tables_and_takes_over_full_ones(client: Any, tmp_path: Path) -> None:
    store, domain = open_store(str(tmp_path)), load_domain(FLEET)
    assert Traffic(domain, store, seed=1).load() == 162
    again = Traffic(domain, store, seed=1)
    assert again.load() == 0
    again.run(rate=500, count=100, stop=threading.Event())
    assert again.counts.total() == 100
