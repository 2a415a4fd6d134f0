"""The sensor on the Bronze prefix: one run for everything that changed, one run at a time.

Belongs here: asking Dagster how the last run went, and the lake and the store what is pending. What follows from the
answers is decided in scheduling.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.defs.dagster_private import RUN_KEY_TAG, SENSOR_NAME_TAG
from medallion_assets.defs.executor import side_by_side_executor
from medallion_assets.defs.names import Names, utc_now
from medallion_assets.defs.resources import MedallionResource, resource_of
from medallion_assets.defs.run_config import incremental_run_config
from medallion_assets.defs.unchanged import MAX_DAYS, is_unchanged_report
from medallion_assets.errors import LakeUnavailable
from medallion_assets.gold.spec import Mart
from medallion_assets.scheduling.pace import next_look
from medallion_assets.scheduling.pending import PublishedTable, list_pending, read_published
from medallion_assets.scheduling.planner import (
    Cursor,
    Graph,
    Outcome,
    Pending,
    Request,
    apply_outcome,
    observe_commits,
    observe_materializations,
    plan_run,
    read_outcomes,
)

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
    nodes = [*graph.upstream, *(f"bronze/{contract.lake_name}" for contract in domain.tables)]
    # A job of its own, so that its runs are one process each, whatever the code location's executor is: a run is short,
    # and a process per step costs 3 to 4 s of a core.
    job = dg.define_asset_job(
        names.definition("refresh"),
        selection=dg.AssetSelection.assets(*map(names.node_key, nodes)) - dg.AssetSelection.checks(*own_checks),
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
        cursor = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        try:
            return look(context, cursor)
        except LakeUnavailable as outage:  # passes by itself: the next tick looks again
            return _skip(cursor, str(outage).rstrip("."))

    def look(context: dg.SensorEvaluationContext, cursor: Cursor) -> dg.SensorResult:
        pipeline = resource_of(context, names)
        until = time.monotonic() + WATCH_SECONDS
        run = _run(context.instance, names, cursor)
        while run is not None and not run.is_finished:
            if time.monotonic() >= until:
                return _skip(cursor, f"Run {run.run_id} is under way")
            time.sleep(RUN_PAUSE_SECONDS)
            run = _run(context.instance, names, cursor)
        freshness = pipeline.settings().freshness

        def due() -> datetime:
            return next_look(cursor.looked_at, cursor.busy_at, utc_now(), freshness)

        if cursor.request is None and not _wait(due(), until):
            return _skip(cursor, f"Bronze is looked at again at {due():%H:%M:%S} UTC")
        store = pipeline.bronze_store()
        tables = _read_published(domain, pipeline)
        positions = {name: table.position for name, table in tables.items()}
        pending = list_pending(store, domain.tables, positions, utc_now().date())
        cursor = _with_run_outcome(context.instance, names, cursor, run, pending)
        cursor = _with_external_changes(context.instance, cursor, run, graph, tables, names=names)
        if run is not None and not _wait(due(), until):
            return _skip(cursor, f"Run {run.run_id} has ended. Bronze is looked at again at {due():%H:%M:%S} UTC")
        cursor = _looked(cursor, busy=run is not None or cursor.busy_at is None)
        while (request := plan_run(graph, cursor, pending, utc_now())) is None:
            if time.monotonic() >= until or not _wait(due(), until):
                return _skip(cursor, _skip_message(pending))
            pending = list_pending(store, domain.tables, positions, utc_now().date())
            cursor = _looked(cursor, busy=False)
        cursor = _looked(cursor, busy=True)
        cursor = cursor.model_copy(update={"request": request})
        keys = _selected(request, names)
        graph_now = context.repository_def.asset_graph if context.repository_def else None
        checks = graph_now.get_check_keys_for_assets(set(keys)) - set(own_checks) if graph_now else set()
        run_request = dg.RunRequest(
            run_key=request.key,
            # Dagster refuses a partition for a run in which no asset has partitions.
            partition_key=request.day.isoformat() if set(request.nodes) - unpartitioned else None,
            asset_selection=keys,
            asset_check_keys=sorted(checks),
            run_config=incremental_run_config(keys),
        )
        return dg.SensorResult(run_requests=[run_request], cursor=cursor.model_dump_json())

    return bronze_arrivals


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


def _read_published(domain: Domain, pipeline: MedallionResource) -> dict[str, PublishedTable]:
    with pipeline.lake() as lake:
        return read_published(lake, domain.tables)


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


def _selected(request: Request, names: Names) -> list[dg.AssetKey]:
    """Return the assets of a request: its nodes, and Bronze of the tables with objects of its day."""
    keys = [names.node_key(node) for node in request.nodes]
    return keys + [names.asset_key("bronze", node.removeprefix("silver/")) for node in request.oldest_pending]


def _skip(cursor: Cursor, reason: str) -> dg.SensorResult:
    failing = ", ".join(f"{node} failed {backoff.failures} times" for node, backoff in cursor.backoffs.items())
    return dg.SensorResult(skip_reason=f"{reason}{'; ' + failing if failing else ''}.", cursor=cursor.model_dump_json())


def _skip_message(pending: Pending) -> str:
    counts = {node: sum(map(len, days.values())) for node, days in pending.items()}
    return "Nothing new" if not counts else "Waiting: " + ", ".join(f"{node} {count}" for node, count in counts.items())
