"""Names in the lake: the snake_case rule and the check that a name is safe to stand in SQL. Nothing else."""

from __future__ import annotations

import re

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,126}\Z")
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(attribute: str) -> str:
    """The lake's name for an attribute or table: `CustomerID` -> `customer_id`, `HTMLBody` -> `html_body`.

    Everything that is not a letter or digit becomes one underscore. The result may still not be an identifier
    (an attribute `2nd`); `identifier` says so.
    """
    parts = re.split(r"[^0-9A-Za-z]+", _WORD_STARTS.sub("_", attribute))
    return "_".join(part for part in parts if part).lower()


def identifier(name: str) -> str:
    """`name` itself when it can stand in SQL unquoted: a lower-case letter, then letters, digits, underscores.

    A leading underscore is reserved for the columns this package adds. Raises ValueError.
    """
    if not _IDENTIFIER.match(name):
        raise ValueError(
            f"{name!r} is not a name for the lake; expected a lower-case letter followed by lower-case letters, "
            "digits or underscores (give one with `rename` or `name`)"
        )
    return name
