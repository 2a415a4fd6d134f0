"""Writes the generated files: those in the repository (`make dashboards`), or others elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from grafana.environment import COMMITTED, Environment
from grafana.files import FOLDER, generated, local
from medallion_assets.errors import MedallionError, SettingsError


def main(arguments: Sequence[str]) -> int:
    """Read the arguments and write. Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("--environment", default=COMMITTED, help="the name of a file in infra/environments")
    parser.add_argument("--domain", help="a shipped domain's name or a folder, in place of the environment's")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder to write to")
    parser.add_argument("--local", action="store_true", help="for infra/local/compose.yaml: Trino instead of Athena")
    given = parser.parse_args(arguments)
    try:
        environment = Environment.load(given.environment)
        files = generated(replace(environment, domain=given.domain) if given.domain else environment)
        for path, text in (local(files) if given.local else files).items():
            _write(given.out / path, text)
    except MedallionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as refused:
        raise SettingsError(
            f"{path}: cannot be written: {refused.strerror}; choose another folder by --out"
        ) from refused


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
