"""The account that is asked: clients, and what the environment's stacks have made in it already.

Belongs here: requests that several checks need, each made once. Does not belong here: what is right or wrong.
"""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from medallion_assets.doctor.assembly import Resource
from medallion_assets.doctor.finding import code
from medallion_assets.lake.aws import open_session

_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})


class Account:
    """One account in one region, with the credentials of this process."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._session: Any = open_session(region)
        self._clients: dict[str, Any] = {}
        self._made: dict[str, dict[str, str]] = {}
        self._tables: dict[str, dict[str, Any] | None] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, config=_CONFIG)
        return self._clients[service]

    def made(self, stack: str) -> dict[str, str]:
        """Return what a stack has made: the physical id of each resource by its logical one. Raises ClientError."""
        if stack not in self._made:
            try:
                pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
                self._made[stack] = {
                    one["LogicalResourceId"]: one["PhysicalResourceId"]
                    for page in pages
                    for one in page["StackResourceSummaries"]
                    if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
                }
            except ClientError as refused:
                if code(refused) != "ValidationError":  # there is no such stack
                    raise
                self._made[stack] = {}
        return self._made[stack]

    def physical_id(self, resource: Resource) -> str | None:
        """Return the id of what the environment's stack has made of a resource; None if it made nothing."""
        return self.made(resource.stack).get(resource.id)

    def table(self, arn: str) -> dict[str, Any] | None:
        """Return what DynamoDB says of a table; None if there is none. Raises ClientError."""
        if arn not in self._tables:
            try:
                # The whole ARN would do as well, except that the local AWS knows names only.
                name = arn.partition(":table/")[2]
                self._tables[arn] = dict(self.client("dynamodb").describe_table(TableName=name)["Table"])
            except ClientError as refused:
                if code(refused) != "ResourceNotFoundException":
                    raise
                self._tables[arn] = None
        return self._tables[arn]
