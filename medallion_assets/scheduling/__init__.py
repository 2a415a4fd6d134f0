"""Scheduling: which tables and marts the next run takes, and when a failed one is tried again.

Belongs here: the plan, and reading what it needs from the lake and from Bronze. Does not belong here: Dagster (defs).
"""
