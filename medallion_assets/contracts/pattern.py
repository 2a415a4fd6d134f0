"""Check the pattern of a rule. DuckDB applies it, so it is a regular expression of RE2.

https://github.com/google/re2/wiki/Syntax: no look-ahead and no back references.
"""

from __future__ import annotations

from functools import cache


@cache
def pattern_mistake(pattern: str) -> str:
    """Return what is wrong with a pattern; an empty text if nothing is. The first call takes some milliseconds."""
    import duckdb

    with duckdb.connect() as engine:
        quoted = pattern.replace("'", "''")
        try:
            engine.execute(f"SELECT regexp_full_match('', '{quoted}')")
        except (duckdb.Error, UnicodeEncodeError) as refused:
            return str(refused).strip().splitlines()[0].removeprefix("Invalid Input Error: ")
    return ""
