"""Who may do what with the lake, derived from the contracts and marts: IAM statements, no principals.

Belongs here: one function per need. A resource is named as far as IAM can name it; where it cannot, the reason stands
beside the wildcard, and again where cdk-nag is told (checks). Does not belong here: which role gets it (stacks).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aws_cdk import aws_iam as iam

from infra.settings import Environment
from medallion_assets.contracts.loader import Domain

_READ_TABLE: Final = ("glue:GetTable", "glue:GetTables")


def mart_names(domain: Domain) -> list[str]:
    """The marts of the domain, by the folders they are."""
    return sorted(path.parent.name for path in (domain.folder / "marts").glob("*/mart.yaml"))


def tables(domain: Domain) -> dict[str, list[str]]:
    """The Iceberg tables of each layer; `ops` is the pipeline's own, and grows with it."""
    names = sorted(contract.lake_name for contract in domain.tables)
    return {"silver": names, "quarantine": names, "gold": mart_names(domain), "ops": ["*"]}


def write_bronze(settings: Environment, domain: Domain) -> list[iam.PolicyStatement]:
    """Put Bronze objects of the domain's tables, and nothing else: not read, not list, not delete."""
    prefixes = [f"bronze/{contract.table}" for contract in domain.tables]
    return [_statement("WriteBronze", ["s3:PutObject"], _objects(settings, prefixes))]


def read_stream(stream_arn: str, table: str) -> iam.PolicyStatement:
    """Read one table's stream, as an event source mapping does."""
    actions = ["DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"]
    return _statement(f"ReadStream{_word(table)}", [f"dynamodb:{action}" for action in actions], [stream_arn])


def read_bronze(settings: Environment, domain: Domain) -> list[iam.PolicyStatement]:
    """List and read Bronze: objects, gap markers and the poller's marks."""
    places = [f"bronze/{folder}{contract.table}" for contract in domain.tables for folder in ("", "_gaps/")]
    prefixes = [*places, "bronze/_polled"]
    return [
        _list(settings, "ListBronze", prefixes),
        _statement("ReadBronze", ["s3:GetObject"], _objects(settings, prefixes)),
    ]


def write_lake(settings: Environment, domain: Domain) -> list[iam.PolicyStatement]:
    """Read and write the Iceberg tables of Silver, Gold, quarantine and ops: files and catalog entries."""
    layers = tables(domain)
    prefixes = [f"warehouse/{layer}/{name}" for layer, names in layers.items() for name in names if name != "*"]
    prefixes.append("warehouse/ops")
    databases = [_glue(settings, f"database/{layer}") for layer in layers]
    entries = [_glue(settings, f"table/{layer}/{name}") for layer, names in layers.items() for name in names]
    catalog = _glue(settings, "catalog")
    return [
        _list(settings, "ListLake", prefixes),
        _statement(
            "WriteLake",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            _objects(settings, prefixes),
        ),
        _statement(
            "ReadCatalog", ["glue:GetDatabase", *_READ_TABLE], [catalog, *databases, *_any_table(settings, layers)]
        ),
        _statement("WriteCatalog", ["glue:CreateTable", "glue:UpdateTable"], [catalog, *databases, *entries]),
    ]


def read_layers(settings: Environment, layers: Sequence[str]) -> list[iam.PolicyStatement]:
    """Read whole layers through Athena: files and catalog entries."""
    prefixes = [f"warehouse/{layer}" for layer in layers]
    databases = [_glue(settings, f"database/{layer}") for layer in layers]
    return [
        _list(settings, "ListLayers", prefixes),
        _statement("ReadLayers", ["s3:GetObject"], _objects(settings, prefixes)),
        _statement(
            "ReadLayersCatalog",
            ["glue:GetDatabase", "glue:GetDatabases", *_READ_TABLE, "glue:GetPartitions"],
            [_glue(settings, "catalog"), *databases, *_any_table(settings, layers)],
        ),
    ]


def query(settings: Environment, workgroup: str, results_bucket: str, prefix: str) -> list[iam.PolicyStatement]:
    """Run queries in one Athena workgroup, whose results lie below one prefix of the results bucket."""
    arn = f"arn:aws:athena:{settings.region}:{settings.account}:workgroup/{workgroup}"
    actions = ["StartQueryExecution", "StopQueryExecution", "GetQueryExecution", "GetQueryResults", "GetWorkGroup"]
    bucket = f"arn:aws:s3:::{results_bucket}"
    return [
        _statement("Query", [f"athena:{action}" for action in actions], [arn]),
        _statement(
            "QueryResults",
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            [f"{bucket}/{prefix}/*"],
        ),
        _statement("QueryResultsBucket", ["s3:GetBucketLocation", "s3:ListBucket"], [bucket]),
    ]


def _statement(sid: str, actions: Iterable[str], resources: Iterable[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources))


def _list(settings: Environment, sid: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid,
        actions=["s3:ListBucket"],
        resources=[f"arn:aws:s3:::{settings.bucket}"],
        conditions={"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}},
    )


def _objects(settings: Environment, prefixes: Iterable[str]) -> list[str]:
    return [f"arn:aws:s3:::{settings.bucket}/{prefix}/*" for prefix in prefixes]


def _glue(settings: Environment, what: str) -> str:
    return f"arn:aws:glue:{settings.region}:{settings.account}:{what}"


def _any_table(settings: Environment, layers: Iterable[str]) -> list[str]:
    # Listing a database's tables is allowed on all of its tables or not at all.
    return [_glue(settings, f"table/{layer}/*") for layer in layers]


def _word(table: str) -> str:
    return "".join(letter for letter in table if letter.isalnum())
