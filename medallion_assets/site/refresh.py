"""Refresh a site: read the numbers and the state of the marts, and write both.

Belongs here: what is read, in which order. Does not belong here: when it happens (defs, cli), how it is written
(write).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.gold.spec import Mart
from medallion_assets.health.status import read_status
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.status import read_completeness
from medallion_assets.panels.default_dashboard import all_dashboards
from medallion_assets.panels.document import read_document
from medallion_assets.panels.query import titled
from medallion_assets.panels.state import mart_states
from medallion_assets.site.place import SitePlace
from medallion_assets.site.write import Written, write_site

POLL_SECONDS: Final = 10.0
"""How often a reader asks for the pointer: 360 requests an hour, most of them answered with 304."""


def refresh_site(
    lake: Lake,
    store: BronzeStore,
    domain: Domain,
    marts: Sequence[Mart],
    place: SitePlace,
    *,
    dagster_url: str | None,
    now: datetime,
) -> Written:
    """Write the numbers that are published now to a site.

    The states are read before the numbers, so that they never say that the numbers are newer than they are. In `marts`
    each comes after those that it reads; `now` is aware UTC. Raises ContractError, MartError, SettingsError,
    LakeUnavailable.
    """
    by_name = {mart.name: mart for mart in marts}
    dashboards = all_dashboards(domain, by_name)
    completeness = read_completeness(lake, [contract.lake_name for contract in domain.tables])
    status = read_status(lake, store, domain, marts, completeness=completeness, now=now)
    states = mart_states(status, by_name, dagster_url=dagster_url)
    document = read_document(lake, by_name, dashboards, title=titled(domain.name), now=now)
    return write_site(place, document, states, now=now, poll_seconds=POLL_SECONDS)
