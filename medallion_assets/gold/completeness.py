"""Up to when a mart is complete: what its refresh records, and the rule that follows from it.

Belongs here: marts. Does not belong here: up to when a Silver table is complete (ledger), the check of it
(ledger.completeness_check).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Self

from pyiceberg.table import Table

from medallion_assets.engines.names import schema_and_table
from medallion_assets.gold.changes import InputVersions, unread_snapshots
from medallion_assets.gold.spec import Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.offset import FollowerOffset, read_properties

COMPUTED_AT: Final = "medallion.computed-at"
INPUTS_COMPLETE_TO: Final = "medallion.inputs-complete-to"


@dataclass(frozen=True)
class Computation:
    """The last time that a mart was brought up to date with its inputs; table properties of the mart.

    `at`: when the refresh began, aware UTC. `inputs_complete_to`: up to when each input (Mart.inputs) was complete
    then, None if that was not known. The mart's rows contain all of it, because Silver loses nothing.
    """

    at: datetime
    inputs_complete_to: Mapping[str, datetime | None]

    @classmethod
    def recorded(cls, table: Table) -> Self | None:
        """Return what the last published refresh recorded; None before the first."""
        at = table.properties.get(COMPUTED_AT)
        if at is None:
            return None
        times = json.loads(table.properties[INPUTS_COMPLETE_TO])
        return cls(
            datetime.fromisoformat(at),
            {name: datetime.fromisoformat(text) if text else None for name, text in times.items()},
        )

    def to_properties(self) -> dict[str, str]:
        """Return it as table properties."""
        times = {name: at.isoformat() if at else None for name, at in self.inputs_complete_to.items()}
        return {COMPUTED_AT: self.at.isoformat(), INPUTS_COMPLETE_TO: json.dumps(times, sort_keys=True)}


def read_inputs_complete_to(lake: Lake, mart: Mart) -> dict[str, datetime | None]:
    """Return up to when each input of a mart is complete: a Silver table by the last pass of the ledger, another mart
    by what it was computed from. Raises LakeUnavailable."""
    properties = read_properties(lake)
    tables = {name: FollowerOffset.read(properties, name).complete_to for name in mart.tables}
    marts = read_complete_to(lake, list(mart.upstream.values()), tables)
    known = tables | {name: marts[upstream.name] for name, upstream in mart.upstream.items()}
    return {name: known[name] for name in mart.inputs}


def complete_to(
    inputs: Sequence[str],
    computation: Computation | None,
    *,
    unread: Collection[str],
    now_complete_to: Mapping[str, datetime | None],
) -> datetime | None:
    """Return up to when a mart over these inputs is complete; None if that is not known.

    An input is as complete in the mart as it is now, unless the mart has not read its newest rows (`unread`); then it
    is as complete as it was when the mart was computed. No mart is complete beyond that time.
    """
    if computation is None:
        return None
    times = [computation.inputs_complete_to.get(name) if name in unread else now_complete_to[name] for name in inputs]
    known = [at for at in times if at is not None]
    return min([computation.at, *known]) if len(known) == len(times) else None


def published_complete_to(
    mart: Mart,
    gold: Table | None,
    inputs: Mapping[str, Table | None],
    now_complete_to: Mapping[str, datetime | None],
) -> datetime | None:
    """Return up to when the mart is complete as published; None if that is not known.

    `gold` is its table, `inputs` are the tables that it reads. `now_complete_to`, of each input, has to be read before
    all of these: otherwise it may count rows that came after them.
    """
    if gold is None:
        return None
    unread = unread_snapshots(InputVersions.recorded(gold), {name: inputs[name] for name in mart.inputs})
    return complete_to(mart.inputs, Computation.recorded(gold), unread=unread, now_complete_to=now_complete_to)


def read_complete_to(
    lake: Lake, marts: Sequence[Mart], now_complete_to: Mapping[str, datetime | None]
) -> dict[str, datetime | None]:
    """Return by mart up to when it is complete as published, by what is known of its Silver tables.

    Raises LakeUnavailable.
    """
    times = dict(now_complete_to)
    # One handle per table: a mart is as complete as the rows of it that another mart is compared with.
    table = cache(lambda name: lake.find(*schema_and_table(name)))

    def complete(mart: Mart) -> datetime | None:
        if mart.input_name not in times:
            for upstream in mart.upstream.values():
                complete(upstream)
            inputs = {name: table(name) for name in mart.inputs}
            times[mart.input_name] = published_complete_to(mart, table(mart.input_name), inputs, times)
        return times[mart.input_name]

    return {mart.name: complete(mart) for mart in marts}
