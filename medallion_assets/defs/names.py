"""What things are called in Dagster: keys, groups, pools, jobs; and the daily partitions and the clock all share.

Belongs here: names, and what follows from a contract alone. Does not belong here: definitions that bear the names.

A key is `layer/table`, below the prefix of the domain; a step's name is its key with `__`; every table of the lake has
a pool, so that it has one writer at a time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, get_args

import dagster as dg

from medallion_assets.contracts.model import Contract
from medallion_assets.engines.names import schema_and_table

Layer = Literal["dynamodb", "bronze", "silver", "gold", "reconciliation"]

_OPS_WRITERS: Final = {"gaps": "ledger", "checks": "health"}
"""By table of `ops`: the asset that writes it, where that has another name."""

_PART: Final = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Names:
    """What the definitions of one domain are called in their code location.

    Two domains in one code location need different prefixes: everything that has a name there starts with the prefix.
    With a `group_name` all assets of the domain are in that group; without one each layer is a group.
    """

    key_prefix: tuple[str, ...] = ()
    group_name: str | None = None

    def __post_init__(self) -> None:
        for part in (*self.key_prefix, *([self.group_name] if self.group_name is not None else [])):
            if not _PART.fullmatch(part):
                raise ValueError(f"{part!r} cannot be part of a key or a group: expected letters, digits and _ only")

    @property
    def resource_key(self) -> str:
        """The key of the domain's resource."""
        return self.definition("medallion")

    def asset_key(self, layer: Layer | Literal["raw", "backfill", "ops", "live"], table: str) -> dg.AssetKey:
        """Return the key of a table in a layer, or of the asset that writes tables about the pipeline."""
        return dg.AssetKey([*self.key_prefix, layer, table])

    def site_key(self, domain: str) -> dg.AssetKey:
        """Return the key of a domain's site."""
        return dg.AssetKey([*self.key_prefix, "site", domain])

    def input_key(self, name: str) -> dg.AssetKey:
        """Return the key of what a mart reads, by its name in the mart's query (engines.names)."""
        return dg.AssetKey([*self.key_prefix, *schema_and_table(name)])

    def node_key(self, node: str) -> dg.AssetKey:
        """Return the key of a node of the planner, such as `silver/orders`."""
        return dg.AssetKey([*self.key_prefix, *node.split("/")])

    def layer_and_table(self, key: dg.AssetKey) -> tuple[str, str] | None:
        """Return the layer and the table of a key; None for an asset that is not of a layer of this domain."""
        *prefix, layer, table = ["", "", *key.path]
        ours = prefix == ["", "", *self.key_prefix] and layer in get_args(Layer)
        return (layer, table) if ours else None

    def step_node(self, step_key: str) -> str | None:
        """Return the planner's node of an asset's step: `silver/orders`; None for a step of anything else."""
        prefix = "".join(f"{part}__" for part in self.key_prefix)
        layer, _, table = step_key.removeprefix(prefix).partition("__")
        ours = step_key.startswith(prefix) and layer in get_args(Layer) and table
        return f"{layer}/{table}" if ours else None

    def group(self, layer: Literal["source", "raw", "backfill", "ops", "site", "live"] | Layer) -> str:
        """Return the group of a layer's assets."""
        return self.group_name or self.definition(layer)

    def pool(
        self,
        layer: Layer | Literal["raw", "backfill", "deleted", "history", "quarantine", "ops", "site", "live"],
        table: str,
    ) -> str:
        """Return the pool that lets one step at a time write the table.

        A step has one pool. So tables of `ops` that one asset writes share the pool of that asset, and the deleted keys
        and the history share that of their Silver table.
        """
        writer = "silver" if layer in ("deleted", "history") else layer
        return "/".join([*self.key_prefix, writer, _OPS_WRITERS.get(table, table) if layer == "ops" else table])

    def definition(self, name: str) -> str:
        """Return the name of a sensor, schedule, job, op or resource."""
        return "_".join([*self.key_prefix, name])


def daily(since: date) -> dg.DailyPartitionsDefinition:
    """Return one partition per UTC day, from `since` to today (which has begun, so it is there)."""
    return dg.DailyPartitionsDefinition(start_date=since.isoformat(), timezone="UTC", end_offset=1)


def code_version(contract: Contract) -> str:
    """Return a fingerprint of the contract: another one means that rows may come out differently."""
    return hashlib.sha256(contract.model_dump_json().encode()).hexdigest()[:16]


def utc_now() -> datetime:
    """Return the current time, aware."""
    return datetime.now(UTC)
