"""Imported once by the process that runs are forked from: what a run of any domain imports.

Belongs here: imports, and what else is read once. A domain is not loaded: which one a run is of, the run knows, and
loading it takes 0.3 s. Nothing here may start a thread or open a connection: a fork would not have the one and must not
share the other.
"""

import gc

import sqlglot.lineage  # noqa: F401

import medallion_assets.defs.build
import medallion_assets.gold.refresh
import medallion_assets.health.collect
import medallion_assets.ledger.update
import medallion_assets.silver.batches  # noqa: F401
from medallion_assets.defs.dagster_private import import_command_line
from medallion_assets.lake.aws import read_descriptions

import_command_line()
read_descriptions()
# The collector would touch, and so copy, every page a fork shares with this process.
gc.collect()
gc.freeze()
