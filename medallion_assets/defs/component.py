"""The Dagster component: one domain of a `dg` project, named in a `defs.yaml`.

Belongs here: what can be written in `defs.yaml`, and what `dg scaffold` writes. Does not belong here: the definitions
themselves (build).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field, field_validator

from medallion_assets.contracts.loader import EXAMPLE_DOMAIN, domain_folder
from medallion_assets.defs.build import build_defs
from medallion_assets.defs.resources import MedallionResource
from medallion_assets.settings import VARIABLES, DomainSettings

_SCHEMA_LINE: Final = "# yaml-language-server:"


class Variable(dg.Model):
    """A value that is read from an environment variable when a step or a sensor needs it."""

    env: str


def _setting(name: str) -> Any:
    description = DomainSettings.model_fields[name].description
    return Field(default_factory=lambda: Variable(env=VARIABLES[name]), description=description)


class SettingsAttributes(dg.Resolvable, dg.Model):
    """Where the domain lives: values, or variables as `{env: NAME}`; what is left out is read from MEDALLION_..."""

    bronze: str | Variable = _setting("bronze")
    warehouse: str | Variable = _setting("warehouse")
    catalog: str | Variable = _setting("catalog")
    region: str | Variable = _setting("region")
    raw: str | Variable = _setting("raw")
    exports: str | Variable = _setting("exports")
    read_capacity: float | str | Variable = _setting("read_capacity")
    engine: str | Variable = _setting("engine")
    engine_timeout_seconds: int | str | Variable = _setting("engine_timeout_seconds")
    freshness: str | Variable = _setting("freshness")
    engine_result_mb: int | str | Variable = _setting("engine_result_mb")
    trino_url: str | Variable = _setting("trino_url")
    trino_catalog: str | Variable = _setting("trino_catalog")
    trino_user: str | Variable = _setting("trino_user")
    trino_password: str | Variable = _setting("trino_password")
    athena_workgroup: str | Variable = _setting("athena_workgroup")
    athena_output: str | Variable = _setting("athena_output")
    athena_catalog: str | Variable = _setting("athena_catalog")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_unset_template(cls, value: object) -> object:
        if value is None:
            raise ValueError(
                "no value; a variable in {{ env.NAME }} is read when definitions load, and this one was not set then. "
                "Set it, or write {env: NAME}, which is read when a run needs it"
            )
        return value

    def resource(self) -> MedallionResource:
        """Return the domain's resource."""
        return MedallionResource(**self.model_dump())


class ScaffoldParams(dg.Model):
    """What `dg scaffold defs medallion_assets.DomainComponent` takes."""

    domain: str | None = Field(
        default=None,
        description="A folder with a domain.yaml, or the name of a shipped domain. Without it an example is written.",
    )


class DomainScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes a `defs.yaml`, and an example domain next to it if none is named."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Return the model of the parameters."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write what was asked for. A domain that is there already is kept as it is."""
        domain = request.params.domain
        if domain is None:
            folder = request.target_path.parent if request.append else request.target_path
            domain = f"./{folder.name}"
            if not (folder / domain).exists():
                _write_example(folder / domain)
        dg.scaffold_component(request, {"domain": domain})


@dg.scaffold_with(DomainScaffolder)
class DomainComponent(dg.Component, dg.Resolvable, dg.Model):
    """One domain: its DynamoDB tables as exact Iceberg tables and audited marts, with checks, sensors and schedules."""

    domain: str = Field(
        description="The folder with domain.yaml, relative to the folder of defs.yaml, or the name of a shipped domain."
    )
    key_prefix: str | list[str] = Field(
        default=[],
        description="What every asset key begins with. Two domains in one project need two prefixes.",
    )
    group_name: str | None = Field(
        default=None, description="The group of all assets of the domain; without it each layer is a group."
    )
    settings: SettingsAttributes = Field(
        default_factory=SettingsAttributes, description="Where the domain lives, and how fast its source may be read."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions of the domain. Raises ContractError, MartError, DagsterInvalidDefinitionError."""
        others = context.component_tree.get_all_components(DomainComponent)
        # Names of sensors and jobs are joined with `_`, so `a_b` and `[a, b]` are the same prefix, too.
        prefix = "_".join(_parts(self.key_prefix))
        same = [other.domain for other in others if "_".join(_parts(other.key_prefix)) == prefix]
        if len(same) > 1:
            raise dg.DagsterInvalidDefinitionError(
                f"The domains {', '.join(same)} have the same key prefix, {prefix or 'none'}. Expected one each: set "
                "`key_prefix` in the attributes of all but one."
            )
        folder = Path(context.path) / self.domain
        return build_defs(
            folder if "/" in self.domain or folder.is_dir() else self.domain,
            key_prefix=_parts(self.key_prefix),
            group_name=self.group_name,
            resource=self.settings.resource(),
        )


def _write_example(folder: Path) -> None:
    """Copy the example, without the lines that tell an editor where the package keeps its schemas."""
    example = domain_folder(EXAMPLE_DOMAIN)
    for file in (path for path in sorted(example.rglob("*")) if path.is_file()):
        lines = file.read_text("utf-8").splitlines(keepends=True)
        copy = folder / file.relative_to(example)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("".join(line for line in lines if not line.startswith(_SCHEMA_LINE)), "utf-8")


def _parts(key_prefix: str | list[str]) -> list[str]:
    return [key_prefix] if isinstance(key_prefix, str) else key_prefix
