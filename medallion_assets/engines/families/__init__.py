"""The expressions that a mart may use, by family.

Belongs here: of each expression the type that Trino gives it (`TYPES`) and, where DuckDB would compute something else,
what it is rewritten to (`REWRITES`). An expression is admitted only if the differential suite shows both engines equal
in value and type, nulls and errors included. Does not belong here: names, order and what a SELECT may look like
(query, order).
"""
