"""The pipeline's health as data: `ops.health` and `ops.checks`, so that dashboards and alerts need the lake only.

Belongs here: what the two tables say and how they are brought up to date by a look. Does not belong here: when to look
and what Dagster knows of runs (defs), how numbers are drawn (grafana).
"""
