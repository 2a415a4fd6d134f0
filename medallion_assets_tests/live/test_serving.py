"""A counter over HTTP, from a real server: as JSON, and as events while changes are applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from medallion_assets.capture.file_store import FileStore
from medallion_assets.live.apply import apply_records
from medallion_assets.live.counter_file import load_counters
from medallion_assets.live.redis_store import RedisStore
from medallion_assets.serving import keys
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.service import Service
from medallion_assets_tests.capture.events import change
from medallion_assets_tests.serving.conftest import LIMITS, run_server, shop_settings


@pytest.fixture
def url(redis_store: RedisStore, valkey_url: str, tmp_path: Path) -> Iterator[str]:
    settings = shop_settings(tmp_path).model_copy(update={"live": valkey_url})
    with Service(settings, LIMITS, None) as service, run_server(service) as url:
        yield url


def write(store: RedisStore, number: int) -> None:
    from medallion_assets.contracts.loader import load_domain

    order: Any = {"OrderID": {"S": f"o-{number}"}, "Status": {"S": "paid"}, "TotalAmount": {"N": "0.5"}}
    apply_records([change(number, new=order)], counters=load_counters(load_domain("ecommerce")), store=store)


def test_a_counter_is_json_and_a_stream_of_its_changes(redis_store: RedisStore, url: str) -> None:
    write(redis_store, 1)
    with httpx.Client(base_url=url, timeout=20) as client:
        answer = client.get("/v1/live/orders_by_status")
        group = {"status": "paid", "count": 1, "sum_total_amount": "0.50", "values_total_amount": 1}
        assert (answer.status_code, answer.json()["groups"]) == (200, [group])
        seen = []
        with client.stream("GET", "/v1/live/orders_by_status", headers={"Accept": "text/event-stream"}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: "))["groups"][0]["count"])
                    if seen[-1] == 3:
                        break
                    write(redis_store, 1 + seen[-1])
        assert seen == [1, 2, 3]


def test_an_event_stream_ends_with_its_key(
    redis_store: RedisStore, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REFRESH_SECONDS", 0.0)
    ring, now = KeyRing(FileStore(tmp_path / "keys")), datetime.now(UTC)
    key, text = ring.make("a", reads=["silver.orders"], queries=[], now=now, lasts=None)
    settings = shop_settings(tmp_path).model_copy(update={"live": valkey_url})
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {text}"}
    write(redis_store, 1)
    with (
        Service(settings, LIMITS, ring) as service,
        run_server(service) as url,
        httpx.stream("GET", f"{url}/v1/live/orders_by_status", headers=headers, timeout=10) as stream,
    ):
        events = []
        for line in stream.iter_lines():
            if line.startswith("event: "):
                events.append(line)
                ring.revoke(key.id, now=now)
    assert events == ["event: counter", "event: refused"]


def test_a_counter_that_is_not_there_is_refused(url: str) -> None:
    answer = httpx.get(f"{url}/v1/live/orders")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "no_such_counter"
    assert "expected orders_by_status" in answer.json()["error"]["message"]
