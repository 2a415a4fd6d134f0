"""The settings of one environment on AWS: one YAML file each in `infra/environments`.

Belongs here: what differs between dev, stg and prod, and the names that follow from it. Does not belong here: anything
a contract says already, such as which tables there are.
"""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from medallion_assets.capture.kinesis import VARIABLE as KINESIS_TABLES
from medallion_assets.capture.naming import TABLE_NAME, require_table_name
from medallion_assets.capture.source_names import VARIABLE as SOURCE_TABLES
from medallion_assets.contracts.loader import Domain, load_domain, load_yaml
from medallion_assets.contracts.model import Strict
from medallion_assets.errors import SettingsError

FOLDER = Path(__file__).parent / "environments"
LAYERS = ("bronze", "silver", "deleted", "history", "gold", "quarantine", "ops")
"""The Glue databases. Silver and later hold Iceberg tables, which the pipeline makes itself."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,18}[a-z0-9]$")]
_STREAM = re.compile(rf"arn:(aws[a-z-]*):dynamodb:([a-z0-9-]+):(\d{{12}}):table/({TABLE_NAME})/stream/\S+")
KeyArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$")]
SecretArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+$")]
Url = Annotated[str, Field(pattern=r"^https://[^/\s]+(/\S*)?$")]


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
_FARGATE = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16_385, 1024)),
    4096: tuple(range(8192, 30_721, 1024)),
    8192: tuple(range(16_384, 61_441, 4096)),
    16_384: tuple(range(32_768, 122_881, 8192)),
}
"""The memory in MB that Fargate pairs with each number of CPU units."""
_PARTITIONS: Final = {"cn-": ("aws-cn", "amazonaws.com.cn"), "us-gov-": ("aws-us-gov", "amazonaws.com")}
"""The partition of a region that begins so, and the domain of its services; all others are in `aws`."""

SMALLEST_STORAGE_GB: Final = 20
"""The disk of every Fargate task; more is a setting."""


def _free_tags(tags: dict[str, str]) -> dict[str, str]:
    if taken := sorted(set(tags) & {"project", "environment", "owner"}):
        raise ValueError(f"{', '.join(taken)} follow from name, environment and owner; leave them out")
    return tags


def _network(written: str) -> str:
    try:
        return str(IPv4Network(written))
    except ValueError:
        raise ValueError(f"{written!r}: expected a network such as 10.40.0.0/16") from None


_SubnetId = Annotated[str, Field(pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$")]


class KinesisSource(Strict):
    """A Kinesis data stream that tables write their changes to, of this account and region."""

    stream: str = Field(description="Its ARN, arn:aws:kinesis:<region>:<account>:stream/<name>.")
    retention_hours: Annotated[int, Field(ge=24, le=168)] = Field(
        default=24, description="How long it keeps records; Lambda gives up at the latest after 168 hours."
    )
    tables: dict[str, datetime] = Field(
        min_length=1, description="Table of a contract -> since when it writes there, in UTC. It never changes again."
    )

    @property
    def name(self) -> str:
        """Its name."""
        return self.stream.rpartition("/")[2]


class Sources(Strict):
    """Where the DynamoDB tables come from. Every contract's table is made here, or its stream is named."""

    create_tables: bool = Field(description="Make the tables that no stream is named for; for trying the system out.")
    tables: dict[str, Annotated[str, AfterValidator(require_table_name)]] = Field(
        default={}, description="Table of a contract -> its name in DynamoDB, where that is another one."
    )
    streams: dict[str, str] = Field(
        default={}, description="Table of a contract -> ARN of its stream, for existing tables."
    )
    kinesis: tuple[KinesisSource, ...] = Field(
        default=(), description="Streams of Kinesis, for existing tables whose changes come that way."
    )
    kms_keys: tuple[KeyArn, ...] = Field(default=(), description="Keys of your own that existing tables have.")


class Capture(Strict):
    """The function that writes Bronze."""

    memory_mb: Annotated[int, Field(ge=128, le=10_240)]
    architecture: Literal["arm64", "x86_64"] = "arm64"
    python: Literal["3.11", "3.12", "3.13", "3.14"] = "3.13"
    expect_changes: dict[str, Annotated[int, Field(ge=5, le=1_440, multiple_of=5)]] = Field(
        default={},
        description="DynamoDB table -> minutes, a multiple of 5, in which some change is captured, or it pages.",
    )


class Telemetry(Strict):
    """Where traces go, by OTLP over HTTP. What is left out sends none."""

    runs: Annotated[str, Field(pattern=r"^https?://[^/\s@]+(/\S*)?$")] | None = Field(
        default=None, description="The collector that runs send to, http(s)://host:port; they must reach it."
    )
    capture: Annotated[str, Field(pattern=r"^https?://[^/\s@]+(/\S*)?$")] | None = Field(
        default=None,
        description="The collector that the capture function sends to; http://localhost:4318 is that of a layer.",
    )
    capture_layer_arn: (
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:\S+:\d+$")] | None
    ) = Field(default=None, description="A layer with a collector, such as ADOT's; it may write to X-Ray.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.capture_layer_arn is not None and self.capture is None:
            raise ValueError("capture_layer_arn: a collector that nothing is sent to; expected capture, too")
        return self


class Retention(Strict):
    """How long what is not the data itself is kept."""

    log_days: Literal[7, 14, 30, 60, 90, 180, 365]
    access_log_days: Annotated[int, Field(ge=1)]
    overwritten_days: Annotated[int, Field(ge=1, description="Deleted or overwritten objects of the warehouse.")]
    bronze_overwritten_days: Annotated[
        int, Field(ge=1, description="The same of Bronze, which nothing else can make again.")
    ]
    query_result_days: Annotated[int, Field(ge=1)]


class Athena(Strict):
    """What one query may cost."""

    scan_limit_gb: Annotated[int, Field(ge=1)]


class AthenaEngine(Strict):
    """Athena computes the marts, in a workgroup of its own."""

    kind: Literal["athena"]
    scan_limit_gb: Annotated[int, Field(ge=1, description="What one query may scan; it is cancelled beyond.")]


class TrinoEngine(Strict):
    """A Trino server, which exists already, computes the marts. It is reached over https only."""

    kind: Literal["trino"]
    url: Annotated[str, Field(pattern=r"^https://[^/\s]+$", description="Its coordinator, https://host:port.")]
    catalog: Annotated[str, Field(description="The catalog in Trino that is this lake.")]
    user: str
    password_secret_arn: Annotated[
        SecretArn | None,
        Field(description="The secret whose text is the user's password. Left out: the server asks for none."),
    ] = None


class ExistingNetwork(Strict):
    """A VPC that is there, with a subnet of each kind in each zone. It has DNS; its private subnets reach AWS."""

    vpc_id: Annotated[str, Field(pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$")]
    zones: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+-\d[a-z]$")], ...], Field(min_length=2)]
    private_subnets: tuple[_SubnetId, ...] = Field(description="For tasks and an internal load balancer.")
    database_subnets: tuple[_SubnetId, ...] = Field(description="For the database; they may be the private ones.")
    public_subnets: tuple[_SubnetId, ...] = Field(default=(), description="For a load balancer on the internet.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = {"private_subnets": self.private_subnets, "database_subnets": self.database_subnets}
        if self.public_subnets:
            kinds["public_subnets"] = self.public_subnets
        for kind, subnets in kinds.items():
            if len(subnets) != len(self.zones):
                raise ValueError(
                    f"{kind}: {len(subnets)} subnets; expected one for each of the {len(self.zones)} zones"
                )
        return self


class CognitoSignIn(Strict):
    """A user pool that is there; everybody in it may open the page."""

    kind: Literal["cognito"]
    user_pool_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:cognito-idp:[a-z0-9-]+:\d{12}:userpool/\S+$")]
    domain: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$", description="The prefix of its sign-in page.")]


class OidcSignIn(Strict):
    """An OpenID Connect provider, such as Entra ID or Okta, in which the page is a client."""

    kind: Literal["oidc"]
    issuer: Url
    authorization_endpoint: Url
    token_endpoint: Url
    user_info_endpoint: Url
    client_id: Annotated[str, Field(min_length=1)]
    client_secret_arn: Annotated[SecretArn, Field(description="The secret whose text is the client's secret.")]


SignIn = Annotated[CognitoSignIn | OidcSignIn, Field(discriminator="kind")]
CertificateArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/\S+$")]


class Viewers(Strict):
    """A second page, on which nothing can be started or changed, for people with a sign-in of their own."""

    hostname: str = Field(description="The name they open, e.g. dagster-view.example.com.")
    certificate_arn: CertificateArn = Field(description="A certificate for it; it may be that of the other page.")
    sign_in: SignIn | None = Field(
        default=None, description="Who knows these people. Left out, a second user pool is made."
    )


class Orchestrator(Strict):
    """Dagster on ECS. CPU in units (1,024 are one core), memory in MB, as Fargate pairs them."""

    hostname: str = Field(description="The name people open, e.g. dagster.example.com; the certificate is for it.")
    certificate_arn: CertificateArn
    reachable_from: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        default=(), description="Address ranges that may open it from the internet. Empty: only from inside the VPC."
    )
    sign_in: SignIn | None = Field(
        default=None, description="Who knows the people that may open it. Left out, a user pool is made."
    )
    viewers: Viewers | None = Field(default=None, description="A page to look at only, for other people.")
    network: ExistingNetwork | None = Field(default=None, description="A VPC that exists. Left out, one is made.")
    vpc_cidr: Annotated[str, AfterValidator(_network)]
    nat_gateways: Annotated[int, Field(ge=1, le=2)] | None = Field(
        default=None, description="Said for a VPC that is made here."
    )
    image: Annotated[str, Field(pattern=r"^[^\s:@/]+(:\d+)?/[^\s:@]+(:[\w.-]+|@sha256:[0-9a-f]{64})$")] | None = Field(
        default=None, description="An image that is built already, with its tag or digest, for arm64."
    )
    freshness: Literal["seconds", "minutes", "hourly"] = Field(
        default="seconds", description="How long changes may be gathered before a run takes them."
    )
    notify_arrivals: bool = Field(
        default=False,
        description="The bucket notifies a queue of new Bronze objects; the sensor lists only the tables named there.",
    )
    run_cpu: Annotated[int, Field(ge=256)]
    run_memory_mb: Annotated[int, Field(ge=512)]
    run_storage_gb: int = Field(
        default=SMALLEST_STORAGE_GB,
        ge=SMALLEST_STORAGE_GB,
        le=200,
        description="The disk of a run, for what does not fit in memory.",
    )
    database_class: str
    database_multi_az: bool
    database_backup_days: Annotated[int, Field(ge=1, le=35)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        memory = _FARGATE.get(self.run_cpu, ())
        if self.run_memory_mb not in memory:
            raise ValueError(
                f"run_cpu {self.run_cpu} with run_memory_mb {self.run_memory_mb} is no pair of Fargate; "
                + (
                    f"expected one of {', '.join(map(str, memory))} MB"
                    if memory
                    else f"expected a CPU of {[*_FARGATE]}"
                )
            )
        if (self.network is None) != (self.nat_gateways is not None):
            raise ValueError("nat_gateways is said exactly when no network is named, for the VPC that is made")
        if self.network is not None and self.reachable_from and not self.network.public_subnets:
            raise ValueError("reachable_from: a page on the internet needs network.public_subnets")
        if self.viewers is not None and self.viewers.hostname == self.hostname:
            raise ValueError(f"viewers.hostname {self.hostname}: expected another name than that of the page")
        if not 16 <= int(self.vpc_cidr.partition("/")[2]) <= 24:
            raise ValueError(f"vpc_cidr {self.vpc_cidr}: expected a network of /16 to /24")
        return self


class Dashboards(Strict):
    """Grafana: a managed workspace is made, or an existing Grafana's role is let in."""

    grafana: Literal["managed", "existing"]
    principal_arn: str | None = Field(default=None, description="existing: the role or user Grafana runs as.")
    scan_limit_gb: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.grafana == "existing") != (self.principal_arn is not None):
            raise ValueError("principal_arn is said exactly when grafana is existing")
        return self


class JwtAuthorizer(Strict):
    """Tokens of a Cognito user pool or of another OpenID Connect provider."""

    kind: Literal["jwt"]
    issuer: Url = Field(description="Of a user pool: https://cognito-idp.<region>.amazonaws.com/<pool>.")
    audience: Annotated[tuple[str, ...], Field(min_length=1, description="Of a user pool: the ids of its clients.")]


class LambdaAuthorizer(Strict):
    """A function of yours that knows the caller by its request, for any other identity provider."""

    kind: Literal["lambda"]
    function_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:\S+$")]


class Ingest(Strict):
    """The API in front of the tables, and the inbound queue. Who may do what is in the domain's ingest.yaml."""

    authorizer: Annotated[JwtAuthorizer | LambdaAuthorizer, Field(discriminator="kind")] = Field(
        description="Who finds out who a caller is."
    )
    memory_mb: Annotated[int, Field(ge=256, le=10_240)] = 1024
    requests_per_second: Annotated[int, Field(ge=1)] = Field(
        default=100, description="What the API takes in all; a burst may have twice as many."
    )
    senders: tuple[Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:(role|user)/\S+$")], ...] = Field(
        default=(), description="Roles and users of other accounts that may send to the inbound queue."
    )


class Environment(Strict):
    """One environment: an account and region of its own."""

    environment: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,7}$")]
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    name: Name = "medallion"
    domain: str = Field(description="Name of a shipped domain, or the path of a folder, from where the app is run.")
    owner: str = Field(description="Who answers for it: the value of the tag `owner`.")
    tags: Annotated[dict[str, str], AfterValidator(_free_tags)] = Field(
        default={}, description="More tags, on everything that can have one."
    )
    database_prefix: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,30}_)?$")] = Field(
        default="", description="What the names of Glue's databases begin with; it ends with _."
    )
    lake_bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] | None = Field(
        default=None, description="A bucket that exists, for Bronze and the lake. Left out, one is made."
    )
    kms_key_arn: KeyArn | None = Field(
        default=None,
        description="The key of the buckets that hold data: lake, given up batches, results. Left out, S3's own.",
    )
    lake_formation: bool = Field(
        default=False,
        description="Grant tables in Lake Formation, too: for an account in which IAM alone does not open new ones.",
    )
    permissions_boundary_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+$")] | None = (
        Field(default=None, description="The policy that bounds what every role may do.")
    )
    role_path: Annotated[str, Field(pattern=r"^/([\w+=,.@-]+/)*$")] = Field(default="/", description="Of every role.")
    bootstrap_qualifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,10}$")] = Field(
        default="hnb659fds", description="The qualifier that the CDK was bootstrapped with; this is its default."
    )
    keep_data: bool = Field(description="Deleting a stack leaves tables, buckets and database; false: they go with it.")
    protected: bool = Field(
        default=False,
        description="Database, tables, users and load balancer are protected against deletion, and so are the stacks. "
        "For stacks that stand: a failed first deployment could not roll back what is protected.",
    )
    alert_email: str | None = None
    monthly_budget_usd: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="What the whole account may cost in a month; above it, or if it will be, the topic hears.",
    )
    sources: Sources
    capture: Capture
    telemetry: Telemetry = Field(default=Telemetry(), description="Where traces go. Left out: nowhere.")
    retention: Retention
    athena: Athena
    orchestrator: Orchestrator
    engine: Annotated[AthenaEngine | TrinoEngine, Field(discriminator="kind")] | None = Field(
        default=None, description="What computes marts and audits whole tables; left out, DuckDB in the runs."
    )
    dashboards: Dashboards
    ingest: Ingest | None = Field(
        default=None, description="An API in front of the tables that checks items, and a queue; left out, none."
    )

    def traces_to(self, endpoint: str | None) -> dict[str, str]:
        """The variables of OpenTelemetry for what sends its traces there; none if it sends none."""
        if endpoint is None:
            return {}
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={self.environment}",
            "OTEL_SERVICE_NAME": self.prefix,
        }

    @property
    def prefix(self) -> str:
        """What every name begins with."""
        return f"{self.name}-{self.environment}"

    @property
    def partition(self) -> str:
        """The partition of the region, which is the second part of every ARN."""
        return self._partition_and_domain[0]

    @property
    def services_domain(self) -> str:
        """The domain that the endpoints of the region's services end with."""
        return self._partition_and_domain[1]

    @property
    def _partition_and_domain(self) -> tuple[str, str]:
        found = (place for prefix, place in _PARTITIONS.items() if self.region.startswith(prefix))
        return next(found, ("aws", "amazonaws.com"))

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def bucket_arn(self, bucket: str, keys: str = "") -> str:
        """The ARN of a bucket, or of the objects in it whose keys match `keys`."""
        return f"arn:{self.partition}:s3:::{bucket}" + (f"/{keys}" if keys else "")

    def global_name(self, what: str) -> str:
        """A name for something whose names are unique across all accounts."""
        return f"{self.prefix}-{what}-{self.account}-{self.region}"

    @property
    def alerts_topic(self) -> str:
        """The SNS topic that alarms and Grafana's alerts go to."""
        return f"{self.prefix}-alerts"

    @property
    def bucket(self) -> str:
        """The lake's bucket."""
        return self.lake_bucket or self.global_name("lake")

    @property
    def bronze(self) -> str:
        """The root of Bronze, as MEDALLION_BRONZE has it."""
        return f"s3://{self.bucket}/bronze"

    @property
    def raw(self) -> str:
        """Where files are dropped, as MEDALLION_RAW has it."""
        return f"s3://{self.bucket}/raw"

    @property
    def exports(self) -> str:
        """Where a backfill has its exports made, as MEDALLION_EXPORTS has it."""
        return f"s3://{self.bucket}/exports"

    @property
    def given_up_bucket(self) -> str:
        """The bucket of what Lambda gives up: its on-failure destination."""
        return self.global_name("given-up")

    @property
    def warehouse(self) -> str:
        """The root of the Iceberg tables, as MEDALLION_WAREHOUSE has it."""
        return f"s3://{self.bucket}/warehouse"

    @property
    def arrivals_queue(self) -> str:
        """The name of the queue that gets notifications of new Bronze objects, if there is one."""
        return f"{self.prefix}-arrivals"

    @property
    def marts_workgroup(self) -> str:
        """The workgroup in which Athena computes the marts, if it is the engine."""
        return f"{self.prefix}-marts"

    def database(self, layer: str) -> str:
        """The name of a layer's Glue database."""
        return f"{self.database_prefix}{layer}"

    def role_arn(self, name: str) -> str:
        """The ARN of the role `<prefix>-<name>`."""
        return f"arn:{self.partition}:iam::{self.account}:role{self.role_path}{self.prefix}-{name}"

    def source_name(self, table: str) -> str:
        """The name that DynamoDB has for a contract's table."""
        return self.sources.tables.get(table, table)

    @property
    def source_tables(self) -> dict[str, str]:
        """The variable that names the tables with two names, if there are any."""
        pairs = [f"{table}={source}" for table, source in self.sources.tables.items()]
        return {SOURCE_TABLES: ",".join(pairs)} if pairs else {}

    @property
    def by_kinesis(self) -> dict[str, datetime]:
        """The tables whose changes come by Kinesis, as their contracts name them, and since when."""
        return {table: since for source in self.sources.kinesis for table, since in source.tables.items()}

    @property
    def kinesis_tables(self) -> dict[str, str]:
        """The variable that names these tables, if there are any."""
        pairs = [f"{table}={since.isoformat()}" for table, since in self.by_kinesis.items()]
        return {KINESIS_TABLES: ",".join(pairs)} if pairs else {}

    def table_arn(self, table: str) -> str:
        """The ARN of a DynamoDB table: that of its stream without the stream, or of the table made here."""
        made = self.arn("dynamodb", f"table/{self.source_name(table)}")
        return self.sources.streams.get(table, made).partition("/stream/")[0]

    def load_domain(self) -> Domain:
        """The domain, with every one of its tables having a source. Raises ContractError, SettingsError."""
        domain = load_domain(self.domain)
        if unknown := sorted(set(self.capture.expect_changes) - set(domain.sources)):
            known = ", ".join(sorted(domain.sources))
            raise SettingsError(
                f"capture.expect_changes: {unknown} are no tables of the domain; expected some of {known}"
            )
        for setting, named in (("tables", self.sources.tables), ("streams", self.sources.streams)):
            if unknown := sorted(set(named) - set(domain.sources)):
                known = ", ".join(sorted(domain.sources))
                raise SettingsError(f"sources.{setting}: {unknown} is no table of the domain; expected one of {known}")
        for source, tables in _by_source(domain, self).items():
            if len(tables) > 1:
                raise SettingsError(f"sources.tables: {tables} all have the name {source!r} in DynamoDB; expected one")
        for table, arn in self.sources.streams.items():
            match = _STREAM.fullmatch(arn)
            if match is None or (match[1], match[2], match[4]) != (
                self.partition,
                self.region,
                self.source_name(table),
            ):
                raise SettingsError(
                    f"sources.streams.{table}: {arn!r}; expected the ARN of that table's stream in {self.region}: "
                    f"arn:{self.partition}:dynamodb:<region>:<account>:table/{self.source_name(table)}/stream/<label>. "
                    "A table with another name than its contract's is named in sources.tables."
                )
            if match[3] != self.account:
                raise SettingsError(
                    f"sources.streams.{table}: the stream is in the account {match[3]}, the environment in "
                    f"{self.account}. Lambda could read it, but verify, repair and the nightly reconciliation scan "
                    f"tables of their own account only: deploy the environment in {match[3]}."
                )
        self._check_kinesis(domain)
        missing = sorted(set(domain.sources) - set(self.sources.streams) - set(self.by_kinesis))
        if missing and not self.sources.create_tables:
            raise SettingsError(
                f"sources: no stream for {', '.join(missing)}. Name its ARN under sources.streams "
                "(aws dynamodb describe-table shows LatestStreamArn), or set create_tables: true."
            )
        return domain

    def _check_kinesis(self, domain: Domain) -> None:
        """Raise SettingsError for a stream of Kinesis of another place, and for a table that has no or two sources."""
        named: list[str] = list(self.sources.streams)
        for source in self.sources.kinesis:
            expected = self.arn("kinesis", f"stream/{source.name}")
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", source.name) or source.stream != expected:
                raise SettingsError(
                    f"sources.kinesis: {source.stream!r}; expected a stream of this account and region, as a table can "
                    f"write to no other: {self.arn('kinesis', 'stream/<name>')}"
                )
            named += source.tables
        if unknown := sorted(set(self.by_kinesis) - set(domain.sources)):
            known = ", ".join(sorted(domain.sources))
            raise SettingsError(f"sources.kinesis: {unknown} are no tables of the domain; expected some of {known}")
        if twice := sorted({table for table in named if named.count(table) > 1}):
            raise SettingsError(f"sources: {twice} have two ways in; expected one stream for each table")
        if watched := sorted(set(self.by_kinesis) & set(self.capture.expect_changes)):
            raise SettingsError(
                f"capture.expect_changes: {watched} come by Kinesis, whose metrics are not by table; leave them out"
            )


def _by_source(domain: Domain, settings: Environment) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table in sorted(domain.sources):
        found.setdefault(settings.source_name(table), []).append(table)
    return found


def _place(settings: Environment) -> tuple[str, str, str]:
    return settings.account, settings.region, settings.database_prefix


def load_environment(path: Path) -> Environment:
    """The environment in `path`; its file name says which. Raises ContractError or SettingsError."""
    loaded = load_yaml(Environment, path)
    if loaded.environment != path.stem:
        raise SettingsError(f"{path}: environment: {loaded.environment!r}; the file's name says {path.stem!r}")
    for other in sorted(path.parent.glob("*.yaml")):
        if other == path:
            continue
        place = load_yaml(Environment, other)
        if _place(place) == _place(loaded):
            raise SettingsError(
                f"{path}: account and region are those of {other.name}, and so are the names of the Glue databases; "
                "give each environment an account or a region of its own, or another database_prefix."
            )
    return loaded
