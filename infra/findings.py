"""What cdk-nag and checkov find and we mean to be so: told at the construct, with the reason.

Belongs here: telling the two tools. There is no baseline file beside: a finding is accepted for one construct, so a new
table inherits the reason and a new bucket does not.
"""

from __future__ import annotations

from aws_cdk import Acknowledgment, CfnResource, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, finding: str, why: str) -> None:
    """Tell cdk-nag that a finding on a construct is meant to be. Raises ValueError without a reason."""
    _need_reason(construct, finding, why)
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=why))


def accept(construct: IConstruct, **checks: str) -> None:
    """Tell checkov the same, in the template: `CKV_AWS_21="why"`. Raises ValueError without a reason."""
    resource = construct if isinstance(construct, CfnResource) else construct.node.default_child
    assert isinstance(resource, CfnResource), construct.node.path  # noqa: S101 - what we accept is one resource
    for check, why in checks.items():
        _need_reason(construct, check, why)
    skipped = [{"id": check, "comment": why} for check, why in checks.items()]
    resource.add_metadata("checkov", {"skip": skipped})


def _need_reason(construct: IConstruct, finding: str, why: str) -> None:
    if not why:
        raise ValueError(f"{construct.node.path}: {finding}: no reason; say why it is right, or mend it")
