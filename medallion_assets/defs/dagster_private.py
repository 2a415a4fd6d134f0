"""The only file that imports private parts of Dagster, which a minor version may move or change.

Belongs here: each private name, and why there is no public one for it. Does not belong here: using them. A test checks
that no other file imports `dagster._...`, and that the installed Dagster is of a version they were checked with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

# The metadata of an output that Dagster does not take for a materialization. A step that reports other partitions than
# its run's yields one: without an output, Dagster would skip what is downstream of the step.
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as NO_MATERIALIZATION

# A run launcher of one's own is a subclass of these; Dagster exports its launchers, but not the base class.
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus

# Tags with the prefix are left out on the page of runs. A run is found by the key of its request and by the sensor that
# requested it; the page shows the one nowhere and the other in a column of its own.
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX, RUN_KEY_TAG, SENSOR_NAME_TAG

# The command that runs a run, as Dagster's own launchers build it.
from dagster._grpc.types import ExecuteRunArgs

# What dagster.yaml can name a class of.
from dagster._serdes import ConfigurableClass, ConfigurableClassData

__all__ = [
    "CHECKED_VERSIONS",
    "HIDDEN_TAG_PREFIX",
    "NO_MATERIALIZATION",
    "RUN_KEY_TAG",
    "SENSOR_NAME_TAG",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "ExecuteRunArgs",
    "LaunchRunContext",
    "RunLauncher",
    "WorkerStatus",
    "import_command_line",
    "run_command_line",
]

CHECKED_VERSIONS: Final = ">=1.13.27,<1.14"
"""The versions of Dagster that these names were checked with; pyproject.toml requires the same."""


def import_command_line() -> None:
    """Import what `run_command_line` needs, and the daemon's main module, which Python imports in a fork of it."""
    import dagster._cli
    import dagster._daemon.cli  # noqa: F401


def run_command_line(arguments: Sequence[str]) -> None:
    """Run a command such as `dagster api execute_run` in this process, which ends with it."""
    from dagster._cli import main

    sys.argv = list(arguments)
    main()  # type: ignore[no-untyped-call]
