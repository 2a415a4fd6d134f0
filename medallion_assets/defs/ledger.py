"""The asset `ops/ledger`: what is captured, merged and missing, and the completeness checks that follow from it.

Belongs here: what one update reads of the update before it, and which results Dagster gets. Does not belong here: when
it runs (observe), what is inspected and written (ledger). It is no step of a run from change to Gold: no change waits
for it, and it goes on while such runs fail.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.checks import evaluation
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.defs.unchanged import ReportedDays, report_sources, report_unchanged_days
from medallion_assets.gold.spec import Mart
from medallion_assets.ledger.completeness_check import check_mart, check_table, mart_severity

if TYPE_CHECKING:
    from medallion_assets.ledger.update import LedgerUpdate
    from medallion_assets.ledger.view import ScanCursor

REPORT_INTERVAL: Final = timedelta(minutes=10)
"""How often an unchanged result is reported again: each report is a row in Dagster's storage."""

CURSOR: Final = "cursor"
"""In the metadata of a materialization: what the next update reads of this one."""


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
    unchanged: dict[str, ReportedDays] = {}
    sources: set[str] = set()


def ledger_asset(domain: Domain, marts: Sequence[Mart], names: Names) -> dg.AssetsDefinition:
    """Return the asset whose step updates `ops.ledger` and `ops.gaps`.

    It depends on no asset: it reads all of them as they are, also those that nothing materialized.
    """
    key = names.asset_key("ops", "ledger")

    @dg.asset(
        key=key,
        description="Records what is captured and merged in ops.ledger, and names what is missing in ops.gaps.",
        group_name=names.group("ops"),
        kinds={"iceberg"},
        pool=names.pool("ops", "ledger"),
        # In one run with `ops/health` it goes first, so that the health has the current completeness.
        op_tags={"dagster/priority": "1"},
        required_resource_keys={names.resource_key},
    )
    def ledger(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from medallion_assets.capture.given_up import find_given_up
        from medallion_assets.gold.completeness import read_complete_to
        from medallion_assets.ledger.update import update_ledger
        from medallion_assets.ledger.view import ScanCursor

        pipeline = resource_of(context, names)
        cursor = _read_cursor(context.instance, key)
        now = utc_now()
        with translate_errors(context), pipeline.lake(remember_tables=True) as lake:
            settings = pipeline.settings()
            given_up = find_given_up(settings.given_up_store(), settings.source_names(), settings.kinesis())
            found = update_ledger(
                lake,
                pipeline.bronze_store(),
                domain,
                run_id=context.run.run_id,
                now=now,
                given_up=given_up,
                cursors={name: ScanCursor(one.page, one.complete_to) for name, one in cursor.tables.items()},
            )
            complete_to = read_complete_to(
                lake, marts, {name: status.complete_to for name, status in found.statuses.items()}
            )
            unchanged = report_unchanged_days(
                context.instance,
                lake,
                pipeline.bronze_store(),
                domain=domain,
                marts=marts,
                names=names,
                merged_to={name: status.merged_to for name, status in found.statuses.items()},
                reported=cursor.unchanged,
                now=now,
            )
        reports = dict(cursor.reports)
        for asset, result in _results(domain, marts, names, found, complete_to=complete_to, now=now):
            name = asset.to_user_string()
            if name not in reports or reports[name].is_outdated_by(result, now):
                reports[name] = _LastReport(passed=result.passed, examples=tuple(result.examples), at=now)
                context.log_event(evaluation(asset, result))
        captured = [one for one in domain.tables if found.statuses[one.lake_name].is_captured]
        sources = report_sources(context.instance, captured, names, reported=cursor.sources)
        left = _Cursor(tables=_table_cursors(found.cursors), reports=reports, unchanged=unchanged, sources=sources)
        return dg.MaterializeResult(
            metadata={**_metadata(found), CURSOR: dg.MetadataValue.json(left.model_dump(mode="json"))}
        )

    return ledger


def _read_cursor(instance: dg.DagsterInstance, key: dg.AssetKey) -> _Cursor:
    """Return what the last update left; the start if there is none, or if another version of this code wrote it."""
    event = instance.get_latest_materialization_event(key)
    made = event.asset_materialization if event is not None else None
    if made is None or CURSOR not in made.metadata:
        return _Cursor()
    try:
        return _Cursor.model_validate(made.metadata[CURSOR].value)
    except ValidationError:
        return _Cursor()


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


def _metadata(found: "LedgerUpdate") -> dict[str, Any]:
    """Return the open gaps of all tables, and the numbers of each."""
    metadata: dict[str, Any] = {"gaps": sum(len(status.gaps) for status in found.statuses.values())}
    for name, status in found.statuses.items():
        metadata[f"{name}_pending_objects"] = status.pending_objects
        metadata[f"{name}_complete_up_to"] = (
            dg.MetadataValue.timestamp(status.complete_to) if status.complete_to is not None else "unknown"
        )
    return metadata
