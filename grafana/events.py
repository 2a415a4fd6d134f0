"""Annotations: failed checks and failed runs as marks on every graph.

The thousands of runs a day that go well are no events: a graph of them is on *Pipeline health*.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana import panels

_CHECKS: Final = """
SELECT observed_at AS time, layer || '/' || table_name || ': ' || check_name || ' failed' AS text,
    layer || ',' || table_name AS tags
FROM ops.checks WHERE $__timeFilter(observed_at) AND failures > 0 ORDER BY 1
"""
_RUNS: Final = """
SELECT observed_at AS time, layer || '/' || table_name || ' failed in run ' || last_run_id AS text,
    layer || ',' || table_name AS tags
FROM ops.health WHERE $__timeFilter(observed_at) AND failed_steps > 0 ORDER BY 1
"""


def failed_checks() -> dashboard.AnnotationQuery:
    """A mark where a check failed."""
    return _annotation("Failed checks", _CHECKS, panels.ORANGE)


def failed_runs() -> dashboard.AnnotationQuery:
    """A mark where a step of a run failed."""
    return _annotation("Failed runs", _RUNS, panels.RED)


class _Annotation(dashboard.AnnotationQuery):
    """An annotation with the query of a data source as its target, which the SDK has no type for."""

    def __init__(self, name: str, sql: str, colour: str) -> None:
        super().__init__(name=name, datasource=panels.ENVIRONMENT, enable=True, icon_color=colour)
        self._query = panels.query(sql).build()

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "target": self._query}


def _annotation(name: str, sql: str, colour: str) -> dashboard.AnnotationQuery:
    return _Annotation(name, sql, colour)
