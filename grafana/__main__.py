"""Writes the generated files: those in the repository (`make dashboards`), or another environment's elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from grafana.environment import COMMITTED, Environment
from grafana.files import FOLDER, generated, local


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(prog="python -m grafana", description=__doc__)
    parser.add_argument("--environment", default=COMMITTED, help="the name of a file in infra/environments")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder to write to")
    parser.add_argument("--local", action="store_true", help="for infra/local/compose.yaml: Trino instead of Athena")
    given = parser.parse_args()
    files = generated(Environment.load(given.environment))
    for path, text in (local(files) if given.local else files).items():
        (given.out / path).parent.mkdir(parents=True, exist_ok=True)
        (given.out / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
