"""What must hold of the generated files beyond being valid: found here before Grafana, or a viewer, stumbles on it.

Belongs here: rules over dashboards and provisioning as plain data. Does not belong here: running queries (tests).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import sqlglot
from sqlglot import exp

from grafana.alerts import EXPRESSION
from grafana.layout import COLUMNS
from grafana.panels import ENVIRONMENT

Json = dict[str, Any]

_MACRO: Final = re.compile(r"\$__\w+\((\w+)\)")
_VARIABLE: Final = re.compile(r"\$\{(\w+)[^}]*\}")


def lint_dashboards(dashboards: Mapping[str, Json], partitions: Mapping[str, str]) -> list[str]:
    """What is wrong with dashboards, by name; `partitions`: `schema.table` -> the column its files are divided by."""
    found = [f"uid {uid} is that of several dashboards" for uid in _repeated(d["uid"] for d in dashboards.values())]
    for name, dashboard in dashboards.items():
        found += [f"{name}: {problem}" for problem in _dashboard(dashboard, partitions)]
    return found


def lint_rules(
    groups: Sequence[Json], sources: Sequence[str], runbook: str, partitions: Mapping[str, str]
) -> list[str]:
    """What is wrong with alert rules; `sources` are the uids of the data sources there are, `runbook` its text."""
    rules = [rule for group in groups for rule in group["rules"]]
    found = [f"uid {uid} is that of several rules" for uid in _repeated(rule["uid"] for rule in rules)]
    headings = re.findall(r"^## (.+)$", runbook, flags=re.MULTILINE)
    for rule in rules:
        found += [f"{rule['title']}: {problem}" for problem in _rule(rule, sources, headings, partitions)]
    return found


def _dashboard(dashboard: Json, partitions: Mapping[str, str]) -> Iterator[str]:
    boxes = dashboard["panels"]
    panels = [box for box in boxes if box["type"] != "row"]
    yield from (f"panel id {number} is there several times" for number in _repeated(box["id"] for box in boxes))
    yield from (f"several panels are called {title}" for title in _repeated(panel["title"] for panel in panels))
    yield from _overlaps(boxes)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    if not {"Age", "Complete but for the last"} <= {panel["title"] for panel in panels}:
        yield "does not say how old and how complete its numbers are"
    if "environment" not in variables:
        yield "has no variable environment"
    if not {"Failed checks", "Failed runs"} <= {each["name"] for each in dashboard["annotations"]["list"]}:
        yield "does not mark failed checks and runs"
    if not any("/assets/" in link.get("url", "") for link in dashboard["links"]):
        yield "has no link to an asset in Dagster"
    for panel in panels:
        yield from (f"{panel.get('title') or panel['id']}: {problem}" for problem in _panel(panel, partitions))
    texts = [str(panel) for panel in panels] + [str(annotation) for annotation in dashboard["annotations"]["list"]]
    for text in [*texts, str(dashboard["templating"]["list"])]:
        for name in _VARIABLE.findall(text):
            if name not in variables and not name.startswith("__"):
                yield f"${{{name}}} is no variable; there are {', '.join(sorted(variables))}"


def _panel(panel: Json, partitions: Mapping[str, str]) -> Iterator[str]:
    if not panel.get("title") or not panel.get("description"):
        yield "has no title or no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "has no unit"
    targets = panel.get("targets", [])
    if not targets:
        yield "has no query"
    yield from (f"refId {name} is that of several queries" for name in _repeated(each["refId"] for each in targets))
    for target in targets:
        if target.get("datasource") != ENVIRONMENT.to_json():
            yield f"asks {target.get('datasource')}; expected the data source that the variable environment chooses"
        yield from lint_sql(target["rawSQL"], partitions)


def _overlaps(boxes: Sequence[Json]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for box in boxes:
        place = box["gridPos"]
        name: str = box["title"]
        if place["x"] + place["w"] > COLUMNS or min(place["w"], place["h"]) < 1:
            yield f"{name} does not fit on the grid: {place}"
        cells = [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        under = sorted({taken[cell] for cell in cells if cell in taken})
        yield from (f"{name} lies over {other}" for other in under)
        for cell in cells:
            taken[cell] = name


def _rule(rule: Json, sources: Sequence[str], headings: Sequence[str], partitions: Mapping[str, str]) -> Iterator[str]:
    data = rule["data"]
    names = [each["refId"] for each in data]
    yield from (f"refId {name} is that of several queries" for name in _repeated(names))
    if rule["condition"] not in names:
        yield f"its condition {rule['condition']} is none of {', '.join(names)}"
    for each in data:
        model = each["model"]
        if each["datasourceUid"] == EXPRESSION:
            if model["expression"] not in names or model["expression"] == each["refId"]:
                yield f"{each['refId']} is about {model['expression']}, which is none of its queries"
            continue
        if each["datasourceUid"] not in sources:
            yield f"asks {each['datasourceUid']}; expected one of {', '.join(sources)}"
        if "$" in model["rawSQL"]:
            yield "uses a macro or a variable, which a rule has not"
        yield from lint_sql(model["rawSQL"], partitions)
    told = rule["annotations"].get("runbook", "")
    if told.removeprefix("docs/runbook.md: ") not in headings:
        yield f"its runbook line {told!r} is no heading of docs/runbook.md"
    if not rule["annotations"].get("summary"):
        yield "has no summary"
    if "$" in "".join(rule["annotations"].values()):
        # Grafana takes $name in a provisioned annotation for an environment variable; .Labels says the same.
        yield "an annotation has a $"


def lint_sql(sql: str, partitions: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a query: names in upper case, a divided table that is read in whole."""
    plain = _VARIABLE.sub("x", _MACRO.sub(r"\1 BETWEEN \1 AND \1", sql)).replace("(x)", "('x')")
    tree = sqlglot.parse_one(plain, dialect="trino")
    for name in tree.named_selects if isinstance(tree, exp.Query) else ():
        if name != name.lower():
            yield f"{name}: a column's name is lower case; what is shown is its display name"
    for table in tree.find_all(exp.Table):
        column = partitions.get(f"{table.db}.{table.name}")
        if column is None:
            continue
        select = table.find_ancestor(exp.Select)
        where = select.args.get("where") if select is not None else None
        if where is None or column not in {each.name for each in where.find_all(exp.Column)}:
            yield f"reads {table.db}.{table.name} in whole: no condition on {column}"


def _repeated(values: Iterator[Any] | Sequence[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]
