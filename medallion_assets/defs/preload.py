"""Imported once by the process that runs are forked from: everything a run imports, and the definitions loaded once.

Nothing here may start a thread or open a connection: a fork would not have the one and must not share the other.
"""

import gc

import dagster._cli
import dagster._daemon.cli  # noqa: F401 - the main module of the daemon, which a fork looks at again

import medallion_assets.gold.refresh
import medallion_assets.silver.batches  # noqa: F401
from medallion_assets.definitions import defs

defs()
# The collector would touch, and so copy, every page a fork shares with this process.
gc.collect()
gc.freeze()
