"""The text of a proposed contract: a file that a person reads, corrects and commits.

Belongs here: how it is written, with what was seen as comments. No value of an item is in it, but for the few values of
a column that has no others. Does not belong here: what is proposed (propose).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml

from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.names import snake_case
from medallion_assets.infer.propose import Proposal, ProposedContract

_SHAPES: Final = 2
_WIDTH: Final = 110
_COMMENT_AT: Final = 48


def contract_text(proposed: ProposedContract, *, owner: str) -> str:
    """Return the YAML text of a contract. Raises ValidationError if it is none, which is a mistake of this package."""
    text = "\n".join([*_head(proposed), *_body(proposed, owner)]) + "\n"
    Contract.model_validate(yaml.safe_load(text))
    return text


def _head(proposed: ProposedContract) -> Iterator[str]:
    sample, seen = proposed.sample, proposed.seen
    of = f" of some {sample.size:,}" if sample.size is not None and sample.size > seen.items else ""
    items = f"{seen.items:,} item{'s' * (seen.items != 1)}"
    yield f"# Proposed from {items}{of}. It says what was seen, not what may come: correct it."
    if sample.part_of is not None:
        yield f"# One of the entities of {sample.table}: {sample.part_of:,} of its items were looked at."
    for shape, count in seen.shapes.most_common(_SHAPES):
        yield f"# {count * 100 // max(seen.items, 1)} % of the items have these attributes:"
        yield from _wrapped(", ".join(f"{_shown(name)} {tag}" for name, tag in shape))


def _body(proposed: ProposedContract, owner: str) -> Iterator[str]:
    sample = proposed.sample
    yield f"table: {_flow(sample.table)}"
    if proposed.lake_name != snake_case(sample.table):
        yield f"name: {_flow(proposed.lake_name)}"
    yield f"owner: {_flow(owner)}"
    if sample.where:
        yield f"where: {_flow(dict(sample.where))}"
    key = {"hash": sample.key.hash} | ({"range": sample.key.range} if sample.key.range else {})
    yield f"key: {_flow(key)}"
    if proposed.deleted_when is not None:
        yield f"# deleted_when: {_flow(proposed.deleted_when)}  # if such items are deleted: they leave Silver, too"
    yield "columns:"
    for column in proposed.columns:
        yield column_line(column)
    if proposed.drop:
        yield "drop:"
        for attribute, why in proposed.drop.items():
            yield _commented(f"  - {_flow(attribute)}", why)
    for attribute, why in proposed.left.items():
        yield f"# {_shown(attribute)}: {why}; it stays in _extra."


def column_line(column: Proposal) -> str:
    """Return the line of a column, with its notes as a comment."""
    return _commented(f"  {_flow(column.attribute)}: {_flow(column.spec)}", "; ".join(column.notes))


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    dumped = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, width=10**9, allow_unicode=style is None, sort_keys=False
    )
    return dumped.strip().removesuffix("...").strip()


def _shown(name: str) -> str:
    """Return an attribute's name for a comment: as it is, or in quotes if a reader could take it for something else."""
    return name if name.isidentifier() and name.isprintable() else json.dumps(name)


def _commented(line: str, comment: str) -> str:
    return f"{line.ljust(_COMMENT_AT)}  # {comment}" if comment else line


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for part in text.split(", "):
        if line and len(line) + len(part) > _WIDTH:
            yield f"#   {line},"
            line = part
        else:
            line = f"{line}, {part}" if line else part
    yield f"#   {line}"
