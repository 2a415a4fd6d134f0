"""Find the domain and the AWS that a command works on: those of its environment, or the local stack that runs here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from medallion_assets.settings import Settings

STATE = Path(".medallion")
"""The folder, below the working directory, in which the local stack keeps everything."""

_NAMED_BY = ("MEDALLION_DOMAIN", "MEDALLION_BRONZE", "MEDALLION_WAREHOUSE", "MEDALLION_CATALOG")


def settings() -> Settings:
    """Return the settings of the environment; if it has none, those of the stack that runs in this folder.

    Without MEDALLION_DOMAIN, a current folder with a domain.yaml is the domain. The stack's settings are put into this
    process's environment, because boto3 reads its own settings there. Raises SettingsError.
    """
    from medallion_assets.settings import Settings

    if not any(name in os.environ for name in _NAMED_BY):
        from medallion_assets.local.stackfile import running_stack

        if found := running_stack(STATE):
            os.environ.update(found)
            typer.echo(f"Using the local stack that runs in {STATE.resolve()}.", err=True)
    if "MEDALLION_DOMAIN" not in os.environ and Path("domain.yaml").is_file():
        os.environ["MEDALLION_DOMAIN"] = "."
    chosen = Settings.load()
    os.environ.setdefault("AWS_DEFAULT_REGION", chosen.region)  # boto3 does not read AWS_REGION
    return chosen
