"""The expressions that mean the same in Trino and in DuckDB, each with the type that Trino gives it.

Belongs here: the one list of what a mart's SQL may contain, put together from the families, and why the best-known
others are refused. Does not belong here: one expression's type (families), how DuckDB is made to compute it (exact).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from medallion_assets.engines.families import (
    aggregates,
    casts,
    conditions,
    json_paths,
    nested,
    numbers,
    patterns,
    sources,
    text,
    times,
    values,
)
from medallion_assets.errors import MartError

FUNCTIONS: Final = {
    name: rule for family in (aggregates, json_paths, times) for name, (rule, _) in family.FUNCTIONS.items()
}
"""Functions that sqlglot has no class for, by name, with the function that derives their Trino type."""


def _function(node: exp.Anonymous) -> Any:
    rule = FUNCTIONS.get(node.name.lower())
    if rule is None:
        raise MartError(refusal(node))
    return rule(node)


EXPRESSIONS: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    **values.TYPES,
    **conditions.TYPES,
    **numbers.TYPES,
    **text.TYPES,
    **patterns.TYPES,
    **times.TYPES,
    **casts.TYPES,
    **nested.TYPES,
    **json_paths.TYPES,
    **aggregates.TYPES,
    **sources.TYPES,
    exp.Mul: lambda node: times.type_of_product(node, numbers.type_of_product),
    exp.Anonymous: _function,
}
"""Each expression that a mart may use, with the function that derives its Trino type from its typed parts."""

STRUCTURE: frozenset[type[exp.Expr]] = frozenset(
    {
        *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Distinct),
        *(exp.With, exp.CTE, exp.Table, exp.TableAlias, exp.Identifier, exp.Column, exp.Star, exp.Values),
        *(exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.Var, exp.Tuple, exp.WindowSpec),
        *(exp.Union, exp.Except, exp.Intersect, exp.Limit, exp.Fetch, exp.LimitOptions, exp.Offset),
        *(exp.Rollup, exp.Cube, exp.GroupingSets),
        *(exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript),
    }
)
"""The parts of a SELECT that are not values."""

_APPROXIMATE: Final = "its value may differ in every run"
_LAST_DIGIT: Final = "its last digit differs between the engines"
_ORDER: Final = "it depends on the order of the rows"

REFUSALS: Final[dict[str, str]] = {
    "ApproxDistinct": f"{_APPROXIMATE}; use count(DISTINCT ...)",
    "ApproxQuantile": f"{_APPROXIMATE}; number the rows with row_number() and take the one in the middle",
    "PercentileCont": "Trino has no exact percentile; number the rows with row_number() and take the one in the middle",
    "PercentileDisc": "Trino has no exact percentile; number the rows with row_number() and take the one in the middle",
    "AnyValue": f"{_ORDER}; use min, max or min_by with a key",
    "Stddev": f"{_ORDER}; sum decimals: SUM(x * x) and SUM(x)",
    "StddevSamp": f"{_ORDER}; sum decimals: SUM(x * x) and SUM(x)",
    "StddevPop": f"{_ORDER}; sum decimals: SUM(x * x) and SUM(x)",
    "Variance": f"{_ORDER}; sum decimals: SUM(x * x) and SUM(x)",
    "VariancePop": f"{_ORDER}; sum decimals: SUM(x * x) and SUM(x)",
    "Ln": _LAST_DIGIT,
    "Log": _LAST_DIGIT,
    "Exp": _LAST_DIGIT,
    "Cbrt": _LAST_DIGIT,
    "Try": "the engines fail in different places; use TRY_CAST, or NULLIF for a divisor that may be 0",
    "JSONExtract": "the engines write numbers in JSON differently; use json_extract_scalar for each value",
    "ParseJSON": "the engines write numbers in JSON differently; use json_extract_scalar for each value",
    "JSONFormat": "the engines write numbers in JSON differently; use json_extract_scalar for each value",
    "JSONValue": "use json_extract_scalar",
    "Any": "use IN (SELECT ...)",
    "All": "use NOT IN (SELECT ...) or NOT EXISTS",
    "MapKeys": "a map has no order; use UNNEST(map) AS t (key, value), or element_at(map, key) IS NOT NULL",
    "Lambda": "functions of functions are not known to be the same; use UNNEST and aggregate again",
    "Transform": "use UNNEST and aggregate again",
    "ArrayFilter": "use UNNEST and WHERE",
    "Reduce": "use UNNEST and an aggregate",
    "TableSample": f"{_APPROXIMATE}; use WHERE",
    "Lateral": "use a subquery with JOIN",
    "Pivot": "use aggregates with FILTER",
    "map_keys": "a map has no order; use UNNEST(map) AS t (key, value), or element_at(map, key) IS NOT NULL",
    "map_values": "a map has no order; use UNNEST(map) AS t (key, value)",
    "histogram": "a map has no order; use GROUP BY and count(*)",
    "map_agg": "a map has no order; use GROUP BY",
    "approx_most_frequent": f"{_APPROXIMATE}; use GROUP BY and count(*)",
    "checksum": "DuckDB has none; use count(*) and sums",
    "geometric_mean": f"{_ORDER} and {_LAST_DIGIT}",
    "format": "use || and CAST(... AS varchar)",
    "format_datetime": "use date_format",
    "parse_datetime": "use date_parse",
    "any_match": "use UNNEST and bool_or",
    "all_match": "use UNNEST and bool_and",
    "none_match": "use UNNEST and bool_or",
}
"""Why an expression is refused and what to write, by sqlglot's class or by the function's name."""


def refusal(node: exp.Expr) -> str:
    """Return why an expression that is not on the list is refused, and the way out."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__
    if known := REFUSALS.get(name):
        return known
    what = f"the function {name}" if isinstance(node, exp.Anonymous) else name
    return (
        f"{what} is not known to give the same result in Trino and DuckDB; use another expression "
        "(docs/reference/mart.md lists them)"
    )
