"""Grants of Lake Formation, for accounts in which IAM alone does not open the catalog (`lake_formation: true`).

Belongs here: the rights of a role on databases and tables that are not in its IAM policy. Does not belong here: files.
Runs and Athena read them with the role's own rights, so the place of the lake is not registered with Lake Formation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lakeformation as lakeformation

from infra.settings import Environment

READ: Final = ("DESCRIBE", "SELECT")
WRITE: Final = (*READ, "INSERT", "DELETE", "ALTER")
REBUILD: Final = (*WRITE, "DROP")

_Resource = lakeformation.CfnPrincipalPermissions.ResourceProperty


def grant_tables(settings: Environment, role: iam.Role, layers: Sequence[str], permissions: Sequence[str]) -> None:
    """Grant a role permissions on all tables of these layers, in the role's stack, if the environment asks for it.

    Who may write also creates the tables; the databases are the Lake stack's.
    """
    if not settings.lake_formation:
        return

    def grant(name: str, resource: lakeformation.CfnPrincipalPermissions.ResourceProperty, *what: str) -> None:
        lakeformation.CfnPrincipalPermissions(
            Stack.of(role),
            f"{role.node.id}{name}",
            principal=lakeformation.CfnPrincipalPermissions.DataLakePrincipalProperty(
                data_lake_principal_identifier=role.role_arn
            ),
            resource=resource,
            permissions=list(what),
            permissions_with_grant_option=[],
        )

    account = settings.account
    for layer in layers:
        database = settings.database(layer)
        grant(
            f"Database{layer}",
            _Resource(
                database=lakeformation.CfnPrincipalPermissions.DatabaseResourceProperty(
                    catalog_id=account, name=database
                )
            ),
            "DESCRIBE",
            *(["CREATE_TABLE"] if "INSERT" in permissions else []),
        )
        grant(
            f"Tables{layer}",
            _Resource(
                table=lakeformation.CfnPrincipalPermissions.TableResourceProperty(
                    catalog_id=account, database_name=database, table_wildcard={}
                )
            ),
            *permissions,
        )
