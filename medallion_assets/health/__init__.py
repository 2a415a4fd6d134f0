"""Health of the pipeline as data: `ops.health` and `ops.checks`, so that dashboards and alerts need only the lake.

Belongs here: the rows of the two tables, and the status of tables and marts. Does not belong here: when an observation
is made and reading runs from Dagster (defs), drawing numbers (grafana).
"""
