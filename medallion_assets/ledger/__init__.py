"""The ledger: what Bronze holds of every shard, which of it each Silver table contains, and where something is missing.

Belongs here: the tables `ops.ledger` (one row per Bronze object) and `ops.gaps` (one row per gap), bringing them up to
what Bronze and Silver say, and what follows: complete up to when, or in need of a backfill. Does not belong here: how
data gets into Silver (it never waits for the ledger), repair (quality), when to look (defs).

Nothing here is known only here. Rows follow Silver's commits and are made up after a crash from what Silver published.
"""
