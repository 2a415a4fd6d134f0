"""Who decides about the catalog: IAM alone, or Lake Formation, without whose grants the roles see no table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, ok, wrong

_IAM_ONLY = "IAM_ALLOWED_PRINCIPALS"


def check_lake_formation(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield whether new databases and tables are open to whom IAM lets in, or the templates grant what is needed."""
    settings = account.client("lakeformation").get_data_lake_settings()["DataLakeSettings"]
    defaults = ("CreateDatabaseDefaultPermissions", "CreateTableDefaultPermissions")
    governed = [name for name in defaults if not _is_open(settings.get(name, []))]
    if not governed:
        yield ok("Lake Formation", "IAM alone decides about new databases and tables")
    elif assembly.of_type("AWS::LakeFormation::PrincipalPermissions"):
        yield ok("Lake Formation", "it decides about new databases and tables, and the templates have grants")
    else:
        yield wrong(
            "Lake Formation",
            f"it decides about new databases or tables ({', '.join(governed)}), and the templates have no grants",
            "set `lake_formation: true` in the environment's file, or use only IAM for new databases and tables",
        )


def _is_open(permissions: list[dict[str, Any]]) -> bool:
    return any(
        grant["Principal"]["DataLakePrincipalIdentifier"] == _IAM_ONLY and "ALL" in grant["Permissions"]
        for grant in permissions
    )
