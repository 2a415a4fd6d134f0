"""Dagster: assets, checks, the sensor, automation and resources over the pure rooms.

Belongs here: when something runs, what it is called, what Dagster shows of it. Does not belong here: how a table is
merged, audited or refreshed; those rooms do not know Dagster. Only this room and `definitions.py` import it.
"""
