"""`medallion doctor`: say before a deployment what would make it fail, and after one whether it reads its sources.

Belongs here: arguments and what is shown. Does not belong here: the checks (doctor).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medallion_assets.cli.outcome import ExitCode

ASSEMBLIES = Path("build") / "cdk"
"""Where `make synth` writes the environments, below the working directory."""


def doctor(
    env: Annotated[
        str,
        typer.Option(
            "--env",
            metavar="NAME",
            help="The environment that make synth wrote to build/cdk/NAME, or the path of such a folder.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the AWS account of an environment.

    Reads the templates that make synth wrote, which needs no account, and asks AWS about what they need: the account,
    region, bootstrap, roles, names that are taken, quotas, the DynamoDB tables and their streams, the certificate,
    sign-in and Lake Formation. It makes and changes nothing. After a deployment it also compares the stream that each
    mapping reads with the one that its table writes. "not asked" is what AWS did not answer: nothing is known of it.

    Exits 0 if nothing is wrong; 1 if something is, and says how to correct it.

    \b
    Examples:
      medallion doctor --env prod
      medallion doctor --env prod --json | jq '.findings[] | select(.level == "wrong")'
    """
    from dataclasses import asdict

    from medallion_assets.cli.output import print_json
    from medallion_assets.doctor.account import Account
    from medallion_assets.doctor.assembly import read_assembly
    from medallion_assets.doctor.examine import examine
    from medallion_assets.doctor.finding import Level

    assembly = read_assembly(Path(env) if Path(env).is_dir() else ASSEMBLIES / env)
    findings = []
    for finding in examine(assembly, Account(assembly.region)):
        findings.append(finding)
        if not as_json:
            fix = f". Fix: {finding.fix}" if finding.fix else ""
            typer.echo(f"{finding.level:<9}  {finding.subject}: {finding.seen}{fix}")
    counts = {level.value: sum(finding.level is level for finding in findings) for level in Level}
    if as_json:
        print_json({"environment": assembly.environment, "findings": [asdict(one) for one in findings], **counts})
    else:
        typer.echo(", ".join(f"{count} {level}" for level, count in counts.items()) + ".")
    if counts[Level.WRONG]:
        raise typer.Exit(ExitCode.FOUND)
