"""Plan the next run: which tables and marts it takes, and when a failed one is tried again.

Belongs here: the decision, from values to values. Does not belong here: listing Bronze (pending), clocks, Dagster.

A node is a Silver table or a mart, named as its asset: `silver/orders`, `gold/key_metrics`. Pending objects are not
remembered here. They follow from the position that each Silver table keeps in its own commit, so the objects of a run
that failed or never began are still pending. The cursor remembers what the lake cannot say: the run that was requested,
the nodes that are stale, and the nodes that wait before their next attempt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import BaseModel, ConfigDict

from medallion_assets.contracts.loader import Domain
from medallion_assets.engines.names import schema_and_table

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart

Outcome = Literal["succeeded", "failed", "not_run"]
"""How a run ended for a node. `not_run`: skipped because an upstream node failed, or never begun."""

Pending = Mapping[str, Mapping[date, Sequence[str]]]
"""The Bronze objects that no Silver commit contains yet: by Silver node and capture day, oldest first."""

FIRST_RETRY: Final = timedelta(seconds=5)
LAST_RETRY: Final = timedelta(minutes=10)
"""The pause after the first failure, and the longest pause. It doubles with each failure."""


@dataclass(frozen=True)
class Graph:
    """The upstream nodes of each node. In `upstream`, a node comes after all of its upstream nodes."""

    upstream: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, domain: Domain, marts: Iterable[Mart]) -> Self:
        """Return the graph of a domain, from the contracts' enrichment and the marts' SQL."""
        upstream = {
            f"silver/{contract.lake_name}": frozenset(f"silver/{part.table}" for part in contract.enrich)
            for contract in domain.tables
        }
        for mart in marts:
            upstream[f"gold/{mart.name}"] = frozenset("/".join(schema_and_table(name)) for name in mart.inputs)
        return cls(upstream)

    @property
    def tables(self) -> list[str]:
        """The Silver nodes."""
        return [node for node in self.upstream if not is_mart(node)]

    @property
    def read(self) -> list[str]:
        """The Silver nodes, and the marts that other marts read."""
        by_marts = {node for upstream in self.upstream.values() for node in upstream}
        return [node for node in self.upstream if not is_mart(node) or node in by_marts]

    def with_marts_over(self, nodes: Collection[str]) -> set[str]:
        """Return `nodes`, and the marts that read one of them, directly or through other marts."""
        reached = set(nodes)
        for node, upstream in self.upstream.items():
            if is_mart(node) and upstream & reached:
                reached.add(node)
        return reached

    def downstream(self, nodes: Collection[str]) -> set[str]:
        """Return every node downstream of one of `nodes`, directly or not; without `nodes` themselves."""
        reached = set(nodes)
        for node, upstream in self.upstream.items():
            if upstream & reached:
                reached.add(node)
        return reached - set(nodes)


def is_mart(node: str) -> bool:
    """Return whether the node is a mart; otherwise it is a Silver table."""
    return node.startswith("gold/")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Backoff(_Value):
    """How often a node failed in a row, and when to try it again."""

    failures: int
    retry_at: datetime


class Request(_Value):
    """A run that was requested: its capture day and its nodes, upstream first.

    `oldest_pending` is the oldest pending object of each Silver node that has objects of that day.
    """

    key: str
    day: date
    nodes: tuple[str, ...]
    oldest_pending: dict[str, str]


class Cursor(_Value):
    """What the sensor remembers from one tick to the next.

    - request: the run that was requested and is not known to have ended
    - stale: nodes to run although none of their objects is pending
    - backoffs: the nodes whose last attempt failed
    - materializations: by node that others read, the id of the last known materialization
    - commits: by Silver node, the last known snapshot that changed rows
    - busy_at, looked_at: when a run was requested or ended last, and when Bronze was looked at last; see pace
    """

    request: Request | None = None
    busy_at: datetime | None = None
    looked_at: datetime | None = None
    stale: frozenset[str] = frozenset()
    backoffs: dict[str, Backoff] = {}
    materializations: dict[str, int] = {}
    commits: dict[str, int] = {}


def read_outcomes(nodes: Iterable[str], steps: Mapping[str, str]) -> dict[str, Outcome]:
    """Return how a run that did not succeed ended for each node.

    `steps` has the status of each step that began (`silver__orders`: `SUCCESS`). A run that ended without a failed step
    was killed or canceled: then every node that did not succeed failed.
    """
    crashed = "FAILURE" not in steps.values()
    found: dict[str, Outcome] = {}
    for node in nodes:
        layer, table = node.split("/")
        own = [f"{layer}__{table}"] if is_mart(node) else [f"bronze__{table}", f"silver__{table}"]
        states = {steps.get(step) for step in own}
        if steps.get(own[-1]) == "SUCCESS":
            found[node] = "succeeded"
        elif "FAILURE" in states or crashed:
            found[node] = "failed"
        else:
            found[node] = "not_run"
    return found


def apply_outcome(cursor: Cursor, outcomes: Mapping[str, Outcome], pending: Pending, now: datetime) -> Cursor:
    """Return the cursor after its run ended with these outcomes.

    A table that succeeded but left its oldest object pending counts as failed: else it would be requested for ever.
    """
    if cursor.request is None:
        return cursor
    stale, backoffs = set(cursor.stale), dict(cursor.backoffs)
    for node in cursor.request.nodes:
        outcome = outcomes.get(node, "not_run")
        oldest = cursor.request.oldest_pending.get(node)
        left = any(oldest in names for names in pending.get(node, {}).values())
        if outcome == "succeeded" and not left:
            stale.discard(node)
            backoffs.pop(node, None)
            continue
        stale.add(node)
        if outcome != "not_run":
            failures = backoffs[node].failures + 1 if node in backoffs else 1
            pause = min(FIRST_RETRY * 2 ** min(failures - 1, 16), LAST_RETRY)
            backoffs[node] = Backoff(failures=failures, retry_at=now + pause)
    return cursor.model_copy(update={"request": None, "stale": frozenset(stale), "backoffs": backoffs})


def observe_materializations(
    cursor: Cursor, graph: Graph, latest: Mapping[str, int], *, own: Collection[str]
) -> Cursor:
    """Return the cursor after reading the id of the latest materialization of each node that others read.

    `own` are the nodes whose latest materialization the sensor's own run made. Another new one was made by hand, or on
    a new day: mark everything downstream of the node as stale, and end the node's backoff. A mart that was made by hand
    itself stays stale if something upstream of it was, too, because it may have read what was there before.
    """
    by_hand = {node for node, made in latest.items() if made != cursor.materializations.get(node) and node not in own}
    behind = {node for node in by_hand if is_mart(node) and node in graph.downstream(by_hand - {node})}
    return cursor.model_copy(
        update={
            "materializations": {**cursor.materializations, **latest},
            "stale": ((cursor.stale | graph.downstream(by_hand)) - by_hand) | behind,
            "backoffs": {node: backoff for node, backoff in cursor.backoffs.items() if node not in by_hand},
        }
    )


def observe_commits(cursor: Cursor, graph: Graph, commits: Mapping[str, int], *, own: Collection[str]) -> Cursor:
    """Return the cursor after reading the last snapshot of each Silver node that changed rows.

    `own` are the nodes whose last snapshot was made by a run with a recorded materialization. Another new snapshot was
    committed by another process (for example a quarantine replay). Mark the table and everything downstream as stale,
    so that Dagster records it.
    """
    others = {node for node, snapshot in commits.items() if snapshot != cursor.commits.get(node) and node not in own}
    return cursor.model_copy(
        update={
            "commits": {**cursor.commits, **commits},
            "stale": cursor.stale | others | graph.downstream(others),
        }
    )


def plan_run(
    graph: Graph, cursor: Cursor, pending: Pending, now: datetime, *, damaged: Collection[str] = ()
) -> Request | None:
    """Return the run to request now, or None if there is nothing to run.

    The oldest capture day comes first. A failing table is tried alone when its pause is over, so that it cannot delay
    another one. Until it succeeds the marts that read it are left out, also those that read it through another mart,
    and stay published as they are. So do the marts behind a failing mart until its pause is over. `damaged` are nodes
    whose table cannot be read: they and everything downstream wait until it can.
    """
    backing_off = {node for node, backoff in cursor.backoffs.items() if backoff.retry_at > now}
    failing = {node for node in cursor.backoffs if not is_mart(node)}
    unreadable = {*damaged, *graph.downstream(damaged)}
    retry = min(
        (node for node in failing - backing_off - unreadable if pending.get(node) or node in cursor.stale), default=None
    )
    if retry is not None:
        start, failing = {retry}, failing - {retry}
    else:
        start = {node for node in graph.tables if pending.get(node)} | cursor.stale
    left_out = (
        unreadable | backing_off | graph.with_marts_over(failing | {node for node in backing_off if is_mart(node)})
    )
    days = [day for node in start - left_out for day in pending.get(node, {})]
    day = min(days, default=now.date())
    oldest = {node: names[day][0] for node, names in pending.items() if node in start - left_out and day in names}
    start = (start & (set(oldest) | cursor.stale)) - left_out
    nodes = (start | graph.downstream(start)) - left_out
    if not nodes:
        return None
    ordered = tuple(node for node in graph.upstream if node in nodes)
    return Request(key=_key(cursor, day, ordered, pending), day=day, nodes=ordered, oldest_pending=oldest)


def _key(cursor: Cursor, day: date, nodes: Sequence[str], pending: Pending) -> str:
    """Return the request's key. Dagster launches a key once, so another attempt needs another key."""
    objects = {node: names[day] for node, names in pending.items() if day in names}
    asked = (
        nodes,
        [(node, len(names), names[0], names[-1]) for node, names in sorted(objects.items()) if node in nodes],
        [(node, backoff.failures) for node, backoff in sorted(cursor.backoffs.items())],
        sorted(cursor.materializations.items()),
        sorted(cursor.commits.items()),
    )
    return f"{day}/{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}"
