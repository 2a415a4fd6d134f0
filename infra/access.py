"""Who may do what with the lake, derived from the contracts and marts: grants, no principals.

Belongs here: one function per need. A resource is named as far as IAM can name it; where that leaves a wildcard, the
grant says why, and cdk-nag is told. Does not belong here: which role gets it (stacks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_iam as iam

from infra.findings import acknowledge
from infra.settings import Environment
from medallion_assets.contracts.dropped_files import OUTCOMES
from medallion_assets.contracts.loader import Domain
from medallion_assets.ingest.policy import Policy, Verb

_KEYS: Final = "object keys hold times and hashes: the prefix of one table or layer is as far as they can be named"
_TABLES: Final = (
    "GetTables is allowed on all tables of a database or on none; the database is the layer that may be read"
)
_DROPPED: Final = "people name the files that they drop; the folder of one table is as far as they can be named"
_EXPORTS: Final = "DynamoDB names exports and their files itself, and a backfill's notes are named by the export"
_GIVEN_UP: Final = "Lambda names the objects itself, by mapping, shard and time"
_DEAD_LETTERS: Final = "bronze/_dead_letters"
_COPIES: Final = "bronze/_compacted/"
_OPS: Final = "the tables of ops are the pipeline's own and grow with it; no contract names them"
_REBUILDS: Final = "a rebuild makes tables of its own beside those that contracts name, and removes them"
_READ_TABLE: Final = ("glue:GetTable", "glue:GetTables")


@dataclass(frozen=True)
class Grant:
    """A statement, and the reason of each wildcard in its resources."""

    statement: iam.PolicyStatement
    why: str = ""


def grant(
    sid: str,
    actions: Iterable[str],
    resources: Iterable[str],
    why: str = "",
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> Grant:
    """Return a grant of these actions on these resources; `why` is the reason of every wildcard among them."""
    statement = iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)
    return Grant(statement, why)


def grant_to(role: iam.Role, *grants: Grant) -> None:
    """Attach the grants to a role and tell cdk-nag of their wildcards. Raises ValueError for one without a reason."""
    for each in grants:
        role.add_to_policy(each.statement)
        for resource in each.statement.resources:
            if "*" in resource:
                acknowledge(role, f"AwsSolutions-IAM5[Resource::{resource}]", each.why)


def mart_names(domain: Domain) -> list[str]:
    """The marts of the domain, by the folders they are."""
    return sorted(path.parent.name for path in (domain.folder / "marts").glob("*/mart.yaml"))


def tables(domain: Domain) -> dict[str, list[str]]:
    """The Iceberg tables of each layer; `ops` is the pipeline's own, and grows with it."""
    names = sorted(contract.lake_name for contract in domain.tables)
    return {
        "silver": names,
        "deleted": names,
        "history": sorted(contract.lake_name for contract in domain.tables if contract.history),
        "quarantine": names,
        "gold": mart_names(domain),
        "ops": ["*"],
    }


def write_bronze(settings: Environment, domain: Domain) -> list[Grant]:
    """Put Bronze objects and dead letters of the domain's tables: not read, not list, not delete."""
    prefixes = [*(f"bronze/{table}" for table in domain.sources), _DEAD_LETTERS]
    return [grant("WriteBronze", ["s3:PutObject"], _objects(settings, prefixes), _KEYS)]


def give_up(settings: Environment) -> list[Grant]:
    """Put what Lambda gives up into its bucket. Lambda lists the bucket to see that it is there, in this account."""
    bucket = settings.bucket_arn(settings.given_up_bucket)
    own = {"StringEquals": {"s3:ResourceAccount": settings.account}}
    return [
        grant("GiveUp", ["s3:PutObject"], [f"{bucket}/aws/lambda/*"], _GIVEN_UP, conditions=own),
        grant("GivenUpBucket", ["s3:ListBucket"], [bucket], conditions=own),
    ]


def read_given_up(settings: Environment) -> list[Grant]:
    """See what Lambda gave up, and of which table it is."""
    bucket = settings.bucket_arn(settings.given_up_bucket)
    listed = {"StringLike": {"s3:prefix": ["aws/lambda/*"]}}
    return [
        grant("ListGivenUp", ["s3:ListBucket"], [bucket], conditions=listed),
        grant("ReadGivenUp", ["s3:GetObject"], [f"{bucket}/aws/lambda/*"], _GIVEN_UP),
    ]


def redrive(settings: Environment) -> list[Grant]:
    """Take dead letters and what Lambda gave up away, once it is in Bronze."""
    bucket = settings.bucket_arn(settings.given_up_bucket)
    return [
        *read_given_up(settings),
        grant("RemoveDeadLetters", ["s3:DeleteObject"], _objects(settings, [_DEAD_LETTERS]), _KEYS),
        grant("RemoveGivenUp", ["s3:DeleteObject"], [f"{bucket}/aws/lambda/*"], _GIVEN_UP),
    ]


def write_traces() -> list[Grant]:
    """Write what a collector in the function's layer makes of its traces."""
    actions = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    return [grant("WriteTraces", actions, ["*"], "IAM knows no resource for these actions")]


def read_stream(stream_arn: str, table: str) -> Grant:
    """Read one table's stream, as an event source mapping does."""
    actions = ["DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"]
    return grant(f"ReadStream{_word(table)}", [f"dynamodb:{action}" for action in actions], [stream_arn])


def read_kinesis(stream_arn: str, name: str) -> Grant:
    """Read a stream of Kinesis, as an event source mapping does."""
    actions = ["DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards"]
    return grant(f"ReadKinesis{_word(name)}", [f"kinesis:{action}" for action in actions], [stream_arn])


def read_tables(settings: Environment, domain: Domain) -> list[Grant]:
    """Scan the domain's tables, and read single items again: what reconciling and repairing compare the lake with."""
    arns = [settings.table_arn(table) for table in domain.sources]
    return [grant("ReadTables", ["dynamodb:DescribeTable", "dynamodb:Scan", "dynamodb:BatchGetItem"], arns)]


def decrypt_tables(settings: Environment) -> list[Grant]:
    """Decrypt tables and streams with a key of the account's own; DynamoDB uses it with the caller's rights."""
    keys = settings.sources.kms_keys
    return [grant("DecryptTables", ["kms:Decrypt"], keys, conditions=_through(settings, "dynamodb"))] if keys else []


def use_data_key(settings: Environment) -> list[Grant]:
    """Read and write objects of the buckets that hold data, if they have a key of the account's own."""
    if settings.kms_key_arn is None:
        return []
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    return [grant("UseDataKey", actions, [settings.kms_key_arn], conditions=_through(settings, "s3"))]


_OF_VERB: Final[Mapping[Verb, tuple[str, ...]]] = {
    "get": ("GetItem",),
    "list": ("Query", "Scan"),
    "post": ("PutItem",),
    "put": ("GetItem", "PutItem"),
    "patch": ("GetItem", "UpdateItem"),
    "delete": ("GetItem", "DeleteItem"),
}
"""What each verb of the ingest API asks DynamoDB for."""


def ingest_requests(settings: Environment, domain: Domain, policy: Policy) -> list[Grant]:
    """Do with each table what the policy allows somebody to do with it."""
    verbs: dict[str, set[Verb]] = {}
    for one in policy.allow:
        for name in one.tables:
            verbs.setdefault(domain.by_name[name].table, set()).update(one.verbs)
    return _use_tables(settings, "Requests", verbs)


def ingest_messages(settings: Environment, domain: Domain, policy: Policy) -> list[Grant]:
    """Write the tables that messages may write."""
    writes: frozenset[Verb] = frozenset({"post", "put", "patch", "delete"})
    return _use_tables(settings, "Messages", {domain.by_name[name].table: writes for name in policy.inbox})


def remember_requests(settings: Environment, table: str) -> list[Grant]:
    """Keep and find the answers of requests that are done once."""
    actions = [f"dynamodb:{action}" for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")]
    return [grant("RememberRequests", actions, [settings.arn("dynamodb", f"table/{table}")])]


def take_messages(settings: Environment, queue: str) -> list[Grant]:
    """Receive the messages of the inbound queue, as an event source mapping does."""
    actions = [f"sqs:{action}" for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")]
    return [grant("TakeMessages", actions, [settings.arn("sqs", queue)])]


def refuse_messages(settings: Environment, dead_letters: str) -> list[Grant]:
    """Put refused messages into the dead-letter queue, and alert people."""
    return [
        grant("RefuseMessages", ["sqs:SendMessage"], [settings.arn("sqs", dead_letters)]),
        grant("Alert", ["sns:Publish"], [settings.arn("sns", settings.alerts_topic)]),
    ]


def _use_tables(settings: Environment, sid: str, verbs: Mapping[str, Set[Verb]]) -> list[Grant]:
    return [
        grant(
            f"{sid}{_word(table)}",
            sorted({f"dynamodb:{action}" for verb in used for action in _OF_VERB[verb]}),
            [settings.table_arn(table)],
        )
        for table, used in sorted(verbs.items())
    ]


def read_bronze(settings: Environment, domain: Domain) -> list[Grant]:
    """List and read Bronze: objects and their compacted copies, dead letters, gap markers and the poller's marks."""
    folders = ("bronze/", "bronze/_gaps/", _COPIES)
    places = [f"{folder}{table}" for table in domain.sources for folder in folders]
    prefixes = [*places, "bronze/_heartbeat", _DEAD_LETTERS]
    return [
        _list(settings, "ListBronze", prefixes),
        grant("ReadBronze", ["s3:GetObject"], _objects(settings, prefixes), _KEYS),
    ]


def backfill(settings: Environment, domain: Domain) -> list[Grant]:
    """Have tables exported below `exports/`, read that, and note what a backfill has done.

    DynamoDB writes an export with the caller's rights. The bucket of another export is not ours: its owner lets the
    role read it.
    """
    names = [contract.table for contract in domain.tables if contract.where is None]
    notes = [f"bronze/_backfill/{name}" for name in names]
    arns = [settings.table_arn(name) for name in names]
    actions = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    return [
        _list(settings, "ListBackfills", notes),
        grant("NoteBackfills", actions, _objects(settings, [*notes, "exports"]), _EXPORTS),
        grant("ExportTables", ["dynamodb:ExportTableToPointInTime"], arns),
        grant("SeeExports", ["dynamodb:DescribeExport"], [f"{arn}/export/*" for arn in arns], _EXPORTS),
    ]


def write_backfilled(settings: Environment, domain: Domain) -> list[Grant]:
    """Put the items of a backfill into Bronze."""
    names = [contract.table for contract in domain.tables if contract.where is None]
    prefixes = [f"bronze/{name}" for name in names]
    return [grant("WriteBackfilled", ["s3:PutObject"], _objects(settings, prefixes), _KEYS)]


def compact_bronze(settings: Environment, domain: Domain) -> list[Grant]:
    """Write and remove the compacted copies of the domain's tables; their objects stay as they are."""
    copies = [f"{_COPIES}{table}" for table in domain.sources]
    return [grant("CompactBronze", ["s3:PutObject", "s3:DeleteObject"], _objects(settings, copies), _KEYS)]


def take_files(settings: Environment, domain: Domain) -> list[Grant]:
    """Take files that are dropped for tables whose contract says so: to Bronze, and then out of the way."""
    names = [contract.table for contract in domain.tables if contract.files is not None]
    if not names:
        return []
    dropped = [f"raw/{name}" for name in names]
    moved = [f"raw/{outcome}/{name}" for outcome in OUTCOMES for name in names]
    root = {"StringEquals": {"s3:prefix": ["raw/"], "s3:delimiter": ["/"]}}
    return [
        _list(settings, "ListDropped", dropped),
        grant("ListRaw", ["s3:ListBucket"], [settings.bucket_arn(settings.bucket)], conditions=root),
        grant("TakeDropped", ["s3:GetObject", "s3:DeleteObject"], _objects(settings, dropped), _DROPPED),
        grant("MoveDropped", ["s3:PutObject", "s3:AbortMultipartUpload"], _objects(settings, moved), _DROPPED),
        grant("WriteTaken", ["s3:PutObject"], _objects(settings, [f"bronze/{name}" for name in names]), _KEYS),
    ]


def receive_arrivals(settings: Environment) -> list[Grant]:
    """Receive notifications of new Bronze objects, if the bucket sends them."""
    if not settings.orchestrator.notify_arrivals:
        return []
    queue = settings.arn("sqs", settings.arrivals_queue)
    return [grant("ReceiveArrivals", ["sqs:ReceiveMessage"], [queue])]


def write_lake(settings: Environment, domain: Domain) -> list[Grant]:
    """Read and write all Iceberg tables: files and catalog entries."""
    layers = tables(domain)
    prefixes = [f"warehouse/{layer}/{name}" for layer, names in layers.items() for name in names if name != "*"]
    prefixes.append("warehouse/ops")
    databases = [_glue(settings, f"database/{settings.database(layer)}") for layer in layers]
    entries = [
        _glue(settings, f"table/{settings.database(layer)}/{name}") for layer, names in layers.items() for name in names
    ]
    catalog = _glue(settings, "catalog")
    return [
        _list(settings, "ListLake", prefixes),
        grant(
            "WriteLake",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            _objects(settings, prefixes),
            _KEYS,
        ),
        grant(
            "ReadCatalog",
            ["glue:GetDatabase", *_READ_TABLE],
            [catalog, *databases, *_any_table(settings, layers)],
            _TABLES,
        ),
        grant("WriteCatalog", ["glue:CreateTable", "glue:UpdateTable"], [catalog, *databases, *entries], _OPS),
    ]


def rebuild_lake(settings: Environment, domain: Domain) -> list[Grant]:
    """Remove an Iceberg table's entry from the catalog, and make a table of Silver or a mart beside the old one."""
    layers = tables(domain)
    databases = [_glue(settings, f"database/{settings.database(layer)}") for layer in layers]
    entries = [
        _glue(settings, f"table/{settings.database(layer)}/{name}") for layer, names in layers.items() for name in names
    ]
    beside = ("silver", "deleted", "quarantine", "gold")
    made = [_glue(settings, f"table/{settings.database(layer)}/_rebuild_*") for layer in beside]
    prefixes = [f"warehouse/{layer}/_rebuild_*" for layer in beside]
    return [
        grant("RebuildTables", ["glue:DeleteTable"], [_glue(settings, "catalog"), *databases, *entries], _OPS),
        grant("MakeTablesBeside", ["glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"], made, _REBUILDS),
        _list(settings, "ListTablesBeside", prefixes),
        grant(
            "WriteTablesBeside",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            _objects(settings, prefixes),
            _REBUILDS,
        ),
    ]


def read_layers(settings: Environment, layers: Sequence[str]) -> list[Grant]:
    """Read whole layers through Athena: files and catalog entries."""
    prefixes = [f"warehouse/{layer}" for layer in layers]
    databases = [_glue(settings, f"database/{settings.database(layer)}") for layer in layers]
    return [
        _list(settings, "ListLayers", prefixes),
        grant("ReadLayers", ["s3:GetObject"], _objects(settings, prefixes), _KEYS),
        grant(
            "ReadLayersCatalog",
            ["glue:GetDatabase", "glue:GetDatabases", *_READ_TABLE, "glue:GetPartitions"],
            [_glue(settings, "catalog"), *databases, *_any_table(settings, layers)],
            _TABLES,
        ),
    ]


def query(settings: Environment, workgroup: str, results_bucket: str, prefix: str) -> list[Grant]:
    """Run queries in one Athena workgroup, whose results lie below one prefix of the results bucket."""
    arn = settings.arn("athena", f"workgroup/{workgroup}")
    actions = ["StartQueryExecution", "StopQueryExecution", "GetQueryExecution", "GetQueryResults", "GetWorkGroup"]
    bucket = settings.bucket_arn(results_bucket)
    return [
        grant("Query", [f"athena:{action}" for action in actions], [arn]),
        grant(
            "QueryResults",
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            [f"{bucket}/{prefix}/*"],
            _KEYS,
        ),
        grant("QueryResultsBucket", ["s3:GetBucketLocation", "s3:ListBucket"], [bucket]),
    ]


def browse_athena(settings: Environment, workgroup: str) -> list[Grant]:
    """See what there is to query, as an editor of queries shows it: workgroups, catalogues, databases, tables."""
    return [
        grant(
            "ListWorkgroups",
            ["athena:ListWorkGroups", "athena:ListDataCatalogs"],
            ["*"],
            "IAM knows no resource for these actions; they give names only",
        ),
        grant(
            "Browse",
            [
                "athena:GetDataCatalog",
                "athena:ListDatabases",
                "athena:GetDatabase",
                "athena:ListTableMetadata",
                "athena:GetTableMetadata",
            ],
            [settings.arn("athena", what) for what in ("datacatalog/AwsDataCatalog", f"workgroup/{workgroup}")],
        ),
    ]


def compute_in_athena(settings: Environment) -> list[Grant]:
    """Read Silver and Gold through Athena in the workgroup of the marts, and delete the results that were read."""
    workgroup, results = settings.marts_workgroup, settings.global_name("athena")
    return [
        *read_layers(settings, ("silver", "gold")),
        *query(settings, workgroup, results, workgroup),
        grant("DeleteResults", ["s3:DeleteObject"], [settings.bucket_arn(results, f"{workgroup}/*")], _KEYS),
    ]


def alert(settings: Environment) -> Grant:
    """Publish to the environment's topic for alerts."""
    topic = settings.arn("sns", settings.alerts_topic)
    return grant("Alert", ["sns:Publish"], [topic])


def _list(settings: Environment, sid: str, prefixes: Sequence[str]) -> Grant:
    return grant(
        sid,
        ["s3:ListBucket"],
        [settings.bucket_arn(settings.bucket)],
        conditions={"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}},
    )


def _through(settings: Environment, service: str) -> dict[str, dict[str, str]]:
    """Return the condition that a key is used through this service only."""
    return {"StringEquals": {"kms:ViaService": f"{service}.{settings.region}.{settings.services_domain}"}}


def _objects(settings: Environment, prefixes: Iterable[str]) -> list[str]:
    return [settings.bucket_arn(settings.bucket, f"{prefix}/*") for prefix in prefixes]


def _glue(settings: Environment, what: str) -> str:
    return settings.arn("glue", what)


def _any_table(settings: Environment, layers: Iterable[str]) -> list[str]:
    # Listing a database's tables is allowed on all of its tables or not at all.
    return [_glue(settings, f"table/{settings.database(layer)}/*") for layer in layers]


def _word(table: str) -> str:
    return "".join(letter for letter in table if letter.isalnum())
