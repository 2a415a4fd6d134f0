"""A shop as dashboards find it: seven months of orders in Gold, six hours of looks in ops, some of them bad."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from medallion_assets.capture.file_store import FileStore
from medallion_assets.health.collect import collect_health
from medallion_assets.health.run_events import CheckEvaluation, RunEvents, StepRun
from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import RECONCILIATIONS
from medallion_assets.ops.upsert import upsert
from medallion_assets_tests.gold.shop import DOMAIN, MARTS, Shop, customer, order, product

REGIONS = ("North", "South", "East", "West", "O'Higgins")
STATUSES = ("pending", "processing", "shipped", "delivered", "delivered", "delivered", "shipped", "cancelled")
THINGS = (
    "Trail Lamp",
    "City Backpack",
    "Nordic Kettle",
    "Studio Chair",
    "Aero Bottle",
    "Summit Tent",
    "Compact Speaker",
)
CHECKS = (("keys", True), ("columns", True), ("rules", True), ("freshness", False))


def fill(lake: Lake, bronze: Path, now: datetime) -> None:
    """Write all of it, as of `now`."""
    dice = random.Random(11)
    shop = Shop(lake)
    shop.write("customers", *(customer(n, dice.choice(REGIONS)) for n in range(60)))
    shop.write(
        "products",
        *({**product(n, dice.randrange(3, 90), "19.90"), "name": THINGS[n % 7], "category": "Home"} for n in range(30)),
    )
    orders = []
    for number in range(4000):
        of = dice.randrange(60)
        orders.append(
            order(
                number,
                (now - timedelta(days=dice.randrange(200))).date(),
                f"{dice.randrange(500, 30_000) / 100:.2f}",
                of=of,
                region=shop.rows["customers"][f"c{of}"]["region"],
                status=dice.choice(STATUSES),
                products={int(30 * dice.random() ** 2) for _ in range(2)},
                hour=0,
            )
        )
    shop.write("orders", *orders)
    for mart in MARTS:
        shop.refresh(mart, today=now.date())
    upsert(lake, RECONCILIATIONS, [_verified(name, now - timedelta(hours=9)) for name in DOMAIN.by_name])
    store = FileStore(bronze)
    for minutes in range(360, -1, -20):
        at = now - timedelta(minutes=minutes)
        happened = RunEvents(list(_steps(at, dice)), list(_evaluations(at, dice, broken=minutes in {140, 120})))
        collect_health(lake, store, DOMAIN, list(MARTS.values()), run_events=partial(_events, happened), now=at)


def _verified(table: str, at: datetime) -> dict[str, object]:
    """Return the row of a verification that found no difference."""
    counts = ("source", "lake", "equal", "missing", "extra", "different", "quarantined", "in_flight", "unconfirmed")
    about = {"reconciliation": f"nightly/{table}", "run_id": "nightly", "table_name": table}
    return {**about, "started_at": at, "ended_at": at, **{f"{count}_rows": 0 for count in counts}, "read_units": 1.0}


def _events(happened: RunEvents, after: datetime, to: datetime) -> RunEvents:
    return happened


def _steps(at: datetime, dice: random.Random) -> Iterator[tuple[datetime, StepRun]]:
    run, ended = f"run-{at:%H%M}", at - timedelta(seconds=30)
    for table in DOMAIN.by_name:
        changes = dice.randrange(200, 900)
        oldest = ended - timedelta(seconds=dice.randrange(4, 14))
        yield ended, StepRun("bronze", table, run, ended, True, {"dagster/row_count": changes}, oldest)
        numbers = {"rows_in": changes, "merged": changes - 20, "quarantined": dice.randrange(3)}
        yield ended, StepRun("silver", table, run, ended, True, numbers)
    for mart in MARTS:
        yield ended, StepRun("gold", mart, run, ended, True, {"refreshed_rows": 40})


def _evaluations(at: datetime, dice: random.Random, *, broken: bool) -> Iterator[tuple[datetime, CheckEvaluation]]:
    run, ended = f"run-{at:%H%M}", at - timedelta(seconds=30)
    for table in DOMAIN.by_name:
        for check, blocking in CHECKS:
            passed = not (broken and check == "rules" and table == "orders") and dice.random() > 0.01
            yield ended, CheckEvaluation("silver", table, check, run, ended, blocking, passed, {"rows": 1600})
    for mart in MARTS:
        yield ended, CheckEvaluation("gold", mart, "grain", run, ended, True, True, {"rows": 40})


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
