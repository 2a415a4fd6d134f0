"""The Dagster code location of one domain: MEDALLION_DOMAIN, the current folder's own, or the shipped one.

Importing it reads nothing. When Dagster calls `defs`, the files of the domain are read. A project with assets of its
own has a code location of its own, with `build_defs` or the component in it.
"""

from __future__ import annotations

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the domain. Raises ContractError or MartError naming file and field, SettingsError."""
    from medallion_assets.contracts.loader import default_domain, load_domain, with_configured_since
    from medallion_assets.defs.build import build_defs
    from medallion_assets.defs.executor import side_by_side_executor

    # One process per run: a run is short, and starting a process per step would cost more than its work.
    domain = with_configured_since(load_domain(default_domain()))
    return dg.Definitions.merge(build_defs(domain), dg.Definitions(executor=side_by_side_executor))
