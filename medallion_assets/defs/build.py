"""`build_defs`: the Dagster definitions of one domain, for any code location.

Belongs here: which definitions a domain has. Does not belong here: what they do, and where a domain is named
(`medallion_assets.definitions`, the component).
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.defs.automation import new_day_sensor
from medallion_assets.defs.backfill import backfill_asset, backfilled_tables
from medallion_assets.defs.bronze import bronze_asset, source_spec
from medallion_assets.defs.dropped import dropped_sensor, dropped_tables, raw_asset
from medallion_assets.defs.gold import gold_asset, gold_checks
from medallion_assets.defs.health import health_asset
from medallion_assets.defs.ledger import ledger_asset
from medallion_assets.defs.live import live_asset, live_schedule
from medallion_assets.defs.maintenance import maintenance_schedule
from medallion_assets.defs.names import Names
from medallion_assets.defs.observe import observe_schedule
from medallion_assets.defs.reconciliation import reconciliation_asset, reconciliation_schedule
from medallion_assets.defs.resources import MedallionResource
from medallion_assets.defs.retention import retention_schedule
from medallion_assets.defs.sensors import arrivals_sensor
from medallion_assets.defs.silver import silver_asset, silver_checks
from medallion_assets.defs.site import site_asset
from medallion_assets.gold.spec import load_marts
from medallion_assets.live.counter_file import load_counters


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause Python's search for circles of garbage: loading makes none, and the search takes a sixth of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_without_garbage_collection()
def build_defs(
    domain: Domain | str | Path,
    *,
    key_prefix: str | Sequence[str] = (),
    group_name: str | None = None,
    resource: MedallionResource | None = None,
) -> dg.Definitions:
    """Return the definitions of a domain: its assets, checks, sensors, schedules and its resource.

    `domain` is the name of a shipped domain, the path of a folder with a `domain.yaml`, or a loaded Domain. Only these
    files are read: no client is made, no variable of the environment is read, nothing is listed.

    An asset's key is the prefix, the layer and the table: `gold/daily_sales`, or `shop/gold/daily_sales` with the
    prefix `shop`. Sensors, schedules, jobs, pools and the resource get the prefix, too, so two domains in one code
    location need two prefixes. `group_name` puts all assets of the domain into one group; without it each layer is one.

    `resource` says where the domain lives; without it the variables `MEDALLION_...` do. Raises ContractError or
    MartError, which name file and field, and ValueError for a prefix that cannot be part of a name.
    """
    loaded = domain if isinstance(domain, Domain) else load_domain(str(domain))
    marts, counters = load_marts(loaded), load_counters(loaded)
    names = Names((key_prefix,) if isinstance(key_prefix, str) else tuple(key_prefix), group_name)
    with warnings.catch_warnings():
        # Backfill policies are marked beta in the pinned version; they are tested.
        warnings.simplefilter("ignore", dg.BetaWarning)
        checks = [
            *(silver_checks(contract, loaded, names) for contract in loaded.tables),
            *(gold_checks(mart, loaded, names) for mart in marts),
        ]
        return dg.Definitions(
            assets=[
                *(source_spec(contract, names) for contract in loaded.tables),
                *(raw_asset(contract, names) for contract in dropped_tables(loaded)),
                *(backfill_asset(contract, names) for contract in backfilled_tables(loaded)),
                *(bronze_asset(contract, loaded, names) for contract in loaded.tables),
                *(silver_asset(contract, loaded, names) for contract in loaded.tables),
                *(gold_asset(mart, loaded, names) for mart in marts),
                *(reconciliation_asset(contract, loaded, names) for contract in loaded.tables),
                *(live_asset(counter, loaded, names) for counter in counters),
                ledger_asset(loaded, marts, names),
                health_asset(loaded, marts, names),
                *([site_asset(loaded, marts, names)] if marts else []),
            ],
            asset_checks=checks,
            sensors=[
                arrivals_sensor(loaded, marts, names, {key for one in checks for key in one.check_keys}),
                new_day_sensor(marts, names),
                *([dropped_sensor(loaded, names)] if dropped_tables(loaded) else []),
            ],
            schedules=[
                observe_schedule(loaded, marts, names),
                maintenance_schedule(loaded, marts, names),
                retention_schedule(names),
                *([live_schedule(counters, names)] if counters else []),
                reconciliation_schedule(loaded, names),
            ],
            resources={names.resource_key: resource or MedallionResource()},
        )
