"""Tables at a tag in a user's query: `FROM silver.orders FOR DATE '2026-01-31'` or `... FOR VERSION AS OF 'tag'`.

The second is Trino's own. The first is ours and means the tag of that day. Each becomes a table whose name has the tag,
so that one query may read several days of a table.

Belongs here: the syntax, and how tags of days are named. Does not belong here: which snapshots get a tag (maintenance).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlglot import TokenType, exp, tokenize
from sqlglot.errors import SqlglotError

from medallion_assets.engines.nesting import refuse_recursion
from medallion_assets.engines.query import parse
from medallion_assets.errors import MartError

_TAG: Final = re.compile(r"day-(\d{4}-\d{2}-\d{2})", re.ASCII)


@dataclass(frozen=True)
class TaggedTable:
    """A table of a query at a tag; `name` is its own name in the query that `separate_tags` returns."""

    schema: str
    table: str
    tag: str

    @property
    def name(self) -> str:
        """The table's name with its tag."""
        return f"{self.table}@{self.tag}"


def tag_of_day(day: date) -> str:
    """Return the name of the tag of the snapshot that is the table at the end of this day."""
    return f"day-{day.isoformat()}"


def day_of_tag(tag: str) -> date | None:
    """Return the day that a tag is of; None for any other tag."""
    match = _TAG.fullmatch(tag)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def separate_tags(sql: str) -> tuple[str, frozenset[TaggedTable]]:
    """Return SQL in which a table at a tag is a table of its own, and these tables.

    SQL without them, or that cannot be read, is returned as it is. Raises MartError for a day that is none, and for a
    version that is no tag.
    """
    written = _with_days_as_tags(sql)
    try:
        with refuse_recursion():
            tree = parse(written)
    except MartError:
        return sql, frozenset()
    found = set()
    for table in tree.find_all(exp.Table):
        version = table.args.get("version")
        if version is None:
            continue
        tagged = _tagged(table, version)
        found.add(tagged)
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
        table.set("this", exp.to_identifier(tagged.name, quoted=True))
        table.set("version", None)
    return (tree.sql("trino"), frozenset(found)) if found else (sql, frozenset())


def unknown_tag(tagged: TaggedTable, known: Collection[str]) -> MartError:
    """Return the error for a tag that a table does not have."""
    days = sorted(day for tag in known if (day := day_of_tag(tag)) is not None)
    there_are = f"there are the days {days[0]} to {days[-1]}" if days else "it has no day"
    return MartError(
        f"{tagged.schema}.{tagged.table} has no snapshot {tagged.tag}: {there_are}. `daily_snapshots` of its contract "
        "or of domain.yaml says for how many days they stay; the maintenance after midnight adds yesterday's."
    )


def _with_days_as_tags(sql: str) -> str:
    """Return SQL with FOR VERSION AS OF in place of FOR DATE."""
    try:
        tokens = tokenize(sql, read="trino")
    except SqlglotError:
        return sql
    parts, end = [], 0
    for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False):
        kinds = (first.token_type, second.token_type, third.token_type)
        if kinds == (TokenType.FOR, TokenType.DATE, TokenType.STRING):
            parts += [sql[end : first.start], f"FOR VERSION AS OF '{tag_of_day(_day(third.text))}'"]
            end = third.end + 1
    return "".join([*parts, sql[end:]])


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MartError(f"FOR DATE {text!r:.80}: expected a day, '2026-01-31'") from None


def _tagged(table: exp.Table, version: exp.Expr) -> TaggedTable:
    name = version.args.get("expression")
    if version.name != "VERSION" or not isinstance(name, exp.Literal) or not name.is_string:
        raise MartError(
            f"{table.sql('trino')}: expected FOR DATE '2026-01-31', or FOR VERSION AS OF and a tag's name in quotes"
        )
    return TaggedTable(table.db, table.name, name.name)
