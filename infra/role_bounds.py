"""Where an account wants its roles, and what it lets them do at most: path and permissions boundary of every role.

Belongs here: both, for all roles of the app, those that the CDK makes by itself included. Does not belong here: what a
role may do (access).
"""

from __future__ import annotations

import jsii
from aws_cdk import Aspects, CfnResource, IAspect, Stack
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from infra.settings import Environment


def bound_roles(stack: Stack, settings: Environment) -> None:
    """Give every role of the stack the boundary and the path of the settings, where they name one."""
    if (arn := settings.permissions_boundary_arn) is not None:
        iam.PermissionsBoundary.of(stack).apply(iam.ManagedPolicy.from_managed_policy_arn(stack, "Boundary", arn))
    if settings.role_path != "/":
        Aspects.of(stack).add(_Path(settings.role_path))


@jsii.implements(IAspect)
class _Path:
    def __init__(self, path: str) -> None:
        self._path = path

    def visit(self, node: IConstruct) -> None:
        """Set the path if the node is a role."""
        if isinstance(node, CfnResource) and node.cfn_resource_type == "AWS::IAM::Role":
            node.add_property_override("Path", self._path)
