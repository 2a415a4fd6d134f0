"""What a collector receives of an invocation of capture and of the run that takes its changes to Gold."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from medallion_assets.capture.handler import handler
from medallion_assets.capture.store import open_store
from medallion_assets.telemetry import spans
from medallion_assets_tests.capture.events import change, poison
from medallion_assets_tests.defs.runs import incremental_run, today
from medallion_assets_tests.defs.shop import customer, order, product
from medallion_assets_tests.telemetry.collector import Collector, about


def test_a_change_is_followed_from_the_invocation_to_the_commits(
    lake_on_files: Path, shipped: dg.Definitions, instance: dg.DagsterInstance, traces: Collector
) -> None:
    handler({"Records": [customer("c1"), product("p1"), order("o1"), order("o2")]}, None)
    (invocation,) = traces.named("capture")
    assert about(invocation) == {"records": 4, "dead_letters": 0}
    objects = {about(span)["table"]: span for span in traces.named("write object")}
    assert {table: about(span)["changes"] for table, span in objects.items()} == {
        "Customers": 1,
        "Products": 1,
        "Orders": 2,
    }
    assert {span.links[0].span_id for span in objects.values()} == {invocation.span_id}

    result = incremental_run(shipped, instance, today())
    assert result.success
    (run,) = traces.named("run")
    steps = {about(span)["step"]: span for span in traces.named("step")}
    assert set(steps) == {event.step_key for event in result.all_events if event.is_step_success}
    assert {(span.trace_id, span.parent_span_id) for span in steps.values()} == {(run.trace_id, run.span_id)}
    orders = steps["silver__orders"]
    assert [(link.trace_id, link.span_id) for link in orders.links] == [
        (objects["Orders"].trace_id, objects["Orders"].span_id)
    ]
    assert about(orders)["merged"] == 2
    commits = {about(span)["table"]: span for span in traces.named("commit")}
    assert commits["silver.orders"].parent_span_id == orders.span_id
    assert commits["gold.key_metrics"].parent_span_id == steps["gold__key_metrics"].span_id

    assert {found["service.name"] for found in traces.resources} == {"medallion"}
    sent = "".join(str(span) for span in traces.spans)
    for value in ("o1", "79.99", "ada@example.com", "pending"):
        assert value not in sent, "a trace has no data"
    assert not any(span.events for span in traces.spans)


def test_an_error_is_its_type_and_the_rest_is_sent_at_once(
    bronze: Path, traces: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler({"Records": [change(1), poison(2), change(3)]}, None)
    assert about(traces.named("capture")[0]) == {"records": 3, "dead_letters": 1}

    def fail(*_: object, **__: object) -> None:
        raise ValueError("o-4 is wrong")

    monkeypatch.setattr("medallion_assets.capture.handler.write_bronze", fail)
    with pytest.raises(ValueError, match="o-4"):
        handler({"Records": [change(4), change(5)]}, None)
    failed = traces.named("capture")[1]
    assert (failed.status.code, failed.status.message) == (2, "ValueError")
    assert "o-4" not in str(failed)


def test_what_the_sampler_leaves_out_is_left_out_as_a_whole(
    bronze: Path, traces: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    for number in range(40):
        with spans.run_span(f"run {number}"), spans.step_span(f"run {number}", "a"):
            pass
    runs, steps = traces.named("run"), traces.named("step")
    assert 0 < len(runs) < 40
    assert {span.trace_id for span in runs} == {span.trace_id for span in steps}


def test_a_collector_that_is_away_stops_no_change(bronze: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        handler({"Records": [change(1)]}, None)
    assert len(list(open_store(str(bronze)).list("Orders"))) == 1


@pytest.mark.parametrize(
    ("variables", "is_loaded"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_opentelemetry_is_imported_only_if_it_is_switched_on(
    bronze: Path, variables: dict[str, str], is_loaded: bool
) -> None:
    code = (
        "import sys; from medallion_assets.capture.handler import handler; handler({'Records': []}, None); "
        "print('opentelemetry.sdk.trace' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MEDALLION_BRONZE": str(bronze), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == str(is_loaded)


def test_without_the_extra_capture_goes_on_and_says_so_once(
    bronze: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "medallion_assets.telemetry.sdk", None)
    monkeypatch.delattr("medallion_assets.telemetry.sdk")
    spans._load.cache_clear()
    for number in range(2):
        handler({"Records": [change(number)]}, None)
    spans._load.cache_clear()
    assert len(list(open_store(str(bronze)).list("Orders"))) == 2
    assert [record.getMessage() for record in caplog.records if "medallion-assets[telemetry]" in record.getMessage()]
    assert caplog.text.count("medallion-assets[telemetry]") == 1
