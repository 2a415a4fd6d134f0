"""Engines: run a SELECT in Trino's dialect over a lake.

Belongs here: parsing, checking and typing the SQL, the rewrite that makes DuckDB compute the same values, and the
DuckDB session that runs it. Does not belong here: marts (gold), Dagster (defs).
"""
