"""Where one domain lives: what differs between a laptop, dev, stg and prod.

Belongs here: the settings, the environment variables they come from, and what is wrong with them. Does not belong here:
opening anything. Credentials and endpoints are boto3's own variables (`AWS_PROFILE`, `AWS_ENDPOINT_URL_S3`, ...).

A command reads the variables with `Settings.load()`. In Dagster they are `EnvVar`s of the resource
(`defs.resources.MedallionResource`), which holds the same `DomainSettings`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from medallion_assets.capture.given_up import VARIABLE as GIVEN_UP
from medallion_assets.capture.kinesis import VARIABLE as KINESIS_TABLES
from medallion_assets.capture.kinesis import KinesisTables
from medallion_assets.capture.source_names import VARIABLE as SOURCE_TABLES
from medallion_assets.capture.source_names import SourceNames
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from medallion_assets.engines.engine import AthenaSettings, TrinoSettings
    from medallion_assets.lake.catalog import LakeSettings

Freshness = Literal["seconds", "minutes", "hourly"]

_S3: Final = re.compile(r"s3://[^/\s]")
_S3_PREFIX: Final = re.compile(r"s3://[^/\s]+/[^/\s]")
_TRINO_URL: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?/?")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")
_TRINO_CATALOG: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_QUEUE: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?/\d{12}/[A-Za-z0-9_-]{1,80}")
_WORKGROUP: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ATHENA_CATALOG: Final = re.compile(r"[A-Za-z0-9_@-]{1,256}")
_ATHENA_OUTPUT: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.()=-]+)*/?")

# An error does not repeat these values: somebody may have put a password into the address.
_MAY_HOLD_SECRETS: Final = frozenset({"trino_url", "trino_password", "live"})

# What each engine cannot do without, in the order in which a reader sets it.
_NEEDED: Final = {
    "duckdb": (),
    "trino": ("trino_url", "trino_catalog", "trino_user"),
    "athena": ("athena_workgroup", "athena_output"),
}

READ_ONLY_SOURCE: Final = "MEDALLION_READ_ONLY_SOURCE"
"""Set where DynamoDB's tables are somebody's real ones, so that no command writes traffic to them."""

VARIABLES: Final = {
    "domain": "MEDALLION_DOMAIN",
    "bronze": "MEDALLION_BRONZE",
    "warehouse": "MEDALLION_WAREHOUSE",
    "catalog": "MEDALLION_CATALOG",
    "region": "AWS_REGION",
    "read_capacity": "MEDALLION_READ_CAPACITY",
    "source_tables": SOURCE_TABLES,
    "given_up": GIVEN_UP,
    "kinesis_tables": KINESIS_TABLES,
    "raw": "MEDALLION_RAW",
    "exports": "MEDALLION_EXPORTS",
    "site": "MEDALLION_SITE",
    "dagster_url": "MEDALLION_DAGSTER_URL",
    "live": "MEDALLION_LIVE",
    "database_prefix": "MEDALLION_DATABASE_PREFIX",
    "freshness": "MEDALLION_FRESHNESS",
    "duckdb_memory_mb": "MEDALLION_DUCKDB_MEMORY_MB",
    "spill_folder": "MEDALLION_SPILL_FOLDER",
    "arrivals_queue": "MEDALLION_ARRIVALS_QUEUE",
    "checkpoint": "MEDALLION_CHECKPOINT",
    "keys": "MEDALLION_KEYS",
    "engine": "MEDALLION_ENGINE",
    "engine_timeout_seconds": "MEDALLION_ENGINE_TIMEOUT_SECONDS",
    "engine_result_mb": "MEDALLION_ENGINE_RESULT_MB",
    "trino_url": "MEDALLION_TRINO_URL",
    "trino_catalog": "MEDALLION_TRINO_CATALOG",
    "trino_user": "MEDALLION_TRINO_USER",
    "trino_password": "MEDALLION_TRINO_PASSWORD",
    "athena_workgroup": "MEDALLION_ATHENA_WORKGROUP",
    "athena_output": "MEDALLION_ATHENA_OUTPUT",
    "athena_catalog": "MEDALLION_ATHENA_CATALOG",
}
"""The environment variable of each setting."""


class DomainSettings(BaseModel):
    """Where the layers of one domain are, and how fast its source may be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bronze: str = Field(description="Where Bronze objects are: s3://bucket/prefix, or a directory.")
    warehouse: str = Field(description="Where Silver and Gold tables are: s3://bucket/prefix, or a directory.")
    catalog: Literal["glue", "sqlite"] = Field(description="glue on AWS; sqlite keeps its file in the warehouse.")
    region: str = Field(description="The AWS region.")
    read_capacity: float = Field(
        default=100,
        gt=0,
        allow_inf_nan=False,
        description="Read capacity units a second that verifying may use of each DynamoDB table.",
    )
    source_tables: str = Field(
        default="",
        description="Tables whose name in DynamoDB is not the contract's: Orders=prod-Orders,Customers=prod-Customers.",
    )
    given_up: str | None = Field(
        default=None,
        description="The bucket of the batches that Lambda gives up: s3://bucket. Left out where our poller captures.",
    )
    kinesis_tables: str = Field(
        default="",
        description="Tables whose changes come by Kinesis, and since when in UTC: Orders=2026-12-01T00:00:00.",
    )
    raw: str | None = Field(
        default=None,
        description="Where people and other systems drop files: s3://bucket/prefix, or an absolute directory.",
    )
    exports: str | None = Field(
        default=None,
        description="Where a backfill has its exports of DynamoDB made: s3://bucket/prefix, or an absolute directory.",
    )
    site: str | None = Field(
        default=None, description="Where the static site is written: s3://bucket/prefix, or an absolute directory."
    )
    dagster_url: str | None = Field(
        default=None, description="Dagster's address for people: https://host. Pages link to its assets."
    )
    live: str | None = Field(
        default=None, description="The store of the live counters: redis://host:port, rediss://… or dynamodb:<table>."
    )
    database_prefix: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9_]{0,30}_)?$",
        description="What the names of Glue's databases begin with, and end it with _: shop_ for shop_gold.",
    )
    freshness: Freshness = Field(
        default="seconds",
        description="How long changes may be gathered before a run takes them: seconds, minutes (one) or hourly.",
    )
    duckdb_memory_mb: int | None = Field(
        default=None,
        ge=128,
        description="Memory in MB that DuckDB may use in a process; what does not fit goes to disk. Left out, it is "
        "four fifths of the machine's. In a container: half of the container's.",
    )
    spill_folder: str | None = Field(
        default=None, description="A directory for what does not fit in memory. Left out, the system's temporary one."
    )
    arrivals_queue: str | None = Field(
        default=None, description="The URL of the SQS queue that the bucket of Bronze notifies of new objects."
    )
    engine: Literal["duckdb", "trino", "athena"] = Field(
        default="duckdb", description="What computes the marts: duckdb in the run's own process, trino or athena."
    )
    engine_timeout_seconds: int = Field(
        default=3600, gt=0, le=86_400, description="Seconds that one query of Trino or Athena may take, queue included."
    )
    engine_result_mb: int = Field(
        default=1024, gt=0, description="Memory in MB that the rows of one refresh by Trino or Athena may take here."
    )
    trino_url: str | None = Field(
        default=None, description="Trino's coordinator: https://host:port, or http:// without a password."
    )
    trino_catalog: str | None = Field(default=None, description="The catalog in Trino that is this lake.")
    trino_user: str | None = Field(default=None, min_length=1, description="The user that queries Trino.")
    trino_password: SecretStr | None = Field(
        default=None, min_length=1, description="The user's password, if Trino asks for one; only over https."
    )
    athena_workgroup: str | None = Field(default=None, description="The Athena workgroup in which marts are computed.")
    athena_output: str | None = Field(
        default=None, description="Where Athena writes results: s3://bucket/prefix. They are deleted after each query."
    )
    athena_catalog: str = Field(default="AwsDataCatalog", description="The data catalog in Athena that is this lake.")

    @field_validator("region")
    @classmethod
    def _require_region(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
            raise ValueError("expected a name such as eu-central-1")
        return value

    @field_validator("bronze", "given_up")
    @classmethod
    def _require_store(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            open_store(value)
        except SettingsError:
            raise ValueError("expected s3://bucket/prefix or a directory") from None
        return value

    @field_validator("warehouse", "raw", "site")
    @classmethod
    def _require_place(cls, value: str | None) -> str | None:
        if value is not None and not _S3.match(value) and not Path(value).is_absolute():
            raise ValueError("expected s3://bucket/prefix or an absolute directory")
        return value

    @field_validator("exports")
    @classmethod
    def _require_prefix(cls, value: str | None) -> str | None:
        if value is not None and not _S3_PREFIX.match(value) and not Path(value).is_absolute():
            raise ValueError("expected s3://bucket/prefix, with a prefix, or an absolute directory")
        return value

    @field_validator("spill_folder")
    @classmethod
    def _require_folder(cls, value: str | None) -> str | None:
        if value is not None and not (Path(value).is_absolute() and Path(value).is_dir()):
            raise ValueError("expected an absolute directory that exists")
        return value

    @field_validator("source_tables")
    @classmethod
    def _require_names(cls, value: str) -> str:
        try:
            SourceNames.parse(value)
        except SettingsError as wrong:
            raise ValueError(str(wrong)) from None
        return value

    @field_validator("kinesis_tables")
    @classmethod
    def _require_tables(cls, value: str) -> str:
        try:
            KinesisTables.parse(value)
        except SettingsError as wrong:
            raise ValueError(str(wrong)) from None
        return value

    @field_validator("arrivals_queue")
    @classmethod
    def _require_queue(cls, value: str | None) -> str | None:
        return _matching(_QUEUE, value, "https://sqs.<region>.amazonaws.com/<account>/<name>")

    @field_validator("dagster_url")
    @classmethod
    def _require_address(cls, value: str | None) -> str | None:
        return _matching(_ADDRESS, value, "http://host:port/path or https://host/path")

    @field_validator("trino_url")
    @classmethod
    def _require_url(cls, value: str | None) -> str | None:
        return _matching(_TRINO_URL, value, "https://host:port without user, path or query")

    @field_validator("trino_catalog")
    @classmethod
    def _require_trino_catalog(cls, value: str | None) -> str | None:
        return _matching(_TRINO_CATALOG, value, "letters, digits, _ and -")

    @field_validator("athena_workgroup")
    @classmethod
    def _require_workgroup(cls, value: str | None) -> str | None:
        return _matching(_WORKGROUP, value, "up to 128 letters, digits, ., _ and -")

    @field_validator("athena_output")
    @classmethod
    def _require_output(cls, value: str | None) -> str | None:
        return _matching(_ATHENA_OUTPUT, value, "s3://bucket/prefix")

    @field_validator("athena_catalog")
    @classmethod
    def _require_athena_catalog(cls, value: str) -> str:
        _matching(_ATHENA_CATALOG, value, "up to 256 letters, digits, _, @ and -")
        return value

    @model_validator(mode="after")
    def _engine_complete(self) -> Self:
        if lacking := [VARIABLES[field] for field in _NEEDED[self.engine] if getattr(self, field) is None]:
            raise ValueError(f"{VARIABLES['engine']} is {self.engine}, which needs {', '.join(lacking)}, too.")
        if self.engine == "trino" and self.trino_password is not None and not str(self.trino_url).startswith("https:"):
            raise ValueError(
                f"{VARIABLES['trino_password']} is set, but {VARIABLES['trino_url']} is not https://, so it would be "
                "sent readable. Expected https, or no password."
            )
        if self.engine == "athena" and self.catalog != "glue":
            raise ValueError(
                f"{VARIABLES['engine']} is athena, which reads tables of Glue; but {VARIABLES['catalog']} is "
                f"{self.catalog}. Choose the catalog glue, or another engine."
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.arrivals_queue is not None and not self.bronze.startswith("s3://"):
            raise ValueError(
                f"{VARIABLES['arrivals_queue']} is set, but Bronze is {self.bronze}. Only a bucket notifies a queue of "
                "new objects: expected s3://bucket/prefix, or no queue."
            )
        if self.catalog == "sqlite" and self.warehouse.startswith("s3://"):
            raise ValueError(
                f"The catalog is sqlite and the warehouse {self.warehouse}. SQLite keeps its file in the warehouse, so "
                "it must be a directory; for a warehouse on S3 choose the catalog glue."
            )
        if self.catalog == "sqlite" and self.database_prefix:
            raise ValueError(
                f"{VARIABLES['database_prefix']} is {self.database_prefix!r}, but the catalog is sqlite, a file of "
                "this lake alone. Only Glue's databases need another name: expected the catalog glue, or no prefix."
            )
        if self.catalog == "glue" and not self.warehouse.startswith("s3://"):
            raise ValueError(
                f"The catalog is glue and the warehouse {self.warehouse}. Glue's tables are on S3: expected "
                "s3://bucket/prefix, or the catalog sqlite for a directory."
            )
        return self

    @classmethod
    def parse(cls, values: Mapping[str, object], variables: Mapping[str, str]) -> Self:
        """Return the settings with these values, by field; a field without a value is not set.

        `variables` names the environment variable that a field is read from. Raises SettingsError, which names each
        field or variable that is wrong.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as invalid:
            lines = []
            for mistake in invalid.errors():
                text = mistake["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
                if not mistake["loc"]:
                    lines.append(text)
                    continue
                field = str(mistake["loc"][0])
                shown = "not shown" if field in _MAY_HOLD_SECRETS else repr(mistake["input"])
                seen = "is not set" if mistake["type"] == "missing" else f"is {shown}: {text}"
                lines.append(f"{variables.get(field, field)} {seen}. {cls.model_fields[field].description}")
            raise SettingsError(
                "\n".join(lines) + "\nSet it, or start the local stack with `medallion demo` and try again."
            ) from None

    def source_names(self) -> SourceNames:
        """Return which tables DynamoDB has under other names than their contracts."""
        return SourceNames.parse(self.source_tables)

    def kinesis(self) -> KinesisTables:
        """Return which tables' changes come by Kinesis."""
        return KinesisTables.parse(self.kinesis_tables)

    def given_up_store(self) -> BronzeStore | None:
        """Return the bucket of what Lambda gives up; None where there is none."""
        return open_store(self.given_up) if self.given_up is not None else None

    def lake(self) -> LakeSettings:
        """Return what the lake needs of these settings. An S3 warehouse is at the endpoint that boto3 would use."""
        from medallion_assets.lake.catalog import LakeSettings

        return LakeSettings(
            warehouse=self.warehouse,
            catalog=self.catalog,
            region=self.region,
            s3_endpoint=_configured_s3_endpoint(self.region) if self.warehouse.startswith("s3://") else None,
            database_prefix=self.database_prefix,
            duckdb_memory_mb=self.duckdb_memory_mb,
            spill_folder=self.spill_folder,
        )

    def distributed_engine(self) -> TrinoSettings | AthenaSettings | None:
        """Return what the chosen engine needs of these settings; None for DuckDB, which needs nothing."""
        from medallion_assets.engines.engine import AthenaSettings, Limits, TrinoSettings

        limits = Limits(timeout_seconds=self.engine_timeout_seconds, result_bytes=self.engine_result_mb * 2**20)
        match self.engine:
            case "trino":
                return TrinoSettings(
                    url=self.trino_url or "",
                    catalog=self.trino_catalog or "",
                    user=self.trino_user or "",
                    password=self.trino_password,
                    limits=limits,
                )
            case "athena":
                return AthenaSettings(
                    workgroup=self.athena_workgroup or "",
                    output=self.athena_output or "",
                    catalog=self.athena_catalog,
                    region=self.region,
                    limits=limits,
                )
            case "duckdb":
                return None


class Settings(DomainSettings):
    """What a command needs to know: the settings of a domain, and which domain it is."""

    domain: str = Field(description="Name of a shipped domain, or the path of a user's own folder.")
    checkpoint: Path | None = Field(default=None, description="The poller's checkpoint file, where our poller runs.")

    keys: str | None = Field(
        default=None, description="Where the API keys of `medallion serve` are: s3://bucket/prefix, or a directory."
    )

    @field_validator("keys")
    @classmethod
    def _require_place_of_keys(cls, value: str | None) -> str | None:
        if value is not None and not _S3.match(value) and not Path(value).is_absolute():
            raise ValueError("expected s3://bucket/prefix or an absolute directory")
        return value

    @field_validator("domain", "checkpoint", mode="before")
    @classmethod
    def _require_text(cls, value: object) -> object:
        if value == "":
            raise ValueError("expected a name or a path")
        return value

    @classmethod
    def load(cls) -> Self:
        """Return the settings of this process's environment. Raises SettingsError, which names each wrong variable."""
        found = {field: os.environ.get(VARIABLES[field]) for field in cls.model_fields}
        return cls.parse({field: value for field, value in found.items() if value is not None}, VARIABLES)


def _matching(pattern: re.Pattern[str], value: str | None, expected: str) -> str | None:
    if value is not None and not pattern.fullmatch(value):
        raise ValueError(f"expected {expected}")
    return value


def _configured_s3_endpoint(region: str) -> str | None:
    """Return the endpoint that variables or the AWS configuration file give to boto3's S3 clients; None on AWS.

    boto3 keeps the rule (docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html) and has no function for it:
    an endpoint is configured if a client that ignores the configuration has another one. Takes 40 ms at first.
    """
    from botocore.config import Config

    from medallion_assets.lake.aws import open_session

    session = open_session(region)
    try:
        configured = session.client("s3").meta.endpoint_url
    except ValueError as invalid:  # botocore has no error of its own for it
        raise SettingsError(
            f"{invalid}. Expected AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 as https://host or http://host:port."
        ) from invalid
    ignoring = Config(ignore_configured_endpoint_urls=True)  # type: ignore[call-arg] # the stubs do not know it
    default = session.client("s3", config=ignoring).meta.endpoint_url
    return configured if configured != default else None
