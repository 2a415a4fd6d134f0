"""Names in the lake: the snake_case rule, the check that a name is safe in SQL, and names of owners."""

from __future__ import annotations

import re
from functools import cache

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,126}\Z")
_MAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
_TEAM = re.compile(r"team:\S.*")
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@cache
def snake_case(attribute: str) -> str:
    """Return the lake's name for an attribute or table: `CustomerID` -> `customer_id`, `HTMLBody` -> `html_body`.

    Everything that is not a letter or digit becomes one underscore. The result may still not be an identifier
    (as for an attribute `2nd`); `identifier` checks that.
    """
    parts = re.split(r"[^0-9A-Za-z]+", _WORD_STARTS.sub("_", attribute))
    return "_".join(part for part in parts if part).lower()


def identifier(name: str) -> str:
    """Return `name` if every engine can use it: a lower-case letter, then lower-case letters, digits, underscores.

    A leading underscore is reserved for the columns that this package adds and for Iceberg's metadata columns: `_file`,
    `_pos`, `_deleted`, `_spec_id`, `_partition`, `_row_id`, `_last_updated_sequence_number`, ... Spark refuses to read
    a table that has a column of such a name. Upper case is refused because some engines ignore case and others do not.
    A reserved word of SQL is accepted, because engines accept it in quotes. Raises ValueError.
    """
    if not _IDENTIFIER.match(name):
        reserved = "; a leading underscore is for columns of Iceberg and of this package" * name.startswith("_")
        raise ValueError(
            f"{name!r:.160} is not a name for the lake; expected a lower-case letter followed by at most 126 "
            f"lower-case letters, digits or underscores{reserved} (give one with `rename` or `name`)"
        )
    return name


def owner(name: str) -> str:
    """Return `name` if Dagster accepts it as an owner: an e-mail address or `team:name`. Raises ValueError."""
    if not _MAIL.fullmatch(name) and not _TEAM.fullmatch(name):
        raise ValueError(f"owner {name!r:.80}: expected an e-mail address or team:name")
    return name
