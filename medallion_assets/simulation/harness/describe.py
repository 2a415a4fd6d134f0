"""Describe a history in words: what happens, in which order, and which faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from medallion_assets.simulation.harness.histories import History


def describe(history: History) -> Iterator[str]:
    """Yield one line for each event; faults follow the act they happen in."""
    capture = history.capture
    pace = ", ".join(f"{name} {value}" for name, value in capture.settings.items() if value)
    yield f"{history.start:%Y-%m-%d %H:%M:%S} UTC; {history.shards} shard(s) a table; capture by {capture.kind}: {pace}"
    if history.layered:
        yield "  with marts over marts"
    if history.entities:
        yield "  with a single-table design"
    if capture.skew_s or capture.lag_s:
        yield f"  its clocks are up to {capture.skew_s} s off, an invocation takes up to {capture.lag_s} s"
    if capture.script is None and capture.fault_profile != "calm":
        yield f"  faults in capture: {capture.fault_profile}"
    for fault in capture.script or ():
        yield f"  in capture: {fault.kind} at call {fault.nth} of {fault.point}{_seconds(fault.seconds)}"
    for at, act in enumerate(history.acts, start=1):
        given = {name: value for name, value in act.given.items() if name != "changes" and value is not None}
        yield f"{at:>3}. {act.do}{''.join(f' {name}={value}' for name, value in given.items())}"
        for change in act.given.get("changes", ()):
            yield f"     {_change(change)}"
        if act.script is None and act.fault_profile != "calm":
            yield f"     faults: {act.fault_profile}, by seed {act.seed}"
        for fault in act.script or ():
            yield f"     {fault.kind} at call {fault.nth} of {fault.point}{_seconds(fault.seconds)}"


def _change(change: Mapping[str, Any]) -> str:
    if "transact" in change:
        return "together: " + "; ".join(_change(one) for one in change["transact"])
    (verb,) = [verb for verb in ("put", "update", "delete") if verb in change]
    marks = "".join(f" [{mark}]" for mark in ("bad", "poison") if change.get(mark))
    more = f" set {json.dumps(change['set'], ensure_ascii=False)}" if verb == "update" else ""
    return f"{verb} {change['table']} {json.dumps(change[verb], ensure_ascii=False)}{more}{marks}"


def _seconds(seconds: float) -> str:
    return f", {seconds} s" if seconds else ""
