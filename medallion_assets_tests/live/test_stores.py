"""What both stores of counters do, on real servers."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import valkey

from medallion_assets.errors import CaptureError, LakeUnavailable, SettingsError
from medallion_assets.live.apply import apply_changes, apply_records
from medallion_assets.live.change import Change, change_of, key_of
from medallion_assets.live.contribution import contribution
from medallion_assets.live.counter import Counter, Value
from medallion_assets.live.dynamodb_store import DynamoStore
from medallion_assets.live.redis_store import RedisStore, changed_fields, channel_of, totals_of
from medallion_assets.live.step import Seen, step
from medallion_assets.live.store import LiveStore, open_store
from medallion_assets_tests.live.shop import BY_STATUS, expected, order

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-01T00:00:00.000"


def record(number: int, old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """A stream record."""
    images = {name: one for name, one in (("OldImage", old), ("NewImage", new)) if one is not None}
    return {
        "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
        "eventSourceARN": ARN,
        "dynamodb": {"Keys": {"id": (new or old or {})["id"]}, "SequenceNumber": str(number), **images},
    }


def apply(store: LiveStore, *records: dict[str, Any]) -> int:
    return apply_records(records, counters=[BY_STATUS], store=store, wait=lambda seconds: None)


def test_updates_and_deletes_move_what_the_item_had_added(store: LiveStore) -> None:
    one, paid, big = order("1", status="new"), order("1"), order("2", amount="99999999.99")
    apply(store, record(1, None, one), record(2, one, paid), record(3, None, big))
    assert store.totals("by_status") == expected([paid, big])
    apply(store, record(4, big, None), record(5, None, order("3", amount=None)))
    assert store.totals("by_status") == expected([paid, order("3", amount=None)])
    apply(store, record(6, paid, None), record(7, order("3", amount=None), None))
    assert store.totals("by_status") == {}


def test_what_comes_again_changes_nothing(store: LiveStore) -> None:
    one, paid = order("1", status="new"), order("1")
    batch = [record(1, None, one), record(2, one, paid), record(3, None, order("2"))]
    assert apply(store, *batch) == 0
    for again in (batch, batch[:1], batch[1:], batch[2:]):
        assert apply(store, *again) == len(again)
    assert store.totals("by_status") == expected([paid, order("2")])


def test_a_step_on_an_item_that_another_writer_has_changed_is_not_applied(store: LiveStore) -> None:
    made = step(BY_STATUS, [change_of(BY_STATUS, record(2, None, order("1")))], {})
    apply(store, record(1, None, order("1", status="new")))
    assert store.apply("by_status", made, {}) == "changed"
    assert store.totals("by_status") == expected([order("1", status="new")])


def test_sums_are_exact_whatever_their_sign_and_size(store: LiveStore) -> None:
    dice = random.Random(5)
    amounts = ["-0.01", "0.01", "-9999999999.99", "9999999999.99", "10000000", "-10000000", "0.10"]
    amounts += [f"{dice.randrange(-(10**12), 10**12) / 100:.2f}" for _ in range(40)]
    items = [order(str(number), amount=amount) for number, amount in enumerate(amounts)]
    for number, item in enumerate(items, start=1):
        apply(store, record(number, None, item))
        assert store.totals("by_status") == expected(items[:number])


def test_sums_of_the_longest_decimals_keep_every_digit(redis_store: RedisStore) -> None:
    """DynamoDB adds with 38 digits, and the local one with 28, so it has no part in this."""
    big = Counter("big", "t", sums=(Value("x", "x", "decimal", 28, 3),))
    amounts = ["9999999999999999999999999.999", "9999999999999999999999999.999", "0.001"]
    first, second, last = (
        Change(str(at), str(at), None, contribution(big, {"x": {"N": amount}})) for at, amount in enumerate(amounts)
    )
    apply_changes(big, [first, second], redis_store)
    apply_changes(big, [last], redis_store)
    assert redis_store.totals("big")["[]"]["sum_x"] == Decimal("19999999999999999999999999.999")


def test_number_keys_that_differ_in_their_last_digit_are_two_items() -> None:
    one, other = (key_of({"id": {"N": f"1234567890123456789012345678901234567{last}"}}) for last in "12")
    assert one != other


def test_more_changes_than_one_step_can_write_are_applied_in_halves(store: LiveStore) -> None:
    items = [order(str(number), status=f"s{number}") for number in range(130)]
    apply(store, *(record(number, None, item) for number, item in enumerate(items, start=1)))
    assert store.totals("by_status") == expected(items)


def test_a_snapshot_has_the_numbers_and_the_changes_that_they_contain(store: LiveStore) -> None:
    apply(store, record(1, None, order('a"*[', status="é\n")), record(2, None, order("2")), record(3, order("2"), None))
    found = store.snapshot("by_status")
    assert found.totals == expected([order('a"*[', status="é\n")])
    assert {key: one.adds is not None for key, one in found.seen.items()} == {'["a\\"*["]': True, '["2"]': False}
    apply(store, record(4, None, order("3")))  # its writers go on


def test_a_counter_that_is_being_read_is_not_written(store: LiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def totals_while_read(counter: str) -> Any:
        with pytest.raises(LakeUnavailable, match="sent again"):
            apply(store, record(1, None, order("1")))
        with pytest.raises(LakeUnavailable, match="already"):
            store.snapshot(counter)
        return {}

    monkeypatch.setattr(store, "_totals", totals_while_read)
    store.snapshot("by_status")
    monkeypatch.undo()
    apply(store, record(1, None, order("1")))
    assert store.totals("by_status") == expected([order("1")])


def test_corrections_are_added_and_a_counter_can_be_forgotten(store: LiveStore) -> None:
    apply(store, record(1, None, order("1")))
    group = next(iter(store.totals("by_status")))
    store.correct("by_status", {group: {"count": Decimal(2), "sum_amount": Decimal("-7.50")}})
    assert store.totals("by_status")[group] == {"count": Decimal(3), "values_amount": Decimal(1)}
    store.forget("by_status")
    assert store.totals("by_status") == {}
    assert not store.snapshot("by_status").seen


def test_ten_writers_at_once_lose_nothing_and_count_nothing_twice(store: LiveStore) -> None:
    """Ten functions, as with a parallelisation factor of ten: each item has one of them, and all share the groups."""
    items = {str(number): order(str(number), status=f"s{number % 2}") for number in range(30)}
    moved = {key: order(key, amount="1.25") for key in list(items)[::3]}
    changes = [record(n, None, item) for n, item in enumerate(items.values(), start=1)]
    changes += [record(100 + n, items[key], item) for n, (key, item) in enumerate(moved.items())]

    def write(lane: int) -> None:
        own = [one for one in changes if int(one["dynamodb"]["Keys"]["id"]["S"]) % 10 == lane]
        for batch in (own[:2], own[2:], own):
            apply_records(batch, counters=[BY_STATUS], store=store)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(10)))
    assert store.totals("by_status") == expected({**items, **moved}.values())


def test_a_record_without_its_images_stops_the_batch(store: LiveStore) -> None:
    without = record(2, order("1"), order("1", status="new"))
    del without["dynamodb"]["OldImage"]
    with pytest.raises(CaptureError, match="NEW_AND_OLD_IMAGES"):
        apply(store, record(1, None, order("1")), without)
    assert store.totals("by_status") == {}


def test_redis_says_every_change_to_who_listens(redis_store: RedisStore, valkey_url: str) -> None:
    with valkey.Valkey.from_url(valkey_url) as client, client.pubsub() as listener:
        listener.subscribe(channel_of("by_status"))
        assert listener.get_message(timeout=5) is not None
        apply(redis_store, record(1, None, order("1")))
        message = listener.get_message(ignore_subscribe_messages=True, timeout=5)
        assert message is not None
        assert totals_of(changed_fields(message["data"])) == expected([order("1")])
        assert 0 < client.ttl(f'{channel_of("by_status")}:seen:["1"]') <= 25 * 3600


def test_dynamodb_forgets_an_items_last_change_by_its_time_to_live(dynamo_store: DynamoStore) -> None:
    apply(dynamo_store, record(1, None, order("1")))
    (entry,) = dynamo_store._scan("#e = :e", {":e": "seen"})
    assert int(entry["expires"]["N"]) > 0


@pytest.mark.parametrize("url", ["memcached://here", "redis://here?db=1", "rediss://u:secret@here?cluster=yes"])
def test_an_address_that_is_none_is_refused_without_saying_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match="expected") as refused, open_store(url):
        pass
    assert "secret" not in str(refused.value)


def test_a_server_that_does_not_answer_is_an_outage() -> None:
    with open_store("redis://127.0.0.1:1") as store, pytest.raises(LakeUnavailable, match="does not answer"):
        store.totals("by_status")


def test_a_change_is_after_all_changes_of_an_older_stream() -> None:
    newer = record(1, None, order("1")) | {"eventSourceARN": ARN.replace("2026-01-01", "2026-01-02")}
    older = change_of(BY_STATUS, record(10**30, None, order("1", status="new")))
    made = step(BY_STATUS, [change_of(BY_STATUS, newer)], {older.key: Seen(older.place, older.after)})
    assert made.skipped == 0
