"""Trino's recorded answers: so few that a person can read them, so many that a change of our translation is seen.

Each line of `recorded.jsonl` is one answer as the Trino of the first line gave it. They are written by
`python -m medallion_assets_tests.real_engines.differential --record` and by nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medallion_assets_tests.engines.differential.compare import Answer
from medallion_assets_tests.engines.differential.corpus import Item, corpus

_FILE: Final = Path(__file__).with_name("recorded.jsonl")
_EVERY: Final = 9


@dataclass(frozen=True)
class Recorded:
    """What a Trino of that version answered: to expressions over the edges, and to the usual SELECTs (types, rows)."""

    version: str
    expressions: Mapping[Item, Answer]
    selects: Mapping[str, tuple[dict[str, str], list[str]]]


def recorded_items() -> list[Item]:
    """Return the part of the corpus that is recorded: every ninth expression without nesting."""
    return corpus(0)[::_EVERY]


def read_recorded() -> Recorded:
    """Return the recorded answers."""
    with _FILE.open(encoding="utf-8") as file:
        version = json.loads(file.readline())["trino"]
        expressions, selects = {}, {}
        for line in file:
            entry: dict[str, Any] = json.loads(line)
            if "family" in entry:
                expressions[Item(entry["family"], entry["sql"])] = Answer(entry["type"], entry["values"])
            else:
                selects[entry["sql"]] = (entry["types"], entry["rows"])
    return Recorded(version, expressions, selects)


def write_recorded(
    version: str,
    expressions: Iterable[tuple[Item, Answer]],
    selects: Mapping[str, tuple[dict[str, str], list[str]]],
) -> None:
    """Write the recorded answers."""
    lines = [json.dumps({"trino": version})]
    for item, answer in expressions:
        entry = {"family": item.family, "sql": item.sql, "type": answer.type, "values": dict(answer.values)}
        lines.append(json.dumps(entry, ensure_ascii=True))
    for sql, (types, rows) in selects.items():
        lines.append(json.dumps({"sql": sql, "types": types, "rows": rows}, ensure_ascii=True))
    _FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
