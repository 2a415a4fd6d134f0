"""Dagster's own run tags that are read here. The pages hide them or show them in a column, so a run stays one line."""

from typing import Final

RUN_KEY: Final = "dagster/run_key"
"""The key of the request that a run was launched for."""

SENSOR_NAME: Final = "dagster/sensor_name"
"""The sensor that launched a run."""
