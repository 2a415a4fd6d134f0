"""What would be deployed: the cloud assembly that `make synth` writes to build/cdk/<environment>.

Belongs here: reading the CDK's manifest and the templates. Does not belong here: what AWS has of it (account).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

from medallion_assets.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a template; `stack` is the name of its stack in the account."""

    stack: str
    id: str
    type: str
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Assembly:
    """One environment as it was synthesised.

    - stacks: the stacks' names in the account
    - bootstrap_parameter, bootstrap_version: the SSM parameter with the version of the CDK's bootstrap, and the oldest
      version that will do
    - deploying_roles: the roles of the bootstrap that a deployment takes on
    - executing_role: the role with which CloudFormation makes the resources
    - outputs: the values of all stacks' outputs that are text in the template
    """

    environment: str
    account: str
    region: str
    stacks: tuple[str, ...]
    bootstrap_parameter: str
    bootstrap_version: int
    deploying_roles: tuple[str, ...]
    executing_role: str
    resources: tuple[Resource, ...]
    outputs: Mapping[str, str]

    def of_type(self, kind: str) -> list[Resource]:
        """Return the resources of a type, such as `AWS::S3::Bucket`."""
        return [resource for resource in self.resources if resource.type == kind]


def read_assembly(folder: Path) -> Assembly:
    """Return the assembly in `folder`. Raises SettingsError if there is none."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise SettingsError(
            f"There is no {manifest}. Expected what the CDK synthesised: run make synth ENV={folder.name}, in a "
            "checkout, and name the environment or the folder build/cdk/<environment>."
        )
    artifacts = json.loads(manifest.read_text(encoding="utf-8"))["artifacts"]
    stacks = [one for one in artifacts.values() if one["type"] == "aws:cloudformation:stack"]
    places = {one["environment"] for one in stacks}
    if len(places) != 1:
        raise SettingsError(f"{manifest}: the stacks are in {sorted(places)}; expected one account and region.")
    account, region = places.pop().removeprefix("aws://").split("/")
    partition = botocore.session.get_session().get_partition_for_region(region)
    templates = {
        one["properties"]["stackName"]: json.loads((folder / one["properties"]["templateFile"]).read_text("utf-8"))
        for one in stacks
    }
    properties = [one["properties"] for one in stacks]
    roles = {role for one in properties for role in (one["assumeRoleArn"], one["lookupRole"]["arn"])}
    for one in artifacts.values():
        if one["type"] == "cdk:asset-manifest":
            roles |= _publishing_roles(folder / one["properties"]["file"])
    return Assembly(
        environment=folder.name,
        account=account,
        region=region,
        stacks=tuple(templates),
        bootstrap_parameter=properties[0]["bootstrapStackVersionSsmParameter"],
        bootstrap_version=max(one["requiresBootstrapStackVersion"] for one in properties),
        deploying_roles=tuple(sorted(_in_partition(role, partition) for role in roles)),
        executing_role=_in_partition(properties[0]["cloudFormationExecutionRoleArn"], partition),
        resources=tuple(
            Resource(stack, name, one["Type"], one.get("Properties", {}), one.get("Metadata", {}))
            for stack, template in templates.items()
            for name, one in template["Resources"].items()
        ),
        outputs={
            name: one["Value"]
            for template in templates.values()
            for name, one in template.get("Outputs", {}).items()
            if isinstance(one["Value"], str)
        },
    )


def _publishing_roles(file: Path) -> set[str]:
    """Return the roles that upload the files and images of a stack."""
    listed = json.loads(file.read_text(encoding="utf-8"))
    return {
        place["assumeRoleArn"]
        for kind in ("files", "dockerImages")
        for asset in listed.get(kind, {}).values()
        for place in asset["destinations"].values()
        if "assumeRoleArn" in place
    }


def _in_partition(arn: str, partition: str) -> str:
    return arn.replace("${AWS::Partition}", partition)
