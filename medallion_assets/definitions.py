"""The Dagster code location of one domain: the one that MEDALLION_DOMAIN names, or the shipped one.

Importing it reads nothing. When Dagster calls `defs`, the files of the domain are read. A project with assets of its
own has a code location of its own, with `build_defs` or the component in it.
"""

from __future__ import annotations

import os

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the domain. Raises ContractError or MartError naming file and field."""
    from medallion_assets.defs.build import build_defs

    domain = os.environ.get("MEDALLION_DOMAIN", "ecommerce")
    # One process per run: a run is short, and starting a process per step would cost more than its work.
    return dg.Definitions.merge(build_defs(domain), dg.Definitions(executor=dg.in_process_executor))
