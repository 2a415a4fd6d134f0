"""The calls to AWS that code makes, held against what a role of a template may do: the local AWS enforces no IAM.

Belongs here: what boto3 is asked (also by the catalog); resources and conditions as far as our roles have any. What
Arrow and DuckDB do with S3 is not seen.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.client import BaseClient

from medallion_assets_tests.infra.assembly import Template

_S3 = {"ListObjectsV2": "ListBucket"}
"""Operations that need a permission of another name."""


@dataclass(frozen=True)
class Need:
    """An action on a resource (an ARN without region and account), and for a listing the prefix that is listed."""

    action: str
    resource: str
    prefix: str | None = None


@contextmanager
def recorded() -> Iterator[set[Need]]:
    """What the clients of this process need permissions for, while it is open."""
    needs: set[Need] = set()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def record(client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        needs.update(_needs(client.meta.service_model.service_name, operation, parameters))
        return call(client, operation, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", record)
        yield needs


def refused(template: Template, role: str, needs: set[Need]) -> set[Need]:
    """Those that no statement of the role allows; `role` is how its logical id starts."""
    return {need for need in needs if not any(_allows(one, need) for one in _statements(template, role))}


def _needs(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
    match service:
        case "glue":
            action = f"glue:{operation}"
            yield Need(action, "catalog")
            database = parameters.get("DatabaseName") or parameters.get("Name")
            if "DatabaseInput" in parameters:
                database = parameters["DatabaseInput"]["Name"]
            yield Need(action, f"database/{database}")
            table = parameters.get("TableInput", parameters).get("Name", "*")
            if "Table" in operation:
                yield Need(action, f"table/{database}/{table}")
        case "s3":
            action, bucket = f"s3:{_S3.get(operation, operation)}", parameters["Bucket"]
            if action == "s3:ListBucket":
                yield Need(action, bucket, parameters.get("Prefix", ""))
            else:
                yield Need(action, f"{bucket}/{parameters['Key']}")
        case "dynamodb":
            for table in parameters.get("RequestItems") or [parameters["TableName"]]:
                yield Need(f"dynamodb:{operation}", f"table/{table}")
        case _:
            yield Need(f"{service}:{operation}", "*")


def _statements(template: Template, role: str) -> Iterator[Mapping[str, Any]]:
    for policy in template.policies():
        if any(entry["Ref"].startswith(role) for entry in policy["Roles"]):
            yield from policy["PolicyDocument"]["Statement"]


def _allows(statement: Mapping[str, Any], need: Need) -> bool:
    actions, resources = _listed(statement["Action"]), map(str, _listed(statement["Resource"]))
    if need.action not in actions:
        return False
    if not any(fnmatch.fnmatchcase(need.resource, arn.split(":", 5)[-1]) for arn in resources):
        return False
    prefixes = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
    return prefixes is None or any(fnmatch.fnmatchcase(need.prefix or "", one) for one in _listed(prefixes))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
