"""Maintenance: keep every table of a domain fast to read and small in metadata, without changing a row.

Belongs here: which snapshots of a table other tables still refer to. Does not belong here: compaction,
expiry and removal of orphan files of one table (lake.maintenance), or when it runs (defs).
"""
