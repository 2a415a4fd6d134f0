"""The assets `live/<counter>`: each live counter compared with its Silver table every hour; the result is a check.

Belongs here: when a counter is compared, and how Dagster shows the result. Does not belong here: comparing
(live.compare), making a counter right (`medallion live rebuild`).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from medallion_assets.checks.results import MAX_EXAMPLES, CheckResult
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Severity
from medallion_assets.defs.checks import check_result, check_specs
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import resource_of
from medallion_assets.errors import SettingsError
from medallion_assets.live.counter import Counter

if TYPE_CHECKING:
    from medallion_assets.live.compare import Comparison

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]

_CHECK: Final = "silver"


def live_asset(counter: Counter, domain: Domain, names: Names) -> dg.AssetsDefinition:
    """Return the comparison of one counter with its Silver table. Its consumer waits while the counter is read."""
    contract = domain.by_name[counter.silver]
    key = names.asset_key("live", counter.name)
    checks: list[tuple[str, Severity]] = [(_CHECK, "warn")]

    @dg.asset(
        key=key,
        deps=[names.asset_key("dynamodb", counter.silver), names.asset_key("silver", counter.silver)],
        description=f"A live counter of {counter.table}, kept from its stream; compared with silver.{counter.silver}.",
        group_name=names.group("live"),
        kinds={"dynamodb"},
        owners=[contract.owner],
        check_specs=check_specs(key, checks),
        pool=names.pool("live", counter.name),
        required_resource_keys={names.resource_key},
    )
    def live(context: dg.AssetExecutionContext) -> Events:
        from medallion_assets.live.compare import compare
        from medallion_assets.live.store import open_store

        pipeline = resource_of(context, names)
        with translate_errors(context), pipeline.lake() as lake:
            if (url := pipeline.settings().live) is None:
                raise SettingsError("MEDALLION_LIVE is not set; set it to the store of the live counters")
            with open_store(url) as store:
                found = compare(lake, contract, counter, store, now=utc_now())
        yield check_result(key, _result(found, counter))
        yield dg.MaterializeResult(metadata={"groups": len(found.totals), "silver_snapshot": str(found.snapshot_id)})

    return live


def live_schedule(counters: Sequence[Counter], names: Names) -> dg.ScheduleDefinition:
    """Return the schedule of all comparisons, every hour; it does nothing where no store of counters is set."""
    job = dg.define_asset_job(
        names.definition("live_counters"),
        selection=[names.asset_key("live", counter.name) for counter in counters],
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(
        name=names.definition("hourly_live_counters"),
        job=job,
        cron_schedule="40 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        required_resource_keys={names.resource_key},
        description="Compares the live counters with Silver.",
    )
    def hourly_live_counters(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if resource_of(context, names).settings().live is None:
            return dg.SkipReason("MEDALLION_LIVE is not set, so the domain's counters are not kept.")
        return dg.RunRequest()

    return hourly_live_counters


def _result(found: "Comparison", counter: Counter) -> CheckResult:
    behind = len(found.ahead) + len(found.unseen)
    return CheckResult(
        _CHECK,
        not found.wrong,
        "warn",
        f"The counter equals silver.{counter.silver} at its own moment, group by group.",
        {"groups": len(found.totals), "different_groups": len(found.wrong), "changes_behind": behind},
        [
            f"{group} lacks {', '.join(f'{name} {number}' for name, number in measures.items())}"
            for group, measures in sorted(found.wrong.items())[:MAX_EXAMPLES]
        ],
    )
