"""Where a Grafana stands: what of an environment's settings (`infra/environments`) its files need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from infra import settings
from infra.settings import FOLDER, load_environment

COMMITTED: Final = "dev"
"""The environment whose files are in the repository."""


@dataclass(frozen=True)
class Environment:
    """One environment: its name, region, Athena workgroup, the SNS topic for alerts, the address of Dagster's page.

    `role` is what a Grafana of one's own assumes; None: a managed workspace has it itself. There are no keys.
    """

    name: str
    region: str
    workgroup: str
    topic: str
    dagster: str
    role: str | None

    @classmethod
    def of(cls, there: settings.Environment) -> Self:
        """That of an environment's settings."""
        return cls(
            name=there.environment,
            region=there.region,
            workgroup=f"{there.prefix}-grafana",
            topic=f"arn:aws:sns:{there.region}:{there.account}:{there.prefix}-alerts",
            dagster=f"https://{there.orchestrator.hostname}",
            role=(
                f"arn:aws:iam::{there.account}:role/{there.prefix}-grafana"
                if there.dashboards.grafana == "existing"
                else None
            ),
        )

    @classmethod
    def load(cls, name: str) -> Self:
        """The one in `infra/environments/<name>.yaml`. Raises ContractError or SettingsError."""
        return cls.of(load_environment(FOLDER / f"{name}.yaml"))

    @property
    def uid(self) -> str:
        """Of its data source and folder; its contact point has it as name, and the uids of its rules begin with it."""
        return f"medallion-{self.name}"
