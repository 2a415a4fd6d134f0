"""The pipeline on this machine over DynamoDB tables that exist: Bronze and the lake are folders here.

Belongs here: the settings of such a pipeline. Does not belong here: whether the tables can be read (connect), the
processes (`pipeline`). Nothing here writes to DynamoDB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from medallion_assets.capture.poller.checkpoint import read_gaps
from medallion_assets.contracts.loader import Domain
from medallion_assets.local.pipeline import (
    Owned,
    Pipeline,
    environment,
    interruptible,
    require_dagster,
    start_pipeline,
)
from medallion_assets.local.processes import choose_port
from medallion_assets.local.stackfile import announce, only_stack
from medallion_assets.settings import READ_ONLY_SOURCE, VARIABLES

_CHECKPOINT: Final = "poller.sqlite"
_PREFIXES: Final = ("MEDALLION_", "DAGSTER_")
_KEPT: Final = ("read_capacity", "source_tables", "exports", "freshness", "duckdb_memory_mb", "spill_folder", "live")
"""The settings of the user's environment that are not about where the lake is."""


@contextmanager
def run_connected(
    domain: Domain,
    *,
    state: Path,
    region: str,
    dagster_port: int | None,
    resume: Sequence[str] = (),
    starting: Callable[[], object] = lambda: None,
) -> Iterator[Pipeline]:
    """Run the poller and Dagster over the tables of this process's AWS credentials while inside.

    Bronze, the lake and what was captured stay below `state`, and the next start goes on with them. Dagster listens on
    127.0.0.1. The tables `resume` had lost changes, and are captured again from the oldest that their streams have.
    `starting` is called once nothing refuses any more. Raises LocalStackError if a stack already runs on
    `state`, the port is taken or something does not start,
    ExtraMissing and SettingsError.
    """
    require_dagster()
    state = state.resolve()
    folder = state / "connected"
    with only_stack(state), interruptible() as ignore_signals, Owned() as owned:
        try:
            port = choose_port(dagster_port)
            starting()
            for log in folder.glob("*.log"):  # else what a former run has written would say that this one is ready
                log.unlink()
            dagster = {"MEDALLION_DAGSTER_URL": f"http://127.0.0.1:{port}"}
            chosen = _settings(domain, folder, region) | dagster
            owned.enter_context(environment(chosen, owned_prefixes=_PREFIXES))
            (folder / "warehouse").mkdir(parents=True, exist_ok=True)
            pipeline = start_pipeline(domain, folder, owned, dagster_port=port, resume=resume)
            # Credentials stay where the user keeps them: other commands find them there, too.
            announce(state, {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)})
            yield pipeline
        finally:
            ignore_signals()


def lost_changes(domain: Domain, *, state: Path) -> list[str]:
    """Return the DynamoDB tables of which changes were lost since they were captured in `state`.

    Their capture has stopped. Raises CheckpointUnusable.
    """
    gaps = read_gaps(state / "connected" / _CHECKPOINT)
    return [table for table in domain.sources if table in gaps]


def _settings(domain: Domain, folder: Path, region: str) -> dict[str, str]:
    kept = [VARIABLES[field] for field in _KEPT] + ["MEDALLION_SINCE"]
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "MEDALLION_DOMAIN": str(domain.folder),
        "MEDALLION_BRONZE": str(folder / "bronze"),
        "MEDALLION_WAREHOUSE": str(folder / "warehouse"),
        "MEDALLION_CATALOG": "sqlite",
        "MEDALLION_CHECKPOINT": str(folder / _CHECKPOINT),
        "MEDALLION_RAW": str(folder / "raw"),
        "DAGSTER_HOME": str(folder / "dagster"),
        READ_ONLY_SOURCE: "1",
    }
