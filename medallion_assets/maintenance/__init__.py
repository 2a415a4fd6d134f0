"""Maintenance: every table of a domain stays fast to read and small in metadata; no row changes.

Belongs here: which tables there are and which snapshots other tables still refer to. Does not belong here: compaction,
expiry and removal of orphan files of one table (lake.maintenance), or when it runs (defs).
"""
