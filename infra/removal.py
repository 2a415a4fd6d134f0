"""What becomes of a resource with data when its stack is deleted: it stays, or goes with the stack.

Belongs here: the policy of everything that holds data. Does not belong here: the snapshot that a database leaves
(constructs.database), and protection against deletion by hand (`protected` in settings).
"""

from __future__ import annotations

from aws_cdk import RemovalPolicy

from infra.settings import Environment


def removal_policy(settings: Environment) -> RemovalPolicy:
    """Return the policy of this environment.

    What is kept goes nevertheless when the operation that made it fails: what stayed would have the name that the next
    attempt needs.
    """
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if settings.keep_data else RemovalPolicy.DESTROY
