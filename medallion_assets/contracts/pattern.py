"""Patterns of rules in the dialect of the engine that applies them: RE2, as DuckDB has it.

https://github.com/google/re2/wiki/Syntax: no look-ahead and no back references.
"""

from __future__ import annotations

from functools import cache


@cache
def pattern_mistake(pattern: str) -> str:
    """Return what is wrong with a pattern, or nothing. Takes some milliseconds for the first one."""
    import duckdb

    with duckdb.connect() as engine:
        quoted = pattern.replace("'", "''")
        try:
            engine.execute(f"SELECT regexp_full_match('', '{quoted}')")
        except (duckdb.Error, UnicodeEncodeError) as refused:
            return str(refused).strip().splitlines()[0].removeprefix("Invalid Input Error: ")
    return ""
