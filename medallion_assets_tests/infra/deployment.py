"""Deploying a synthesised stack to the local AWS: what `cdk deploy` does, without the command line tool."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3

from medallion_assets_tests.infra.assembly import Template


def bootstrap(template: Template) -> None:
    """What `cdk bootstrap` leaves behind, as far as a stack asks for it: the version and the assets' bucket."""
    parameter = template.body["Parameters"]["BootstrapVersion"]["Default"]
    boto3.client("ssm").put_parameter(Name=parameter, Value="30", Type="String", Overwrite=True)
    for bucket in {bucket for bucket, _ in template.assets().values()}:
        boto3.client("s3").create_bucket(Bucket=bucket)


def deploy(template: Template, name: str) -> dict[str, Any]:
    """Upload the stack's files and create it. Raises AssertionError with the events of what failed."""
    s3, cloudformation = boto3.client("s3"), boto3.client("cloudformation")
    where = ""
    for file, (bucket, key) in template.assets().items():
        s3.upload_file(str(file), bucket, key)
        if file.name.endswith(".template.json"):
            where = f"https://{bucket}.s3.amazonaws.com/{key}"
    assert where
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(_known(template.body)),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    deadline = time.monotonic() + 60
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [(event["LogicalResourceId"], event.get("ResourceStatusReason")) for event in events]
    assert stack["StackStatus"] == "CREATE_COMPLETE", (stack["StackStatus"], failed)
    return dict(stack)


def _known(body: dict[str, Any]) -> dict[str, Any]:
    """The template without CodeDeploy, which the local AWS refuses: an alias is moved at once there."""
    resources = {
        name: {part: value for part, value in resource.items() if part != "UpdatePolicy"}
        for name, resource in body["Resources"].items()
        if not resource["Type"].startswith("AWS::CodeDeploy::")
    }
    return {**body, "Resources": resources}
