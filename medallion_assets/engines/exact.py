"""Rewrite a typed SELECT in Trino's dialect so that DuckDB computes the same values, to the last digit.

Belongs here: walking the tree, and the macros that rewritten SQL calls. Does not belong here: what one expression is
rewritten to (families).
"""

from __future__ import annotations

import re
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
from medallion_assets.engines.rewriting import outermost
from medallion_assets.errors import MartError

_MACROS: Final[dict[str, str]] = {
    name: f"CREATE MACRO {name}{statement}"
    for part in (numbers, text, times, casts, nested, json_paths, aggregates)
    for name, statement in re.findall(r"CREATE MACRO (\w+)(.*?;)\n", part.MACROS, re.DOTALL)
}
"""Macros that rewritten SQL calls, by name; each calls only earlier ones."""
_CALLED: Final = {name: set(re.findall(r"\b(\w+)\(", statement)) - {name} for name, statement in _MACROS.items()}


def macros_of(sql: str) -> dict[str, str]:
    """Return name -> statement of the macros that SQL in DuckDB's dialect calls, in the order to create them.

    One takes 0.6 ms to create, so a catalog has only those that it needs.
    """
    called = set(re.findall(r"\b(\w+)\(", sql.lower()))
    for name in reversed(_MACROS):
        if name in called:
            called |= _CALLED[name]
    return {name: statement for name, statement in _MACROS.items() if name in called}


_FUNCTIONS = {**aggregates.FUNCTIONS, **json_paths.FUNCTIONS, **times.FUNCTIONS}


def make_exact(tree: exp.Expr) -> None:
    """Rewrite a typed tree in place. An expression whose types are unknown stays as it is."""
    for node in reversed(list(tree.walk())):  # children before their parents
        rewrite = _REWRITES.get(type(node))
        if rewrite is None:
            continue
        try:
            new = rewrite(node)
        except MartError:  # no common type: possible only in a user's own query; a mart with one was refused
            continue
        if new is not None:
            # A rewritten aggregate brings copies of its FILTER and OVER, so it takes the place of them all.
            old = outermost(node)
            new.type = node.type
            old.replace(new)


def _function(node: exp.Anonymous) -> exp.Expr | None:
    _, rewrite = _FUNCTIONS.get(node.name.lower(), (None, None))
    return rewrite(node) if rewrite is not None else None


_REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    **values.REWRITES,
    **conditions.REWRITES,
    **numbers.REWRITES,
    **text.REWRITES,
    **patterns.REWRITES,
    **times.REWRITES,
    **casts.REWRITES,
    **nested.REWRITES,
    **json_paths.REWRITES,
    **aggregates.REWRITES,
    **sources.REWRITES,
    exp.Add: lambda node: times.rewrite_sum(node, numbers.rewrite_plus),
    exp.Sub: lambda node: times.rewrite_sum(node, numbers.rewrite_plus),
    exp.Anonymous: _function,
}
