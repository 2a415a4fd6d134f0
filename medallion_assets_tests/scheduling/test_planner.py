"""The planner: which run it plans for a cursor, a graph and the pending objects."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.scheduling.planner import (
    LAST_RETRY,
    Backoff,
    Cursor,
    Graph,
    Outcome,
    Pending,
    Request,
    apply_outcome,
    observe_commits,
    observe_materializations,
    plan_run,
)

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
GRAPH = Graph(
    {
        "silver/customers": frozenset(),
        "silver/products": frozenset(),
        "silver/orders": frozenset({"silver/customers"}),
        "gold/sales": frozenset({"silver/orders"}),
        "gold/stock": frozenset({"silver/orders", "silver/products"}),
    }
)

LAYERED = Graph(
    {
        **GRAPH.upstream,
        "gold/totals": frozenset({"gold/sales", "silver/products"}),
        "gold/share": frozenset({"gold/sales", "gold/totals"}),
    }
)
"""With marts over marts."""


def ask(cursor: Cursor, pending: Pending, now: datetime = NOW, graph: Graph = GRAPH) -> Request:
    request = plan_run(graph, cursor, pending, now)
    assert request is not None
    return request


def ended(
    cursor: Cursor, request: Request, *, pending: Pending | None = None, now: datetime = NOW, **nodes: Outcome
) -> Cursor:
    """The cursor after a run in which every node was done but those named, as `silver_orders="failed"`."""
    outcomes: dict[str, Outcome] = {node: nodes.get(node.replace("/", "_"), "succeeded") for node in request.nodes}
    return apply_outcome(cursor.model_copy(update={"request": request}), outcomes, pending or {}, now)


def test_a_table_that_cannot_be_read_waits_with_everything_downstream_even_when_its_pause_is_over() -> None:
    pending = {f"silver/{name}": {MONDAY: ["a"]} for name in ("customers", "orders", "products")}
    failed = Cursor(backoffs={"silver/customers": Backoff(failures=1, retry_at=NOW)}, stale=frozenset({"gold/sales"}))
    request = plan_run(GRAPH, failed, pending, NOW, damaged={"silver/customers"})
    assert request is not None
    assert request.nodes == ("silver/products",)
    assert ask(failed, pending).nodes[0] == "silver/customers"


def test_without_pending_objects_no_run_is_planned() -> None:
    assert plan_run(GRAPH, Cursor(), {}, NOW) is None


def test_objects_of_one_table_run_it_with_the_tables_enriched_from_it_and_their_marts() -> None:
    request = ask(Cursor(), {"silver/customers": {TUESDAY: ["a"]}})
    assert request.nodes == ("silver/customers", "silver/orders", "gold/sales", "gold/stock")
    assert request.oldest_pending == {"silver/customers": "a"}


def test_all_tables_with_objects_of_a_day_share_one_run() -> None:
    request = ask(Cursor(), {"silver/customers": {TUESDAY: ["a"]}, "silver/products": {TUESDAY: ["b"]}})
    assert request.oldest_pending == {"silver/customers": "a", "silver/products": "b"}
    assert request.nodes == tuple(GRAPH.upstream)


def test_the_older_capture_day_comes_first() -> None:
    request = ask(Cursor(), {"silver/customers": {TUESDAY: ["b"]}, "silver/products": {MONDAY: ["a"], TUESDAY: ["c"]}})
    assert (request.day, request.nodes) == (MONDAY, ("silver/products", "gold/stock"))


def test_a_table_that_failed_is_tried_alone_after_its_pause_and_delays_no_other_one() -> None:
    pending: Pending = {"silver/products": {MONDAY: ["bad"]}, "silver/customers": {TUESDAY: ["a"]}}
    cursor = Cursor()
    first = ask(cursor, pending)
    cursor = ended(cursor, first, pending=pending, silver_products="failed", gold_stock="not_run")

    meanwhile = ask(cursor, pending)
    assert (meanwhile.day, "silver/products" in meanwhile.nodes) == (TUESDAY, False)

    alone = ask(cursor, pending, NOW + timedelta(seconds=6))
    assert alone.nodes == ("silver/products", "gold/stock")
    assert alone.key != first.key


def test_marts_over_a_failing_table_wait_until_it_succeeds() -> None:
    pending: Pending = {"silver/products": {TUESDAY: ["bad"]}}
    cursor = ended(Cursor(), ask(Cursor(), pending), pending=pending, silver_products="failed", gold_stock="not_run")
    orders: Pending = {**pending, "silver/orders": {TUESDAY: ["o"]}}
    assert ask(cursor, orders).nodes == ("silver/orders", "gold/sales")

    alone = ask(cursor, orders, NOW + timedelta(seconds=6))
    cursor = ended(cursor, alone)
    assert cursor.backoffs == {} and cursor.stale == frozenset()
    assert "gold/stock" in ask(cursor, {"silver/orders": {TUESDAY: ["o"]}}).nodes


def test_a_mart_over_marts_is_in_the_run_of_each_change_behind_it() -> None:
    request = ask(Cursor(), {"silver/orders": {TUESDAY: ["o"]}}, graph=LAYERED)
    assert request.nodes == ("silver/orders", "gold/sales", "gold/stock", "gold/totals", "gold/share")
    assert LAYERED.read == [*LAYERED.tables, "gold/sales", "gold/totals"]


def test_marts_over_a_failing_mart_wait_for_its_next_attempt_and_others_do_not() -> None:
    orders: Pending = {"silver/orders": {TUESDAY: ["o"]}}
    request = ask(Cursor(), orders, graph=LAYERED)
    cursor = ended(Cursor(), request, gold_sales="failed", gold_totals="not_run", gold_share="not_run")
    products: Pending = {"silver/products": {TUESDAY: ["p"]}}
    assert ask(cursor, products, graph=LAYERED).nodes == ("silver/products", "gold/stock")
    again = ask(cursor, {}, NOW + timedelta(seconds=6), graph=LAYERED)
    assert again.nodes == ("gold/sales", "gold/totals", "gold/share")


def test_marts_over_a_failing_table_wait_also_behind_another_mart() -> None:
    orders: Pending = {"silver/orders": {TUESDAY: ["bad"]}}
    cursor = ended(
        Cursor(), ask(Cursor(), orders, graph=LAYERED), pending=orders, silver_orders="failed", gold_totals="not_run"
    )
    products: Pending = {**orders, "silver/products": {TUESDAY: ["p"]}}
    assert ask(cursor, products, graph=LAYERED).nodes == ("silver/products",)


def test_a_mart_made_by_hand_makes_the_marts_over_it_stale() -> None:
    made = {"gold/sales": 7, "silver/orders": 3}
    known = Cursor(materializations={"silver/orders": 3})
    cursor = observe_materializations(known, LAYERED, made, own=())
    assert ask(cursor, {}, graph=LAYERED).nodes == ("gold/totals", "gold/share")
    # It may have read what was there before something upstream was made by hand, too.
    cursor = observe_materializations(Cursor(), LAYERED, made, own=())
    assert ask(cursor, {}, graph=LAYERED).nodes == ("gold/sales", "gold/stock", "gold/totals", "gold/share")
    assert observe_materializations(Cursor(), LAYERED, made, own=set(made)).stale == frozenset()


def test_pauses_double_up_to_ten_minutes() -> None:
    pending: Pending = {"silver/products": {TUESDAY: ["bad"]}}
    cursor, pauses = Cursor(), []
    for _ in range(12):
        cursor = ended(cursor, ask(cursor, pending, NOW + timedelta(days=1)), pending=pending, silver_products="failed")
        pauses.append(cursor.backoffs["silver/products"].retry_at - NOW)
    assert [int(pause.total_seconds()) for pause in pauses[:4]] == [5, 10, 20, 40]
    assert pauses[-1] == LAST_RETRY


def test_a_table_skipped_because_another_failed_has_no_backoff() -> None:
    pending: Pending = {"silver/customers": {TUESDAY: ["bad"]}, "silver/orders": {TUESDAY: ["o"]}}
    cursor = ended(
        Cursor(), ask(Cursor(), pending), pending=pending, silver_customers="failed", silver_orders="not_run"
    )
    assert set(cursor.backoffs) == {"silver/customers"}
    assert ask(cursor, pending).nodes == ("silver/orders", "gold/sales", "gold/stock")


def test_a_mart_that_failed_is_stale_without_objects_of_its_tables() -> None:
    cursor = ended(Cursor(), ask(Cursor(), {"silver/orders": {TUESDAY: ["o"]}}), gold_sales="failed")
    assert plan_run(GRAPH, cursor, {}, NOW) is None
    again = ask(cursor, {}, NOW + timedelta(seconds=6))
    assert (again.nodes, again.oldest_pending) == (("gold/sales",), {})


def test_a_run_that_leaves_its_objects_pending_counts_as_failed() -> None:
    pending: Pending = {"silver/products": {TUESDAY: ["a", "b"]}}
    cursor = ended(Cursor(), ask(Cursor(), pending), pending=pending)
    assert cursor.backoffs["silver/products"].failures == 1
    assert plan_run(GRAPH, cursor, pending, NOW) is None


def test_the_same_request_has_the_same_key_and_another_attempt_another_one() -> None:
    pending: Pending = {"silver/products": {TUESDAY: ["a"]}}
    first = ask(Cursor(), pending)
    assert ask(Cursor(), pending).key == first.key
    failed = ended(Cursor(), first, pending=pending, silver_products="failed")
    assert ask(failed, pending, NOW + timedelta(seconds=6)).key != first.key


def test_a_table_materialized_by_hand_makes_its_downstream_stale_and_ends_its_backoff() -> None:
    pending: Pending = {"silver/products": {TUESDAY: ["bad"]}}
    cursor = ended(Cursor(), ask(Cursor(), pending), pending=pending, silver_products="failed", gold_stock="not_run")
    cursor = observe_materializations(cursor, GRAPH, {"silver/products": 7}, own=())
    assert cursor.backoffs == {}
    assert ask(cursor, {}).nodes == ("gold/stock",)


def test_a_materialization_of_the_sensors_own_run_makes_nothing_stale() -> None:
    cursor = observe_materializations(Cursor(), GRAPH, {"silver/products": 7}, own={"silver/products"})
    assert plan_run(GRAPH, cursor, {}, NOW) is None
    assert observe_materializations(cursor, GRAPH, {"silver/products": 7}, own=()) == cursor


def test_a_cursor_is_the_same_after_it_was_written_and_read() -> None:
    cursor = ended(Cursor(), ask(Cursor(), {"silver/orders": {TUESDAY: ["o"]}}), gold_sales="failed")
    cursor = cursor.model_copy(update={"request": ask(cursor, {"silver/orders": {TUESDAY: ["p"]}})})
    assert Cursor.model_validate_json(cursor.model_dump_json()) == cursor


OUTCOMES = st.sampled_from(["succeeded", "succeeded", "failed", "not_run"])


@given(
    arrivals=st.lists(st.tuples(st.sampled_from(GRAPH.tables), st.sampled_from([MONDAY, TUESDAY])), max_size=8),
    outcomes=st.lists(OUTCOMES, max_size=30),
    graph=st.sampled_from([GRAPH, LAYERED]),
    pause=st.sampled_from([LAST_RETRY, timedelta(seconds=90)]),
)
def test_whatever_fails_in_between_every_object_is_merged_and_every_mart_follows(
    arrivals: list[tuple[str, date]], outcomes: list[Outcome], graph: Graph, pause: timedelta
) -> None:
    pending: dict[str, dict[date, list[str]]] = {}
    stale = set()
    for number, (node, day) in enumerate(arrivals):
        pending.setdefault(node, {}).setdefault(day, []).append(f"{number:02d}")
    cursor, now, left = Cursor(), NOW, list(outcomes)
    for _ in range(400):
        request = plan_run(graph, cursor, pending, now)
        now += pause
        if request is None:
            continue
        fared: dict[str, Outcome] = {}
        for node in request.nodes:
            blocked = any(fared.get(up, "succeeded") != "succeeded" for up in graph.upstream[node])
            fared[node] = "not_run" if blocked else (left.pop() if left else "succeeded")
            if fared[node] == "succeeded":
                if node in request.oldest_pending:
                    older = [day for day in pending[node] if day < request.day]
                    assert not older
                    del pending[node][request.day]
                    stale |= graph.downstream({node})
                stale.discard(node)
        cursor = apply_outcome(cursor.model_copy(update={"request": request}), fared, pending, now)
    assert not any(pending.values())
    assert not stale and not cursor.backoffs and not cursor.stale


def test_a_commit_of_another_process_makes_its_table_and_its_downstream_stale_once() -> None:
    cursor = observe_commits(Cursor(commits={"silver/orders": 1}), GRAPH, {"silver/orders": 2}, own=())
    assert cursor.stale == {"silver/orders", "gold/sales", "gold/stock"}
    request = ask(cursor, {})
    assert (request.nodes, request.oldest_pending) == (("silver/orders", "gold/sales", "gold/stock"), {})
    done = observe_commits(ended(cursor, request), GRAPH, {"silver/orders": 2}, own=())
    assert plan_run(GRAPH, done, {}, NOW) is None


def test_a_commit_of_another_process_to_a_referenced_table_makes_the_tables_enriched_from_it_stale() -> None:
    cursor = observe_commits(Cursor(), GRAPH, {"silver/customers": 1}, own=())
    assert cursor.stale == {"silver/customers", "silver/orders", "gold/sales", "gold/stock"}


def test_a_commit_of_a_known_run_makes_nothing_stale() -> None:
    cursor = observe_commits(Cursor(), GRAPH, {"silver/orders": 1}, own={"silver/orders"})
    assert cursor == Cursor(commits={"silver/orders": 1})


def test_the_next_commit_of_another_process_is_another_request() -> None:
    first = observe_commits(Cursor(), GRAPH, {"silver/orders": 1}, own=())
    request = ask(first, {})
    second = observe_commits(ended(first, request), GRAPH, {"silver/orders": 2}, own=())
    assert ask(second, {}).key != request.key


def test_a_commit_of_another_process_does_not_end_a_backoff() -> None:
    failing = Cursor(backoffs={"silver/orders": Backoff(failures=1, retry_at=NOW + timedelta(hours=1))})
    cursor = observe_commits(failing, GRAPH, {"silver/orders": 1}, own=())
    assert cursor.backoffs == failing.backoffs
    assert plan_run(GRAPH, cursor, {}, NOW) is None
