"""The sensor that updates the ledger, also while nothing is captured, and reports the completeness checks.

Belongs here: when the ledger is updated, and which results Dagster gets. Does not belong here: what is inspected and
written (ledger). It is no step of a run: no change waits for it on the way to Gold, and it goes on while runs fail.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import BaseModel, ConfigDict

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.checks import evaluation
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.gold.spec import Mart
from medallion_assets.ledger.completeness_check import check_mart, check_table, mart_severity

if TYPE_CHECKING:
    from medallion_assets.ledger.update import LedgerUpdate
    from medallion_assets.ledger.view import ScanCursor

INTERVAL_SECONDS: Final = 30

REPORT_INTERVAL: Final = timedelta(minutes=10)
"""How often an unchanged result is reported again: each report is a row in Dagster's storage."""


class _TableCursor(BaseModel):
    """Where the inspection of one table goes on: the ledger's ScanCursor, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: str | None
    complete_to: datetime | None


class _LastReport(BaseModel):
    """The last result that was reported for one asset, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    examples: tuple[str, ...]
    at: datetime

    def is_outdated_by(self, result: CheckResult, now: datetime) -> bool:
        """Return whether to report this result: it differs, or the last report is too long ago."""
        unchanged = (self.passed, self.examples) == (result.passed, tuple(result.examples))
        return not unchanged or now - self.at >= REPORT_INTERVAL


class _Cursor(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: dict[str, _TableCursor] = {}
    reports: dict[str, _LastReport] = {}


def ledger_sensor(domain: Domain, marts: Sequence[Mart], names: Names) -> dg.SensorDefinition:
    """Return the sensor; it is on unless somebody switches it off."""

    @dg.sensor(
        name=names.definition("ledger"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=INTERVAL_SECONDS,
        required_resource_keys={names.resource_key},
        description="Records what is captured and merged in ops.ledger, and names what is missing.",
    )
    def ledger(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from medallion_assets.gold.completeness import read_complete_to
        from medallion_assets.ledger.update import update_ledger
        from medallion_assets.ledger.view import ScanCursor

        pipeline = resource_of(context, names)
        cursor = _Cursor.model_validate_json(context.cursor) if context.cursor else _Cursor()
        now = utc_now()
        with pipeline.lake() as lake:
            found = update_ledger(
                lake,
                pipeline.bronze_store(),
                domain,
                run_id=f"ledger-{now:%Y%m%dT%H%M%S}",
                now=now,
                cursors={name: ScanCursor(one.page, one.complete_to) for name, one in cursor.tables.items()},
            )
            complete_to = read_complete_to(
                lake, marts, {name: status.complete_to for name, status in found.statuses.items()}
            )
        reports = dict(cursor.reports)
        events = []
        for key, result in _results(domain, marts, names, found, complete_to=complete_to, now=now):
            name = key.to_user_string()
            if name not in reports or reports[name].is_outdated_by(result, now):
                reports[name] = _LastReport(passed=result.passed, examples=tuple(result.examples), at=now)
                events.append(evaluation(key, result))
        return dg.SensorResult(
            skip_reason=_skip_message(found),
            asset_events=events,
            cursor=_Cursor(tables=_table_cursors(found.cursors), reports=reports).model_dump_json(),
        )

    return ledger


def _results(
    domain: Domain,
    marts: Sequence[Mart],
    names: Names,
    found: "LedgerUpdate",
    *,
    complete_to: Mapping[str, datetime | None],
    now: datetime,
) -> Iterator[tuple[dg.AssetKey, CheckResult]]:
    for contract in domain.tables:
        result = check_table(contract, found.statuses[contract.lake_name], now=now)
        yield names.asset_key("silver", contract.lake_name), result
    for mart in marts:
        severity = mart_severity(mart.tables, domain)
        result = check_mart(mart.tables, found.statuses, severity=severity, complete_to=complete_to[mart.name])
        yield names.asset_key("gold", mart.name), result


def _table_cursors(cursors: Mapping[str, "ScanCursor"]) -> dict[str, _TableCursor]:
    return {name: _TableCursor(page=one.page, complete_to=one.complete_to) for name, one in cursors.items()}


def _skip_message(found: "LedgerUpdate") -> str:
    gaps = {name: len(state.gaps) for name, state in found.statuses.items() if state.gaps}
    if gaps:
        return "Gaps: " + ", ".join(f"{name} {count}" for name, count in gaps.items())
    return "No gaps"
