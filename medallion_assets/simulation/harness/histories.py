"""Histories: what happens in one simulation, drawn from one seed, as plain data that can be kept, cut and replayed.

A history is a list of acts: the source writes, time passes while capture works, the sensor ticks and its run works, a
person materializes something again, contracts are corrected. Each act has a fault profile: what goes wrong in the
pipeline during the act, drawn from the act's own seed or given fault by fault.

Belongs here: which histories there are. Does not belong here: playing them (play), judging them (oracle).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from medallion_assets.simulation.faults import NEVER, Fault, Rates
from medallion_assets.simulation.harness.app_items import APP, AppItems
from medallion_assets.simulation.harness.loads import Loads
from medallion_assets.simulation.harness.shop_items import Item, ShopItems

_QUIET_WRITES: Final = Rates(before=0.0005, after=0.0005)
FAULT_PROFILES: Final[Mapping[str, tuple[Mapping[str, Rates], float]]] = {
    "calm": ({}, 0.0),
    "errors": ({"": Rates(before=0.012, after=0.012), "file.write": _QUIET_WRITES}, 0.0),
    "slow": ({"": Rates(delay=0.03, delay_max_s=240.0), "file.write": NEVER}, 0.0),
    "deaths": ({"": Rates(death=0.015), "file.write": Rates(death=0.001)}, 0.0),
    "contention": ({}, 0.12),
    "storm": (
        {
            "": Rates(before=0.008, after=0.008, delay=0.01, death=0.008, outage=0.004, delay_max_s=120.0),
            "file.write": NEVER,
        },
        0.05,
    ),
}
"""Rates by fault point, and the share of commits before which a second writer commits."""

CAPTURE_FAULT_PROFILES: Final[Mapping[str, Mapping[str, Rates]]] = {
    "calm": {},
    "errors": {"": Rates(before=0.05, after=0.05, odd=0.05)},
    "deaths": {"": Rates(before=0.02, after=0.02, death=0.03, odd=0.05)},
    "storm": {"": Rates(before=0.05, after=0.05, delay=0.05, death=0.02, outage=0.01, odd=0.1, delay_max_s=30.0)},
    "slow": {"bronze.put": Rates(delay=1.0, delay_max_s=120.0)},
}


@dataclass(frozen=True)
class Act:
    """One event of a history. `given` are its arguments. Its faults are drawn from `seed`, or listed in `script`."""

    do: str
    given: Mapping[str, Any] = field(default_factory=dict)
    fault_profile: str = "calm"
    seed: int = 0
    script: tuple[Fault, ...] | None = None


@dataclass(frozen=True)
class Capture:
    """How changes reach Bronze: through the event source mapping as it is deployed, or through our poller.

    `settings` are those of the mapping that differ, or those of the poller.

    `skew_s` is how far the functions' clocks may be off, `lag_s` how long an invocation may take before it writes.
    """

    kind: Literal["lambda", "poller"]
    settings: Mapping[str, Any]
    skew_s: float
    lag_s: float
    fault_profile: str = "calm"
    script: tuple[Fault, ...] | None = None


@dataclass(frozen=True)
class History:
    """One history. `seed` decides everything random while it is played.

    `layered`: it has the marts over marts, too. `entities`: it has the single-table design, too.
    """

    seed: int
    start: datetime
    shards: int
    capture: Capture
    acts: tuple[Act, ...]
    layered: bool
    entities: bool

    def to_json(self) -> dict[str, Any]:
        """Return the history as JSON data."""
        return {
            "seed": self.seed,
            "start": self.start.isoformat(),
            "shards": self.shards,
            "capture": {**vars(self.capture), "script": _script_json(self.capture.script)},
            "acts": [{**vars(act), "script": _script_json(act.script)} for act in self.acts],
            "layered": self.layered,
            "entities": self.entities,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> History:
        """Return the history that `to_json` returned."""
        return cls(
            seed=data["seed"],
            start=datetime.fromisoformat(data["start"]),
            shards=data["shards"],
            capture=Capture(**{**data["capture"], "script": _script(data["capture"]["script"])}),
            acts=tuple(Act(**{**act, "script": _script(act["script"])}) for act in data["acts"]),
            layered=data["layered"],
            entities=data["entities"],
        )


def _script_json(script: Sequence[Fault] | None) -> list[list[Any]] | None:
    return None if script is None else [[one.point, one.nth, one.kind, one.seconds] for one in script]


def _script(data: Sequence[Sequence[Any]] | None) -> tuple[Fault, ...] | None:
    return None if data is None else tuple(Fault(*one) for one in data)


def draw(seed: int) -> History:
    """Return the history of a seed."""
    return _Drawing(seed).history()


class _Drawing:
    """Draws one history. Each part has its own random generator: no part depends on how much another drew."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice = random.Random(f"history/{seed}")  # noqa: S311 - dice
        self._layered = random.Random(f"marts over marts/{seed}").random() < 0.25  # noqa: S311 - dice
        self._acts: list[Act] = []
        self._start = self._draw_start()
        self._tables = self._dice.choice(_SUBJECTS)
        self._marts = _marts(self._tables, layered=self._layered)
        self._app = random.Random(f"entities/{seed}")  # noqa: S311 - dice
        self._entities = self._app.random() < 0.15
        self._app_items = AppItems(self._app, self._start)
        self._soft = random.Random(f"softly/{seed}")  # noqa: S311 - dice
        self._closes = self._soft.random() < 0.25
        self._words = random.Random(f"written otherwise/{seed}")  # noqa: S311 - dice
        self._wordy = self._words.random() < 0.5
        self._items = ShopItems(self._dice, self._start)
        self._fault_profiles = self._dice.choice(_PROFILE_SETS)
        self._mended = False
        self._last: dict[str, Any] | None = None
        self._lossy = self._dice.random() < 0.06
        self._poisonous = self._dice.random() < 0.15
        dice = random.Random(f"snapshot/{seed}")  # noqa: S311 - dice
        self._loads: Loads | None = None
        if dice.random() < (0.5 if self._lossy else 0.12):
            items = ShopItems(dice, self._start)
            self._lossy |= dice.random() < 0.4
            self._loads = Loads(seed, dice.choice(self._tables), items, closes_gaps=self._lossy)

    def history(self) -> History:
        dice = self._dice
        rounds = dice.randint(2, 5)
        if self._loads is not None:
            self._load(*self._loads.stock())
        flood = dice.random() < 0.08
        for at in range(rounds):
            self._write(dice.randint(2, 9), flood=flood and at == 0)
            if dice.random() < 0.25:
                self._act("split", table=dice.choice(self._tables))
            if "Readings" in self._tables and dice.random() < 0.4:
                self._act("expire", table="Readings")
            if self._entities and self._app.random() < 0.4:
                self._act("expire", table=APP)
            if self._lossy and dice.random() < 0.5:
                self._act("jump", seconds=26 * 3600)  # longer than a stream keeps what nobody read
            if self._lossy and dice.random() < 0.3:
                self._act("recreate", table=dice.choice(self._tables), emptied=dice.random() < 0.5)
            self._act("wait", seconds=dice.choice([2, 20, 90, 400]))
            if dice.random() < 0.2:
                self._act("jump", seconds=dice.choice([600, 1800, 5 * 3600, 15 * 3600, 25 * 3600]))
            if dice.random() < 0.9:
                self._act("tick", times=dice.choice([1, 1, 2]))
            self._extra()
            if self._entities:
                self._extra_of_app()
            for do, given in self._loads.round(at) if self._loads is not None else ():
                self._load(do, given)
        return History(
            seed=self._seed,
            start=self._start,
            shards=dice.choice([1, 1, 2, 3]),
            capture=self._draw_capture(),
            acts=tuple(self._acts),
            layered=self._layered,
            entities=self._entities,
        )

    def _draw_start(self) -> datetime:
        noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
        if self._dice.random() < 0.4:
            return noon + timedelta(hours=12, minutes=-self._dice.uniform(0.1, 12))
        return noon + timedelta(minutes=self._dice.uniform(-120, 120))

    def _draw_capture(self) -> Capture:
        dice = self._dice
        fault_profile = dice.choice(["calm", "calm", "errors", "deaths", "storm"])
        slow = self._loads is not None and self._loads.slow
        if slow:
            fault_profile = "slow"
        if dice.random() < 0.35:
            paces = {
                "window_seconds": dice.choice([0.0, 1.0, 4.0]),
                "batch_size": dice.choice([2, 5, 100]),
                "idle_seconds": 5.0,
                "empty_answers": 10,
                "max_retries": 2,
            }
            return Capture("poller", paces, skew_s=dice.choice([0, 0, 120]), lag_s=0, fault_profile=fault_profile)
        # As deployed but for the pace: a history has few changes, and they should make several objects.
        settings: dict[str, Any] = {
            "window_s": dice.choice([0.0, 1.0, 3.0]),
            "batch_size": dice.choice([1, 3, 10, 1_000]),
            "poll_s": 5.0,
        }
        if slow:
            settings["batch_size"] = 1
        return Capture(
            "lambda",
            settings,
            skew_s=dice.choice([0, 0, 120]),
            lag_s=dice.choice([0, 30, 600]),
            fault_profile=fault_profile,
        )

    def _act(self, do: str, *, dice: random.Random | None = None, **given: Any) -> None:
        dice = dice or self._dice
        pipeline = do in {"tick", "rerun", "recompute", "maintain", "maintain_mart", "replay", "drop", "look", "verify"}
        fault_profile = dice.choice(self._fault_profiles) if pipeline else "calm"
        self._acts.append(Act(do, given, fault_profile, seed=dice.getrandbits(32) if pipeline else 0))

    def _extra_of_app(self) -> None:
        dice = self._app
        if dice.random() < 0.3:
            self._act("rerun", dice=dice, table=APP, back=dice.choice([0, 0, 1]))
        if dice.random() < 0.2:
            self._act("maintain", dice=dice, layer="silver", table=APP)
        if dice.random() < 0.15:
            self._act("verify", dice=dice, table=APP)
        if dice.random() < 0.1:
            self._act("drop", dice=dice, table=APP, column="title")
        if dice.random() < 0.2:
            self._act("replay", dice=dice, table=APP)
        if self._lossy and dice.random() < 0.3:
            self._act("recreate", dice=dice, table=APP, emptied=dice.random() < 0.5)

    def _load(self, do: str, given: Mapping[str, Any]) -> None:
        """Add an act of the loads, which draw from dice of their own."""
        at = random.Random(f"faults of loads/{self._seed}/{len(self._acts)}")  # noqa: S311 - dice
        fault_profile = at.choice(self._fault_profiles) if do == "backfill" else "calm"
        self._acts.append(Act(do, given, fault_profile, seed=at.getrandbits(32)))

    def _extra(self) -> None:
        dice = self._dice
        if dice.random() < 0.25:
            self._act("rerun", table=dice.choice(self._tables), back=dice.choice([0, 0, 1]))
        if dice.random() < 0.1:
            self._act("recompute", mart=dice.choice(self._marts), back=dice.choice([None, 0, 1, 2]))
        if dice.random() < 0.15:
            self._act(
                "maintain", layer=dice.choice(["silver", "silver", "quarantine"]), table=dice.choice(self._tables)
            )
        if self._layered and dice.random() < 0.25:
            self._act("maintain_mart", mart=dice.choice(self._marts))
        if dice.random() < 0.3:
            self._act("look")
        if dice.random() < 0.03:
            self._act("verify", table=dice.choice(self._tables))
        if dice.random() < 0.05:
            table = dice.choice(self._tables)
            self._act("drop", table=table, column=dice.choice(_DROPPED[table]))
        if dice.random() < 0.1 and not self._mended:
            self._mended = True
            self._act("mend")
        if dice.random() < (0.5 if self._mended else 0.03):
            self._act("replay", table=dice.choice(self._tables))

    def _write(self, count: int, *, flood: bool) -> None:
        changes = [self._change() for _ in range(count)]
        if flood:
            table = self._dice.choice(self._tables)
            changes += [{"table": table, "put": self._items.bad(table), "bad": True} for _ in range(7)]
        if self._entities:
            changes += self._app_items.changes()
        self._act("write", changes=changes, gap_s=self._dice.choice([0, 0.1, 1.5]))

    def _change(self) -> dict[str, Any]:
        dice = self._dice
        table = dice.choice(self._tables)
        roll = dice.random()
        if roll < 0.04 and self._last is not None:
            return self._last  # nothing changes, so nothing is sent
        if roll < 0.5:
            change = {"table": table, "put": self._items.good(table), "bad": False}
            self._last = change
        elif roll < 0.58:
            change = {"table": table, "put": self._items.bad(table), "bad": True}
        elif roll < 0.75:
            change = {"table": table, "update": self._items.key(table), "set": self._items.some(table)}
        elif roll < 0.93:
            change = {"table": table, "delete": self._items.key(table)}
        else:
            tables = dice.sample(self._tables, k=min(2, len(self._tables)))
            return {"transact": [{"table": one, "put": self._items.good(one), "bad": False} for one in tables]}
        if self._poisonous and dice.random() < 0.15:
            change["poison"] = True
        if self._wordy and table == "Readings":
            return self._written_otherwise(change)
        return self._closed(change) if self._closes and table == "Customers" else change

    def _written_otherwise(self, change: dict[str, Any]) -> dict[str, Any]:
        """Return a change of a reading with values that are not written in their own type; of a bad one, wrong ones."""
        written = "put" if "put" in change else "set"
        if written not in change:
            return change
        forms = _BAD_FORMS if change.get("bad") else _FORMS
        chosen = self._words.sample(sorted(forms), k=self._words.randint(1, len(forms)))
        return {**change, written: {**change[written], **{name: self._words.choice(forms[name]) for name in chosen}}}

    def _closed(self, change: dict[str, Any]) -> dict[str, Any]:
        """Return the change of a customer, now and then one that deletes it softly or takes that back."""
        values: list[Item | None] = [{"S": "2026-01-04"}, {"S": ""}, {"NULL": True}]
        closed = self._soft.choice([None, None, *values])
        written = "put" if "put" in change else "set"
        if closed is None or written not in change:
            return change
        bad = {"bad": change["bad"] and "NULL" in closed} if "bad" in change else {}
        return {**change, written: {**change[written], "Closed": closed}, **bad}


_SUBJECTS: Final = (
    ("Customers", "Orders"),
    ("Customers", "Orders"),
    ("Orders",),
    ("Readings",),
    ("Customers", "Orders", "Readings"),
)
_PROFILE_SETS: Final = (
    ("calm",),
    ("calm", "errors"),
    ("errors", "storm"),
    ("deaths", "calm"),
    ("deaths", "storm"),
    ("contention", "calm"),
    ("contention", "errors"),
    ("slow", "calm"),
    ("storm",),
)


def _marts(tables: Sequence[str], *, layered: bool) -> list[str]:
    """Return the marts over these tables, also those that come from them through other marts."""
    orders = ["daily_sales", "daily_tiers", *(["daily_totals", "share_of_all"] if layered else [])]
    readings = ["device_summary", *(["fleet_summary"] if layered else [])]
    return [*(orders if "Orders" in tables else []), *(readings if "Readings" in tables else [])]


_FORMS: Final[Mapping[str, Sequence[Item]]] = {
    "Cents": ({"S": "1999"}, {"S": "-0050"}, {"S": "0"}),
    "Charged": ({"S": "yes"}, {"BOOL": False}, {"NULL": True}),
    "Serviced": (
        {"S": "2026-03-29T03:00:00"},
        {"S": "2026-10-25T02:30:00"},
        {"N": "1767600000"},
        {"S": "1767600000123"},
    ),
    "Built": ({"S": "29.02.2024"}, {"S": ""}),
    "Spot": ({"S": "HALL#a b#-1"}, {"S": "HALL#7#20"}),
}
"""By attribute of a reading: values that are not written in the type of their column."""
_BAD_FORMS: Final[Mapping[str, Sequence[Item]]] = {
    "Cents": ({"S": "19.99"}, {"N": "5"}),
    "Serviced": ({"S": "2026-03-29T02:30:00"}, {"N": "1"}),
    "Spot": ({"S": "HALL#7"}, {"S": "HALL#7#8#9"}),
}
"""Such values that do not fit; the corrected contract takes those of Cents."""
_DROPPED: Final = {"Customers": ("tier", "name"), "Orders": ("amount", "order_date"), "Readings": ("note", "small")}
"""By table: columns whose open quarantine rows a person may drop."""


def scripted(history: History, capture: Sequence[Fault], acts: Sequence[Sequence[Fault]]) -> History:
    """Return the same history with the faults that happened in play listed one by one, up to the last act played."""
    return replace(
        history,
        capture=replace(history.capture, script=tuple(capture)),
        acts=tuple(replace(act, script=tuple(happened)) for act, happened in zip(history.acts, acts, strict=False)),
    )
