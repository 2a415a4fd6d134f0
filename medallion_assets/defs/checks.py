"""Audits as asset checks: what the checks are called, how one is executed alone, and how a result is shown.

Belongs here: specs, results as Dagster's events, and what to do about a failure. Does not belong here: what is audited
(silver, gold, ledger).

A check has two origins. The step of an asset audits what it has staged, and logs the results; a blocking one fails the
step, so nothing is published. Executed alone (the button *Execute*), a check audits what is published. The checks are
therefore not part of the asset's own step: Dagster would plan them with every run, and show a planned check of a run
that did not come so far as running or failed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import dagster as dg

from medallion_assets.checks.descriptions import DESCRIPTIONS
from medallion_assets.checks.results import CheckResult
from medallion_assets.contracts.model import Severity
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names
from medallion_assets.defs.resources import MedallionResource, resource_of

_REMEDIES: Final = {
    "keys": "Materialize the capture days of the example keys again. If the check fails again, report a bug.",
    "columns": "Undo the change of the contract, or of the table.",
    "bronze_counts": "Restore the batch's Bronze objects from the older versions. If none was changed, report a bug.",
    "quarantine_rate": "See `medallion quarantine list`. If the data is right, correct the contract and reload the "
    "code location; the sensor tries again by itself. If the data is wrong, correct it at its source.",
    "quarantine": "See `medallion quarantine list`, then replay the changes, or drop them.",
    "row_rules": "Correct the rows at their source, or the rule in the contract.",
    "references": "Look for the missing rows at their source.",
    "row_count": "If the rows were deleted on purpose, raise `row_count` in the contract. Otherwise run `medallion "
    "verify`.",
    "freshness": "See whether the application still writes to the table, then the log of the capture.",
    "completeness": "Each example says what to do. Without examples, see the log of the capture.",
    "files": "See the report beside each rejected file, correct the file and drop it again.",
    "silver": "See which groups differ with `medallion live check`, then run `medallion live rebuild`.",
    "source": "Run `medallion repair` on the table.",
    "grain": "Correct the mart's SQL or its grain, then materialize the mart again.",
    "rules": "Correct the rows at their source, the mart's SQL or the rule, then materialize the mart again.",
    "warning_rules": "Correct the rows at their source, the mart's SQL or the rule.",
}
"""What to do when a check fails, shown with the numbers of the failure."""

WHAT_TO_DO: Final = "what_to_do"

NOTHING_STAGED: Final = "Nothing was staged, so nothing was audited. The published table is as it was."
NOTHING_PUBLISHED: Final = "Nothing is published yet, so there is nothing to check."


def check_specs(key: dg.AssetKey, checks: Iterable[tuple[str, Severity]]) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's checks, by name and severity. They have no partitions.

    The page can execute a check alone only if it has none. The capture day stands in a result's metadata.
    """
    return [
        dg.AssetCheckSpec(name, asset=key, description=DESCRIPTIONS[name], blocking=severity == "block")
        for name, severity in checks
    ]


def published_checks(
    name: str,
    key: dg.AssetKey,
    checks: list[tuple[str, Severity]],
    names: Names,
    audit: Callable[[MedallionResource, Collection[str]], Iterable[CheckResult]],
) -> dg.AssetChecksDefinition:
    """Return the checks of an asset as a step of their own, which audits what is published; any of them can run alone.

    `audit` is given the names of the checks to make, and may return more results, or none if nothing is published.
    """

    @dg.multi_asset_check(
        name=names.definition(name),
        specs=check_specs(key, checks),
        can_subset=True,
        required_resource_keys={names.resource_key},
        description=f"Audits what is published of {key.to_user_string()}.",
    )
    def check_published(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {one.name for one in context.selected_asset_check_keys}
        with translate_errors(context):
            found = {result.name: result for result in audit(resource_of(context, names), selected)}
        for check, severity in checks:
            if check in selected:
                yield check_result(key, found.get(check) or CheckResult(check, True, severity, NOTHING_PUBLISHED))

    return check_published


def check_result(key: dg.AssetKey, result: CheckResult) -> dg.AssetCheckResult:
    """Return a result for the step that the check belongs to."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=result.name,
        passed=result.passed,
        severity=_severity(result),
        description=result.description,
        metadata=_metadata(result),
    )


def evaluation(key: dg.AssetKey, result: CheckResult, **metadata: str) -> dg.AssetCheckEvaluation:
    """Return a result as an event, for a step that the check does not belong to."""
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=result.name,
        passed=result.passed,
        severity=_severity(result),
        description=result.description,
        metadata={**_metadata(result), **metadata},
        blocking=result.severity == "block",
    )


def log_results(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    checks: Iterable[tuple[str, Severity]],
    results: Iterable[CheckResult],
    **metadata: str,
) -> None:
    """Log a result for each check of the asset that the step makes. One without a result passes: nothing was staged."""
    made = {result.name: result for result in results}
    for name, severity in checks:
        result = made.get(name) or CheckResult(name, True, severity, NOTHING_STAGED)
        context.log_event(evaluation(key, result, **metadata))


def first_failure_per_check(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return one result per check of several audits in a row: the first that failed, else the last."""
    kept: dict[str, CheckResult] = {}
    for result in results:
        if result.name not in kept or kept[result.name].passed:
            kept[result.name] = result
    return list(kept.values())


def audit_failure(results: Iterable[CheckResult], *, what: str, what_to_do: str) -> dg.Failure:
    """Return the failure of a step whose audit did not let `what` be published."""
    reasons = [
        f"{result.name}: expected: {result.description} Found: "
        + ", ".join(f"{name} {value}" for name, value in result.numbers.items())
        + f". {_REMEDIES[result.name]}"
        for result in results
        if result.blocks_publish
    ]
    return dg.Failure(
        description=f"The audit stopped {what}. The published data is unchanged. {' '.join(reasons)} {what_to_do}",
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
    remedy = {} if result.passed else {WHAT_TO_DO: dg.MetadataValue.text(_REMEDIES[result.name])}
    return {**numbers, **examples, **remedy}


def _text(value: Decimal | str) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else value
