"""What the lake has otherwise than the domain's files declare it: tables and marts that run without a new object.

Files come into force with a new process of the code location, so a process compares once.

Belongs here: which nodes. Does not belong here: what a changed contract makes of rows (silver.fill), changed SQL of a
mart's rows (gold).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from medallion_assets.contracts.loader import Domain
from medallion_assets.engines.names import schema_and_table
from medallion_assets.errors import LakeDamaged

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart
    from medallion_assets.lake.catalog import Lake


def otherwise_declared(lake: Lake, domain: Domain, marts: Iterable[Mart]) -> frozenset[str]:
    """Return the nodes whose rows a run makes other ones although nothing changed at the source.

    A table has rows that an earlier contract read; a mart was computed by other SQL, or never, although what it reads
    is there. Raises LakeUnavailable.
    """
    from medallion_assets.gold.changes import InputVersions
    from medallion_assets.gold.spec import GOLD
    from medallion_assets.silver.fill import needs_fill
    from medallion_assets.silver.table import SILVER

    named = {mart.name: mart for mart in marts}
    silver = lake.find_all(SILVER, list(domain.by_name))
    gold = lake.find_all(GOLD, list(named)) if named else {}
    found, there = set(), set()
    for name, table in silver.items():
        if table is not None and not isinstance(table, LakeDamaged):
            there.add(f"{SILVER}/{name}")
            if needs_fill(table, domain.by_name[name]):
                found.add(f"{SILVER}/{name}")
    for name, mart in named.items():  # a mart comes after those that it reads
        table = gold[name]
        if isinstance(table, LakeDamaged) or not there.issuperset(
            "/".join(schema_and_table(one)) for one in mart.inputs
        ):
            continue
        there.add(f"{GOLD}/{name}")
        versions = InputVersions.recorded(table) if table is not None else None
        if versions is None or versions.code_version != mart.code_version:
            found.add(f"{GOLD}/{name}")
    return frozenset(found)
