"""Regular expressions: `regexp_like`, `regexp_extract`, `regexp_replace`.

Trino's Joni and DuckDB's RE2 are different languages. A pattern must be a literal and is admitted if it is made of what
both have; it is rewritten where they differ: `$` also stands before a newline at the end in Trino, and `\\s` has a
vertical tab.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from medallion_assets.engines.families.text import require_text
from medallion_assets.engines.rewriting import call, number, text
from medallion_assets.engines.types import of_kind
from medallion_assets.errors import MartError

_TOKEN: Final = re.compile(
    r"""(?P<class>\[\^?(?:\\[dwsDWS]|\\[^A-Za-z0-9]|\\[tnr]|[^\[\]\\&])+\])
      | (?P<escape>\\[dwsDWS]|\\[tnr]|\\[^A-Za-z0-9])
      | (?P<open>\((?:\?:)?(?!\?))
      | (?P<close>\))
      | (?P<repeat>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??(?![*+?{]))
      | (?P<or>\|)
      | (?P<start>\^)
      | (?P<end>\$)
      | (?P<plain>[^\\\[\](){}*+?|^$])""",
    re.VERBOSE,
)
_SPACES: Final = r"\t\n\x0b\f\r "


@dataclass(frozen=True)
class Pattern:
    """A pattern in RE2's syntax.

    - body: the pattern without `^` and `$` of its own kind
    - ends: whether it must reach the end of the text, or a newline there
    - groups: how many groups it has
    - optional: the groups that need not take part in a match
    """

    body: str
    ends: bool
    groups: int
    optional: frozenset[int]


def read_pattern(pattern: exp.Expr | None) -> Pattern:  # noqa: PLR0912 - one for each kind of part
    """Return a literal pattern in RE2's syntax. Raises MartError for what the engines read differently."""
    if not (isinstance(pattern, exp.Literal) and pattern.is_string and pattern.name):
        raise MartError("expected a literal pattern that is not empty")
    source, at, parts = pattern.name, 0, list[str]()
    groups, optional = 0, set[int]()
    open_groups: list[tuple[int | None, int]] = []  # number, and how many groups there were before it
    last: tuple[int, int] | None = None  # the groups inside what a quantifier would repeat
    ends = False
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None or ends:
            raise MartError(
                f"the pattern {source!r} has {source[at : at + 3]!r} at {at + 1}, which is not the same in both "
                "engines; use characters, classes like [a-z], groups, |, * + ? {n,m}, ^ at its start and $ at its end"
            )
        kind, part = str(found.lastgroup), found.group()
        if kind == "start" and at > 0:
            raise MartError(f"the pattern {source!r} has ^ at {at + 1}; expected it at the beginning only")
        if kind == "or":
            optional |= set(range(open_groups[-1][1] + 1 if open_groups else 1, groups + 1))
        at = found.end()
        if kind == "open":
            number_ = None if part == "(?:" else groups + 1
            open_groups.append((number_, groups + (number_ is not None)))
            groups += number_ is not None
        elif kind == "close":
            if not open_groups:
                raise MartError(f"the pattern {source!r} closes a group that is not open")
            number_, before = open_groups.pop()
            last = (number_ or before + 1, groups)
        elif kind == "repeat" and last is not None and part[0] in "*?{":
            optional |= set(range(last[0], last[1] + 1))
        if kind not in {"close"}:
            last = None
        ends = kind == "end"
        parts.append("" if ends else _translated(kind, part))
    if open_groups:
        raise MartError(f"the pattern {source!r} has a group that is not closed")
    body = "".join(parts)
    alternatives = _alternatives(source)
    if alternatives:
        optional |= set(range(1, groups + 1))
    if alternatives and (ends or source.startswith("^")):
        raise MartError(f"the pattern {source!r} has ^ or $ next to |; put the alternatives into a group: ^(?:a|b)$")
    try:
        re.compile(body)
    except re.error as broken:
        raise MartError(f"the pattern {source!r} is not readable: {broken}") from broken
    return Pattern(body, ends, groups, frozenset(optional))


def _alternatives(source: str) -> bool:
    """Return whether `|` stands outside of every group."""
    depth, at = 0, 0
    while found := _TOKEN.match(source, at):
        depth += (found.lastgroup == "open") - (found.lastgroup == "close")
        if found.lastgroup == "or" and depth == 0:
            return True
        at = found.end()
    return False


def _translated(kind: str, part: str) -> str:
    if kind == "class":
        if r"\S" in part:
            raise MartError(f"{part}: \\S inside of a class is not the same in both engines")
        return part.replace(r"\s", _SPACES)
    if kind == "escape":
        return {r"\s": f"[{_SPACES}]", r"\S": f"[^{_SPACES}]"}.get(part, part)
    return part


def _like(node: exp.RegexpLike) -> exp.DataType:
    require_text(node.this)
    read_pattern(node.expression)
    return of_kind(exp.DType.BOOLEAN)


def _extract(node: exp.RegexpExtract) -> exp.DataType:
    require_text(node.this)
    pattern, group = read_pattern(node.expression), _group(node)
    if group > pattern.groups:
        raise MartError(f"group {group} of a pattern with {pattern.groups}")
    if group in pattern.optional:
        raise MartError(f"group {group} need not take part in a match, which DuckDB does not tell; make it required")
    return of_kind(exp.DType.VARCHAR)


def _group(node: exp.RegexpExtract) -> int:
    group = node.args.get("group")
    if group is None:
        return 0
    if not (isinstance(group, exp.Literal) and group.is_int):
        raise MartError("expected a number as the group, not an expression")
    return int(group.name)


def _replaced(node: exp.RegexpReplace) -> exp.DataType:
    require_text(node.this)
    pattern = read_pattern(node.expression)
    if re.search(pattern.body, ""):
        raise MartError(
            f"{node.expression.sql('trino')} matches the empty text, which each engine replaces elsewhere; use + for *"
        )
    _replacement(node, pattern)
    return of_kind(exp.DType.VARCHAR)


def _replacement(node: exp.RegexpReplace, pattern: Pattern) -> str:
    """Return the replacement in RE2's syntax: `$1` is `\\1`."""
    found = node.args.get("replacement")
    if not (isinstance(found, exp.Literal) and found.is_string):
        raise MartError("expected a literal as the replacement")

    def translated(match: re.Match[str]) -> str:
        part = match.group()
        if re.fullmatch(r"\$\d", part) and int(part[1]) <= pattern.groups:
            return f"\\{part[1]}"
        if part in {r"\$", r"\\"}:
            return "$" if part == r"\$" else r"\\"
        raise MartError(f"the replacement has {part!r}; expected text, $0 to ${pattern.groups}, \\$ or \\\\")

    return re.sub(r"\$\d*|\\.?", translated, found.name)


def _rewrite_like(node: exp.RegexpLike) -> exp.Expr:
    pattern = read_pattern(node.expression)
    return call("regexp_matches", node.this.copy(), text(pattern.body + (r"\n?\z" if pattern.ends else "")))


def _rewrite_extract(node: exp.RegexpExtract) -> exp.Expr:
    pattern, group = read_pattern(node.expression), _group(node)
    body = pattern.body
    if pattern.ends:
        body, group = (f"({body})\\n?\\z", 1) if group == 0 else (f"{body}\\n?\\z", group)
    extracted = call("regexp_extract", node.this.copy(), text(body), number(group))
    return exp.If(this=call("regexp_matches", node.this.copy(), text(body)), true=extracted, false=exp.Null())


def _rewrite_replaced(node: exp.RegexpReplace) -> exp.Expr:
    pattern = read_pattern(node.expression)
    body, replacement = pattern.body, _replacement(node, pattern)
    if pattern.ends:
        body, replacement = f"{body}(\\n?)\\z", f"{replacement}\\{pattern.groups + 1}"
    return call("regexp_replace", node.this.copy(), text(body), text(replacement), text("g"))


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {
    exp.RegexpLike: _like,
    exp.RegexpExtract: _extract,
    exp.RegexpReplace: _replaced,
}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.RegexpLike: _rewrite_like,
    exp.RegexpExtract: _rewrite_extract,
    exp.RegexpReplace: _rewrite_replaced,
}
