"""Trino and Spark themselves, beside DuckDB and pyiceberg, on tables that this project wrote. `make test-engines`.

Belongs here: the engines (found, downloaded, started, asked) and what only they can show. Does not belong here: a test
that needs no Java; those are in the rooms' own folders.
"""
