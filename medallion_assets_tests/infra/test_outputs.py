"""What others may build on is documented, and the Terraform example asks for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from medallion_assets_tests.infra.assembly import PROJECT, TOOLS, Assembly

PAGE = PROJECT / "docs" / "reference" / "outputs.md"
EXAMPLE = PROJECT / "infra" / "terraform-example"


def published(assembly: Assembly, environment: str) -> dict[str, tuple[str, str]]:
    """The output and the description of each parameter, by its name below the environment's path."""
    found = {}
    for template in assembly.templates:
        for parameter in template.properties("AWS::SSM::Parameter"):
            root = f"/medallion/{environment}/{template.name.lower()}/"
            assert parameter["Name"].startswith(root)
            name = parameter["Name"].removeprefix(root)
            output = "".join(word.capitalize() for word in re.split("[/-]", name))
            assert template.body["Outputs"][output]["Value"] == parameter["Value"], output
            found[f"{template.name.lower()}/{name}"] = (f"{template.name}.{output}", parameter["Description"])
    return found


def test_every_published_value_is_in_the_documentation(assemblies: dict[str, Assembly]) -> None:
    every: dict[str, tuple[str, str]] = {}
    for name, assembly in assemblies.items():
        every |= published(assembly, name)
    rows = [f"| `{name}` | `{output}` | {meaning} |" for name, (output, meaning) in sorted(every.items())]
    written = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert written == rows


def test_every_environment_publishes_the_same_but_a_grafana_of_its_own(assemblies: dict[str, Assembly]) -> None:
    names = {name: set(published(assembly, name)) for name, assembly in assemblies.items()}
    assert names["dev"] == names["stg"] == names["prod"] | {"dashboards/endpoint"}


def test_the_terraform_example_reads_only_what_is_published(dev: Assembly) -> None:
    text = (EXAMPLE / "main.tf").read_text(encoding="utf-8")
    asked = set(re.findall(r'local\.medallion\["([^"]+)"\]', text))
    assert asked and asked <= set(published(dev, "dev"))


def test_the_terraform_example_is_hcl(dev: Assembly) -> None:
    """Parsed by the library that checkov brings. The provider's schema, which knows the attributes, is not asked."""
    code = "import hcl2, json, sys; print(json.dumps(hcl2.load(open(sys.argv[1]))))"
    command = [str(TOOLS / "python"), "-c", code, str(EXAMPLE / "main.tf")]
    parsed: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    declared = {name for resource in parsed["resource"] for name in resource}
    assert declared == {"aws_sqs_queue", "aws_sqs_queue_policy", "aws_sns_topic_subscription", "aws_iam_role_policy"}


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_the_terraform_example_is_formatted() -> None:
    done = subprocess.run(["terraform", "fmt", "-check", "-diff", str(EXAMPLE)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
