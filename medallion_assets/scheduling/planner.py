"""What the sensor decides: what to run for the news there is, and how what failed is tried again.

Belongs here: the decision, values in and values out. Does not belong here: listing, clocks, Dagster (defs).

A node is a Silver table or a mart, named as its asset: `silver/orders`, `gold/key_metrics`. What is pending is not
remembered here: it follows from the position that each Silver table keeps in its own commit, so a run that failed, or
never began, leaves its objects pending. The cursor remembers what the lake cannot tell: the run that was asked for,
the nodes that still have to follow an upstream one, and the nodes in trouble.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import BaseModel, ConfigDict

from medallion_assets.contracts.loader import Domain

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart

Outcome = Literal["done", "failed", "undone"]
"""How a node fared in a run; `undone` is skipped behind a failure, or never begun."""

Pending = Mapping[str, Mapping[date, Sequence[str]]]
"""The Bronze objects no Silver commit contains yet: by Silver node and capture day, oldest first."""

FIRST_RETRY: Final = timedelta(seconds=5)
LAST_RETRY: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Graph:
    """Who follows whom: the upstream nodes of each node, every node after those it follows."""

    upstream: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, domain: Domain, marts: Iterable[Mart]) -> Self:
        """The graph of a domain, from the contracts' enrichment and the marts' SQL."""
        upstream = {
            f"silver/{contract.lake_name}": frozenset(f"silver/{part.table}" for part in contract.enrich)
            for contract in domain.tables
        }
        for mart in marts:
            upstream[f"gold/{mart.name}"] = frozenset(f"silver/{table}" for table in mart.tables)
        return cls(upstream)

    @property
    def tables(self) -> list[str]:
        """The Silver nodes."""
        return [node for node in self.upstream if not is_mart(node)]

    def downstream(self, nodes: Collection[str]) -> set[str]:
        """Every node that follows one of `nodes`, directly or not."""
        reached = set(nodes)
        for node, upstream in self.upstream.items():
            if upstream & reached:
                reached.add(node)
        return reached - set(nodes)


def is_mart(node: str) -> bool:
    """Whether the node is a mart, not a Silver table."""
    return node.startswith("gold/")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trouble(_Value):
    """A node whose last attempts failed, and when to try again."""

    failures: int
    retry_at: datetime


class Request(_Value):
    """A run that was asked for. `first` is the oldest pending object of each table that has objects of that day."""

    key: str
    day: date
    nodes: tuple[str, ...]
    first: dict[str, str]


class Cursor(_Value):
    """What is remembered from tick to tick.

    Of each Silver node: `seen` is the last materialization seen, `committed` the last snapshot seen that changed rows.
    """

    request: Request | None = None
    due: frozenset[str] = frozenset()
    troubles: dict[str, Trouble] = {}
    seen: dict[str, int] = {}
    committed: dict[str, int] = {}


def outcomes(nodes: Iterable[str], steps: Mapping[str, str]) -> dict[str, Outcome]:
    """How each node fared in a run that did not succeed, by the status of its steps (`silver__orders`: `SUCCESS`).

    A run that ended with no failed step was killed or cancelled: it failed in all it did not finish.
    """
    crashed = "FAILURE" not in steps.values()
    found: dict[str, Outcome] = {}
    for node in nodes:
        layer, table = node.split("/")
        own = [f"{layer}__{table}"] if is_mart(node) else [f"bronze__{table}", f"silver__{table}"]
        states = {steps.get(step) for step in own}
        if steps.get(own[-1]) == "SUCCESS":
            found[node] = "done"
        elif "FAILURE" in states or crashed:
            found[node] = "failed"
        else:
            found[node] = "undone"
    return found


def settle(cursor: Cursor, outcomes: Mapping[str, Outcome], pending: Pending, now: datetime) -> Cursor:
    """The cursor after its run ended so. A table that was done but whose object is still pending has failed, too."""
    if cursor.request is None:
        return cursor
    due, troubles = set(cursor.due), dict(cursor.troubles)
    for node in cursor.request.nodes:
        outcome = outcomes.get(node, "undone")
        left = any(cursor.request.first.get(node) in names for names in pending.get(node, {}).values())
        if outcome == "done" and not left:
            due.discard(node)
            troubles.pop(node, None)
            continue
        due.add(node)
        if outcome != "undone":
            failures = troubles[node].failures + 1 if node in troubles else 1
            pause = min(FIRST_RETRY * 2 ** min(failures - 1, 16), LAST_RETRY)
            troubles[node] = Trouble(failures=failures, retry_at=now + pause)
    return cursor.model_copy(update={"request": None, "due": frozenset(due), "troubles": troubles})


def follow(cursor: Cursor, graph: Graph, latest: Mapping[str, int], *, own: Collection[str]) -> Cursor:
    """The cursor after a look at the latest materialization (its id) of each Silver node.

    One that the sensor's own run did not make (`own`: those it did) was made by hand: what follows it is due, and a
    table that was in trouble is well again.
    """
    mended = {node for node, made in latest.items() if made != cursor.seen.get(node) and node not in own}
    return cursor.model_copy(
        update={
            "seen": {**cursor.seen, **latest},
            "due": (cursor.due | graph.downstream(mended)) - mended,
            "troubles": {node: trouble for node, trouble in cursor.troubles.items() if node not in mended},
        }
    )


def notice(cursor: Cursor, graph: Graph, commits: Mapping[str, int], *, own: Collection[str]) -> Cursor:
    """The cursor after a look at the last snapshot of each Silver node that changed rows.

    One that was not made by a run whose materialization was seen (`own`: those that were) is the commit of another
    process, like a replay of what was in quarantine: the table is due, so that it tells of itself, and what follows it.
    """
    others = {node for node, snapshot in commits.items() if snapshot != cursor.committed.get(node) and node not in own}
    return cursor.model_copy(
        update={
            "committed": {**cursor.committed, **commits},
            "due": cursor.due | others | graph.downstream(others),
        }
    )


def choose(graph: Graph, cursor: Cursor, pending: Pending, now: datetime) -> Request | None:
    """The run to ask for now, or None.

    The oldest capture day comes first. A table in trouble is tried alone when its pause is over, so that it cannot
    hold up another one; until it is well, the marts that read it wait, published as they are.
    """
    waiting = {node for node, trouble in cursor.troubles.items() if trouble.retry_at > now}
    sick = {node for node in cursor.troubles if not is_mart(node)}
    retry = min((node for node in sick - waiting if pending.get(node) or node in cursor.due), default=None)
    if retry is not None:
        start, sick = {retry}, sick - {retry}
    else:
        start = {node for node in graph.tables if pending.get(node)} | cursor.due
    held = waiting | sick | {node for node, upstream in graph.upstream.items() if is_mart(node) and upstream & sick}
    days = [day for node in start - held for day in pending.get(node, {})]
    day = min(days, default=now.date())
    first = {node: names[day][0] for node, names in pending.items() if node in start - held and day in names}
    start = (start & (set(first) | cursor.due)) - held
    nodes = (start | graph.downstream(start)) - held
    if not nodes:
        return None
    ordered = tuple(node for node in graph.upstream if node in nodes)
    return Request(key=_key(cursor, day, ordered, pending), day=day, nodes=ordered, first=first)


def _key(cursor: Cursor, day: date, nodes: Sequence[str], pending: Pending) -> str:
    """The same request has the same key, so that Dagster does not launch it twice; another attempt has another one."""
    objects = {node: names[day] for node, names in pending.items() if day in names}
    asked = (
        nodes,
        [(node, len(names), names[0], names[-1]) for node, names in sorted(objects.items()) if node in nodes],
        [(node, trouble.failures) for node, trouble in sorted(cursor.troubles.items())],
        sorted(cursor.seen.items()),
        sorted(cursor.committed.items()),
    )
    return f"{day}/{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}"
