"""Audits as asset checks: their specs, known at load, and their results, with numbers and example keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import dagster as dg

from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.model import Severity

DESCRIPTIONS: Final = {
    "keys": "Each key stands once and is never null.",
    "columns": "The staged snapshot has exactly the declared columns and types.",
    "bronze_counts": "Every row of the Bronze objects is merged, superseded, unchanged, quarantined or dropped.",
    "quarantine_rate": "The share of rows that break the contract is within what the contract allows.",
    "quarantine": "No change is open in quarantine.",
    "row_rules": "Rows keep those of the contract's rules that only warn.",
    "references": "What rows refer to in other tables is there.",
    "row_count": "The table has not lost more of its rows since the day before than the contract allows.",
    "freshness": "The newest change is not older than the contract allows.",
    "completeness": "No change is known to be missing, back from the time up to which everything is accounted for.",
    "source": "Silver has every item of the source, value by value, and no other row.",
    "grain": "Every row has its grain, and no two rows have the same.",
    "rules": "Every row keeps the rules of the mart's columns; a row that does not holds the refresh back.",
    "warning_rules": "Every row keeps those of the rules of the mart's columns that only warn.",
}
"""What each check is about, shown before it ever ran; a result says it with the numbers of its contract."""


def check_specs(
    key: dg.AssetKey, checks: Iterable[tuple[str, Severity]], partitions: dg.PartitionsDefinition | None = None
) -> list[dg.AssetCheckSpec]:
    """The specs of an asset's checks; those that may hold a batch back are blocking."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=key,
            description=DESCRIPTIONS[name],
            blocking=severity == "block",
            partitions_def=partitions,
        )
        for name, severity in checks
    ]


def first_failure_per_check(results: Iterable[CheckResult]) -> list[CheckResult]:
    """One result per check of several audits in a row: the last that did not pass, or the last."""
    kept: dict[str, CheckResult] = {}
    for result in results:
        if result.name not in kept or not result.passed or kept[result.name].passed:
            kept[result.name] = result
    return list(kept.values())


def check_results(
    key: dg.AssetKey, checks: Iterable[tuple[str, Severity]], results: Iterable[CheckResult]
) -> Iterator[dg.AssetCheckResult]:
    """A result for each check of the asset. A step that staged nothing has nothing to audit, and passes."""
    made = {result.name: result for result in results}
    for name, severity in checks:
        result = made.get(name) or CheckResult(name, True, severity, "Nothing was staged, so nothing was audited.")
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=result.name,
            passed=result.passed,
            severity=_severity(result),
            description=result.description,
            metadata=_metadata(result),
        )


def log_partition(
    context: dg.AssetExecutionContext, key: dg.AssetKey, results: Sequence[CheckResult], partition: str
) -> None:
    """Record the results for one partition of a run over several, which results of the step cannot name."""
    for result in results:
        context.log_event(evaluation(key, result, partition=partition))


def evaluation(key: dg.AssetKey, result: CheckResult, *, partition: str | None = None) -> dg.AssetCheckEvaluation:
    """A result as an event of its own, for who is not the step that the check belongs to."""
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=result.name,
        passed=result.passed,
        severity=_severity(result),
        description=result.description,
        metadata=_metadata(result),
        blocking=result.severity == "block",
        partition=partition,
    )


def audit_failure(results: Iterable[CheckResult], *, what: str, what_to_do: str) -> dg.Failure:
    """The failure of a step whose audit held its batch back."""
    reasons = [
        f"{result.name}: expected: {result.description} Found: "
        + ", ".join(f"{name} {value}" for name, value in result.numbers.items())
        for result in results
        if result.blocks_publish
    ]
    return dg.Failure(
        description=f"The audit held {what} back. {'; '.join(reasons)}. The published data is unchanged. {what_to_do}",
        allow_retries=False,
    )


def _severity(result: CheckResult) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if result.severity == "block" else dg.AssetCheckSeverity.WARN


def _metadata(result: CheckResult) -> Mapping[str, dg.MetadataValue]:
    # A Decimal as text: Dagster has no exact number, and a share in an alert should not grow digits.
    numbers = {
        name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.text(_text(value))
        for name, value in result.numbers.items()
    }
    examples = {"examples": dg.MetadataValue.json(list(result.examples))} if result.examples else {}
    return {**numbers, **examples}


def _text(value: Decimal | str) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else value
