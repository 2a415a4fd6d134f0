"""The run config of the steps of Bronze, Silver and Gold: what a step does in this run, shown with the run.

Belongs here: the config and its meaning for all three layers. Does not belong here: who sets it (sensors), what a step
does (bronze, silver, gold).
"""

from collections.abc import Iterable
from typing import Any, Literal

import dagster as dg
from pydantic import Field


class StepConfig(dg.Config):
    """What a step of Bronze, Silver or Gold does. The default is what a run from the page asks for."""

    mode: Literal["partitions", "incremental"] = Field(
        default="partitions",
        description=(
            "`partitions`: read exactly the run's days again, whole. `incremental`: take only what is new. For Bronze "
            "and Silver that is the objects of the run's day that Silver does not contain yet; for a mart it is the "
            "days or keys that changed in Silver since its last refresh. The sensor sets `incremental`. A mart that "
            "is refreshed by keys has no partitions here: `partitions` computes all of it."
        ),
    )

    @property
    def incremental(self) -> bool:
        """Whether the step takes only what is new."""
        return self.mode == "incremental"


def incremental_run_config(keys: Iterable[dg.AssetKey]) -> dict[str, Any]:
    """Return the config of a run in which the steps of these assets take only what is new."""
    return {"ops": {key.to_python_identifier(): {"config": {"mode": "incremental"}} for key in keys}}
