"""Maintenance: keep every table of a domain fast to read and small in metadata, without changing a row.

Belongs here: which snapshots of a table other tables still refer to, and when past days of Bronze are copied. Does not
belong here: compaction, expiry and removal of orphan files of one table (lake.maintenance), the format of a copy
(bronze), or when it runs (defs).
"""
