"""The ledger: what Bronze contains of every shard, which of it each Silver table contains, and what is missing.

Belongs here: the tables `ops.ledger` (one row per Bronze object) and `ops.gaps` (one row per gap), updating them from
Bronze and Silver, and what follows: up to when a table is complete, or that it needs a backfill. Does not belong here:
merging data into Silver (which never waits for the ledger), the repair, and when the ledger is updated (defs).

The ledger holds nothing that could not be computed again: after a crash, rows are made from what Silver published.
"""
