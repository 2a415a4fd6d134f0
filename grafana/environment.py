"""Where a Grafana stands: what of an environment's settings (`infra/environments`) its files need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from infra import settings
from infra.settings import FOLDER, load_environment
from medallion_assets.errors import SettingsError

COMMITTED: Final = "dev"
"""The environment whose files are in the repository."""


@dataclass(frozen=True)
class Environment:
    """One environment: its name, domain, region, Athena workgroup, SNS topic for alerts, the address of Dagster's page.

    `role` is what a Grafana of one's own assumes; None: a managed workspace has it itself. There are no keys. The
    SQL of dashboards and alerts names Glue's databases with `database_prefix`.
    """

    name: str
    domain: str
    region: str
    workgroup: str
    topic: str
    dagster: str
    role: str | None
    database_prefix: str

    @classmethod
    def of(cls, there: settings.Environment) -> Self:
        """That of an environment's settings."""
        return cls(
            name=there.environment,
            domain=there.domain,
            region=there.region,
            workgroup=f"{there.prefix}-grafana",
            topic=there.arn("sns", there.alerts_topic),
            dagster=f"https://{there.orchestrator.hostname}",
            role=(there.role_arn("grafana") if there.dashboards.grafana == "existing" else None),
            database_prefix=there.database_prefix,
        )

    @classmethod
    def load(cls, name: str) -> Self:
        """The one in `infra/environments/<name>.yaml`. Raises ContractError or SettingsError."""
        path = FOLDER / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
            raise SettingsError(f"No environment {name!r}; expected one of {known}, or write {path.name} next to them.")
        return cls.of(load_environment(path))

    @property
    def uid(self) -> str:
        """Of its data source and folder; its contact point has it as name, and the uids of its rules begin with it."""
        return f"medallion-{self.name}"
