"""The Dagster entry point: assembles the definitions of one domain, nothing else.

Importing it reads nothing. When Dagster calls `defs`, the files of one domain are read: the one that MEDALLION_DOMAIN
names, or the shipped one. No client is made, nothing is listed.
"""

from __future__ import annotations

import os
import warnings

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the domain. Raises ContractError or MartError naming file and field."""
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.defs.automation import new_day_sensor
    from medallion_assets.defs.bronze import bronze_asset, source_spec
    from medallion_assets.defs.gold import gold_asset
    from medallion_assets.defs.health import health_sensor
    from medallion_assets.defs.ledger import ledger_sensor
    from medallion_assets.defs.maintenance import maintenance_schedule
    from medallion_assets.defs.reconciliation import reconciliation_asset, reconciliation_schedule
    from medallion_assets.defs.resources import pipeline
    from medallion_assets.defs.retention import retention_schedule
    from medallion_assets.defs.sensors import arrivals_sensor
    from medallion_assets.defs.silver import silver_asset
    from medallion_assets.gold.spec import load_marts

    domain = load_domain(os.environ.get("MEDALLION_DOMAIN", "ecommerce"))
    marts = load_marts(domain)
    with warnings.catch_warnings():
        # Partitioned checks are marked preview and backfill policies beta in the pinned version; both are tested.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.Definitions(
            assets=[
                *(source_spec(contract) for contract in domain.tables),
                *(bronze_asset(contract, domain) for contract in domain.tables),
                *(silver_asset(contract, domain) for contract in domain.tables),
                *(gold_asset(mart, domain) for mart in marts),
                *(reconciliation_asset(contract, domain) for contract in domain.tables),
            ],
            sensors=[
                arrivals_sensor(domain, marts),
                new_day_sensor(),
                ledger_sensor(domain, marts),
                health_sensor(domain, marts),
            ],
            schedules=[maintenance_schedule(domain, marts), retention_schedule(), reconciliation_schedule()],
            resources={"pipeline": pipeline},
            # One process per run: a run is short, and starting a process per step would cost more than its work.
            executor=dg.in_process_executor,
        )
