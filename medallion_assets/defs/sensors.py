"""The sensor on the Bronze prefix: one run for everything that changed, one run at a time.

Belongs here: asking Dagster how the last run went, and the lake and the store what is pending. What follows from the
answers is decided in scheduling.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.dagster_private import RUN_KEY_TAG, SENSOR_NAME_TAG
from medallion_assets.defs.executor import side_by_side_executor
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import MedallionResource, resource_of
from medallion_assets.defs.run_config import incremental_run_config
from medallion_assets.defs.site import site_keys
from medallion_assets.defs.unchanged import MAX_DAYS, is_unchanged_report
from medallion_assets.errors import LakeDamaged, LakeUnavailable
from medallion_assets.gold.spec import Mart
from medallion_assets.scheduling.arrivals import open_arrivals
from medallion_assets.scheduling.declared import otherwise_declared
from medallion_assets.scheduling.pace import ASK_AGAIN, GATHERED, next_look
from medallion_assets.scheduling.pending import PublishedTable, list_pending, read_published
from medallion_assets.scheduling.planner import (
    Cursor,
    Graph,
    Outcome,
    Pending,
    Request,
    apply_outcome,
    is_mart,
    observe_commits,
    observe_materializations,
    plan_run,
    read_outcomes,
)
from medallion_assets.settings import DomainSettings

SENSOR: Final = "bronze_arrivals"

WATCH_SECONDS: Final = 4.0
"""The daemon evaluates a sensor at most every five seconds (dagster/_daemon/sensor.py, MIN_INTERVAL_LOOP_TIME). A tick
that watches almost that long sees an object arrive, or a run end, within the second instead."""

RUN_PAUSE_SECONDS: Final = 0.25
"""Between two reads of Dagster's storage."""


def arrivals_sensor(
    domain: Domain, marts: Sequence[Mart], names: Names, own_checks: Collection[dg.AssetCheckKey]
) -> dg.SensorDefinition:
    """Return the sensor; it is on unless somebody switches it off.

    Its runs do not execute `own_checks`: the steps log their results for what they staged, and the checks' own steps
    would audit all that is published. Checks of the user's own on these assets are executed.
    """
    graph = Graph.of(domain, marts)
    unpartitioned = {f"gold/{mart.name}" for mart in marts if not mart.is_daily}
    # A job of its own, so that its runs are one process each, whatever the code location's executor is: a run is short,
    # and a process per step costs 3 to 4 s of a core.
    job = dg.define_asset_job(
        names.definition("refresh"),
        selection=dg.AssetSelection.assets(
            *map(names.node_key, graph.upstream),
            *(names.node_key(f"bronze/{contract.lake_name}") for contract in domain.tables),
            *site_keys(domain, marts, names),
        )
        - dg.AssetSelection.checks(*own_checks),
        executor_def=side_by_side_executor,
        description="What the sensor on Bronze starts: the tables with new objects, and the marts over them.",
    )

    @dg.sensor(
        name=names.definition(SENSOR),
        job=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=1,
        required_resource_keys={names.resource_key},
        description="Starts a run for the tables with new objects in Bronze, and for the marts over them.",
    )
    def bronze_arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from medallion_assets.lake.outage import translate_outages

        cursor = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        try:
            with translate_outages():
                return look(context, cursor)
        except LakeUnavailable as outage:  # passes by itself: the next tick looks again
            return _skip(cursor, str(outage).rstrip("."))

    # A code location evaluates its sensors in one process, so this lasts from tick to tick. Losing it costs a question.
    known: dict[DomainSettings, _Known] = {}
    compared = set[DomainSettings]()

    def look(context: dg.SensorEvaluationContext, before: Cursor, *, at_once: bool = False) -> dg.SensorResult:
        pipeline = resource_of(context, names)
        cursor = before = _with_declared(before, domain, marts, pipeline, compared=compared)
        until = time.monotonic() + WATCH_SECONDS
        run = _run(context.instance, names, cursor)
        while run is not None and not run.is_finished:
            if time.monotonic() >= until:
                return _skip(cursor, f"Run {run.run_id} is under way")
            time.sleep(RUN_PAUSE_SECONDS)
            run = _run(context.instance, names, cursor)
        settings = pipeline.settings()

        def due() -> datetime:
            return next_look(cursor.looked_at, cursor.busy_at, utc_now(), settings.freshness)

        remembered = _not_outdated(known.get(settings)) if run is None else None
        # The tables to list; None: all. Who waits for something of its own looks at all of them.
        named = None
        if remembered is not None and not cursor.stale and not cursor.backoffs:
            named = _named_by_queue(settings, wait_seconds=until - time.monotonic())
        if named is None and cursor.request is None and not at_once and not _wait(due(), until):
            waiting = f"Bronze is looked at again at {due():%H:%M:%S} UTC"
            return _skip(cursor, waiting, known[settings].damaged if settings in known else {})
        store = pipeline.bronze_store()
        published = known[settings] = remembered or _read_published(domain, pipeline)
        tables, damaged = published.tables, published.damaged
        readable = [contract for contract in domain.tables if contract.lake_name in tables]
        if named is not None:
            readable = [contract for contract in readable if contract.table in named]
        positions = {name: table.position for name, table in tables.items()}
        pending = list_pending(store, readable, positions, utc_now().date())
        cursor = _with_run_outcome(context.instance, names, cursor, run, pending)
        cursor = _with_external_changes(context.instance, cursor, run, graph, tables, names=names)
        if run is not None and not _wait(due(), until):
            return _skip(
                cursor, f"Run {run.run_id} has ended. Bronze is looked at again at {due():%H:%M:%S} UTC", damaged
            )
        if named is None:
            cursor = _looked(cursor, busy=run is not None or cursor.busy_at is None)
        while (request := plan_run(graph, cursor, pending, utc_now(), damaged=damaged)) is None:
            if named is not None or time.monotonic() >= until or not _wait(due(), until):
                return _skip(cursor, _skip_message(pending), damaged)
            pending = list_pending(store, readable, positions, utc_now().date())
            cursor = _looked(cursor, busy=False)
        if remembered is not None:  # what seems pending may be merged: what runs is planned on the tables as they are
            del known[settings]
            return look(context, before, at_once=True)
        cursor = _looked(cursor, busy=True).model_copy(update={"request": request})
        checks = _other_checks(context, request, names, own_checks)
        return dg.SensorResult(
            run_requests=[
                _run_request(
                    request,
                    names,
                    checks,
                    unpartitioned,
                    after=site_keys(domain, marts, names) if pipeline.has_site else [],
                )
            ],
            cursor=cursor.model_dump_json(),
        )

    return bronze_arrivals


def _with_declared(
    cursor: Cursor,
    domain: Domain,
    marts: Sequence[Mart],
    pipeline: MedallionResource,
    *,
    compared: set[DomainSettings],
) -> Cursor:
    """Return the cursor with what is declared otherwise than the lake has it, unless that was `compared` before."""
    if (settings := pipeline.settings()) in compared:
        return cursor
    with pipeline.lake() as lake:
        otherwise = otherwise_declared(lake, domain, marts)
    compared.add(settings)
    return cursor.model_copy(update={"stale": cursor.stale | otherwise})


def _named_by_queue(settings: DomainSettings, *, wait_seconds: float) -> frozenset[str] | None:
    """Return the tables that the queue of arrivals names; None without such a queue, and for what it cannot say."""
    if settings.arrivals_queue is None or settings.freshness in GATHERED:
        return None
    return open_arrivals(settings.arrivals_queue, settings.bronze, settings.region).receive(wait_seconds=wait_seconds)


def _wait(due: datetime, until: float) -> bool:
    """Sleep until `due`, unless that is after `until` on the monotonic clock; return whether it is due."""
    seconds = (due - utc_now()).total_seconds()
    if seconds <= 0:
        return True
    if time.monotonic() + seconds >= until:
        return False
    time.sleep(seconds)
    return True


def _looked(cursor: Cursor, *, busy: bool) -> Cursor:
    """Return the cursor after a look at Bronze."""
    now = utc_now()
    return cursor.model_copy(update={"looked_at": now, "busy_at": now if busy else cursor.busy_at})


@dataclass(frozen=True)
class _Known:
    """The Silver tables as the catalog had them at a time.

    - tables: the published tables by lake name
    - damaged: by node, the error of each table that cannot be read
    """

    tables: dict[str, PublishedTable]
    damaged: dict[str, LakeDamaged]
    at: datetime


def _not_outdated(known: _Known | None) -> _Known | None:
    """Return the tables if the catalog need not be asked again."""
    if known is None or known.damaged or utc_now() - known.at >= ASK_AGAIN:
        return None
    return known


def _read_published(domain: Domain, pipeline: MedallionResource) -> _Known:
    asked_at = utc_now()
    with pipeline.lake() as lake:
        tables, damaged = read_published(lake, domain.tables)
    return _Known(tables, {f"silver/{name}": lost for name, lost in damaged.items()}, asked_at)


def _run(instance: dg.DagsterInstance, names: Names, cursor: Cursor) -> dg.DagsterRun | None:
    """Return the run of the cursor's request; None if there is none or it never reached the queue."""
    if cursor.request is None:
        return None
    launched = {RUN_KEY_TAG: cursor.request.key, SENSOR_NAME_TAG: names.definition(SENSOR)}
    runs = instance.get_runs(dg.RunsFilter(tags=launched), limit=1)
    return runs[0] if runs and runs[0].status is not dg.DagsterRunStatus.NOT_STARTED else None


def _with_run_outcome(
    instance: dg.DagsterInstance, names: Names, cursor: Cursor, run: dg.DagsterRun | None, pending: Pending
) -> Cursor:
    """Return the cursor after its run ended, if there was one."""
    if run is not None and cursor.request is not None:
        return apply_outcome(cursor, _outcomes(instance, names, run, cursor.request), pending, utc_now())
    return cursor.model_copy(
        update={"request": None}
    )  # never launched: its objects are still pending, its nodes still stale


def _with_external_changes(
    instance: dg.DagsterInstance,
    cursor: Cursor,
    run: dg.DagsterRun | None,
    graph: Graph,
    tables: Mapping[str, PublishedTable],
    *,
    names: Names,
) -> Cursor:
    """Return the cursor after changes of others: runs by hand, and processes outside Dagster."""
    own = run.run_id if run is not None else None
    records = instance.get_asset_records([names.node_key(node) for node in graph.read])
    found = {record.asset_entry.asset_key: record.asset_entry.last_materialization_record for record in records}
    latest = {node: last for node in graph.read if (last := found.get(names.node_key(node))) is not None}
    made = {
        node: _last_made(instance, names.node_key(node), last, seen=cursor.materializations.get(node))
        for node, last in latest.items()
    }
    cursor = observe_materializations(
        cursor,
        graph,
        {node: last.storage_id for node, last in latest.items()},
        own={node for node, last in made.items() if last is None or last.run_id == own},
    )
    runs = {own, *(last.run_id for last in made.values() if last is not None)}
    commits = {f"silver/{name}": table.snapshot_id for name, table in tables.items() if table.snapshot_id is not None}
    return observe_commits(
        cursor, graph, commits, own={f"silver/{name}" for name, table in tables.items() if table.run_id in runs}
    )


def _last_made(
    instance: dg.DagsterInstance, key: dg.AssetKey, last: dg.EventLogRecord, *, seen: int | None
) -> dg.EventLogRecord | None:
    """Return the last materialization that a run made; None if since the one seen there are only unchanged days.

    `last` is the last materialization of any kind.
    """
    if not _is_unchanged(last):
        return last
    newer = dg.AssetRecordsFilter(asset_key=key, after_storage_id=seen)
    cursor = None
    while True:
        page = instance.fetch_materializations(newer, limit=MAX_DAYS, cursor=cursor)
        for record in page.records:
            if not _is_unchanged(record):
                return record
        if not page.has_more:
            return None
        cursor = page.cursor


def _is_unchanged(record: dg.EventLogRecord) -> bool:
    made = record.asset_materialization
    return made is not None and is_unchanged_report(made)


def _outcomes(instance: dg.DagsterInstance, names: Names, run: dg.DagsterRun, request: Request) -> dict[str, Outcome]:
    """Return the outcome of each node."""
    if run.is_success:
        return dict.fromkeys(request.nodes, "succeeded")
    stats = instance.get_run_step_stats(run.run_id)
    steps = {
        node.replace("/", "__"): step.status.value
        for step in stats
        if step.status is not None and (node := names.step_node(step.step_key)) is not None
    }
    return read_outcomes(request.nodes, steps)


def _other_checks(
    context: dg.SensorEvaluationContext, request: Request, names: Names, own_checks: Collection[dg.AssetCheckKey]
) -> list[dg.AssetCheckKey]:
    """Return the checks of the request's assets that are not in `own_checks`."""
    graph = context.repository_def.asset_graph if context.repository_def else None
    selected = set(_selected(request, names))
    return sorted(graph.get_check_keys_for_assets(selected) - set(own_checks)) if graph else []


def _run_request(
    request: Request,
    names: Names,
    checks: list[dg.AssetCheckKey],
    unpartitioned: Collection[str],
    *,
    after: Sequence[dg.AssetKey],
) -> dg.RunRequest:
    """Return the run of a request; `after` are the assets that follow its marts."""
    keys = _selected(request, names)
    follows = after if any(is_mart(node) for node in request.nodes) else []
    return dg.RunRequest(
        run_key=request.key,
        # Dagster refuses a partition for a run in which no asset has partitions.
        partition_key=request.day.isoformat() if set(request.nodes) - set(unpartitioned) else None,
        asset_selection=[*keys, *follows],
        asset_check_keys=checks,
        run_config=incremental_run_config(keys),
    )


def _selected(request: Request, names: Names) -> list[dg.AssetKey]:
    """Return the assets of a request: its nodes, and Bronze of the tables with objects of its day."""
    keys = [names.node_key(node) for node in request.nodes]
    return keys + [names.asset_key("bronze", node.removeprefix("silver/")) for node in request.oldest_pending]


def _skip(cursor: Cursor, reason: str, damaged: Mapping[str, LakeDamaged] = {}) -> dg.SensorResult:
    """Return a tick without a run; its reason names the tables that cannot be read, and the nodes that fail."""
    lost = [str(error).rstrip(".") for error in damaged.values()]
    failing = [f"{node} failed {backoff.failures} times" for node, backoff in cursor.backoffs.items()]
    parts = [reason, *lost, *([", ".join(failing)] if failing else [])]
    return dg.SensorResult(skip_reason=f"{'; '.join(parts)}.", cursor=cursor.model_dump_json())


def _skip_message(pending: Pending) -> str:
    waiting = ", ".join(f"{node} {sum(map(len, days.values()))}" for node, days in pending.items())
    return f"Waiting: {waiting}" if waiting else "Nothing new"
