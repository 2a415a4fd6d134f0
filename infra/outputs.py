"""What others may build on: each value is an output of its stack, and an SSM parameter for all who do not use the CDK.

Belongs here: how a value is published. Does not belong here: which values there are (stacks; docs/reference/outputs.md
lists them). Names, ARNs and addresses only: who may read the parameters learns no secret.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ssm as ssm

from infra.settings import Environment


def publish(stack: Stack, settings: Environment, name: str, value: str, description: str) -> None:
    """Publish a value as the output `BucketName` and the parameter /<name>/<environment>/<stack>/bucket-name."""
    output = "".join(word.capitalize() for word in name.replace("/", "-").split("-"))
    CfnOutput(stack, output, value=value, description=description)
    ssm.StringParameter(
        stack,
        f"Parameter{output}",
        parameter_name=f"/{settings.name}/{settings.environment}/{stack.node.id.lower()}/{name}",
        string_value=value,
        description=description,
    )
