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

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from medallion_assets.capture.store import open_store
from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import LakeSettings

_S3: Final = re.compile(r"s3://[^/\s]")

VARIABLES: Final = {
    "domain": "MEDALLION_DOMAIN",
    "bronze": "MEDALLION_BRONZE",
    "warehouse": "MEDALLION_WAREHOUSE",
    "catalog": "MEDALLION_CATALOG",
    "region": "AWS_REGION",
    "read_capacity": "MEDALLION_READ_CAPACITY",
    "checkpoint": "MEDALLION_CHECKPOINT",
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

    @field_validator("region")
    @classmethod
    def _require_region(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
            raise ValueError("expected a name such as eu-central-1")
        return value

    @field_validator("bronze")
    @classmethod
    def _require_store(cls, value: str) -> str:
        try:
            open_store(value)
        except SettingsError:
            raise ValueError("expected s3://bucket/prefix or a directory") from None
        return value

    @field_validator("warehouse")
    @classmethod
    def _require_place(cls, value: str) -> str:
        if not _S3.match(value) and not Path(value).is_absolute():
            raise ValueError("expected s3://bucket/prefix or an absolute directory")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.catalog == "sqlite" and self.warehouse.startswith("s3://"):
            raise ValueError(
                f"The catalog is sqlite and the warehouse {self.warehouse}. SQLite keeps its file in the warehouse, so "
                "it must be a directory; for a warehouse on S3 choose the catalog glue."
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
                seen = "is not set" if mistake["type"] == "missing" else f"is {mistake['input']!r}: {text}"
                lines.append(f"{variables.get(field, field)} {seen}. {cls.model_fields[field].description}")
            raise SettingsError(
                "\n".join(lines) + "\nSet it, or start the local stack with `medallion demo` and try again."
            ) from None

    def lake(self) -> LakeSettings:
        """Return what the lake needs of these settings. An S3 warehouse is at the endpoint that boto3 would use."""
        from medallion_assets.lake.catalog import LakeSettings

        return LakeSettings(
            warehouse=self.warehouse,
            catalog=self.catalog,
            region=self.region,
            s3_endpoint=_configured_s3_endpoint(self.region) if self.warehouse.startswith("s3://") else None,
        )


class Settings(DomainSettings):
    """What a command needs to know: the settings of a domain, and which domain it is."""

    domain: str = Field(description="Name of a shipped domain, or the path of a user's own folder.")
    checkpoint: Path | None = Field(default=None, description="The poller's checkpoint file, where our poller runs.")

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


def _configured_s3_endpoint(region: str) -> str | None:
    """Return the endpoint that variables or the AWS configuration file give to boto3's S3 clients; None on AWS.

    boto3 keeps the rule (docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html) and has no function for it:
    an endpoint is configured if a client that ignores the configuration has another one. Takes 40 ms.
    """
    import boto3
    from botocore.config import Config

    session = boto3.Session(region_name=region)
    try:
        configured = session.client("s3").meta.endpoint_url
    except ValueError as invalid:  # botocore has no error of its own for it
        raise SettingsError(
            f"{invalid}. Expected AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 as https://host or http://host:port."
        ) from invalid
    ignoring = Config(ignore_configured_endpoint_urls=True)  # type: ignore[call-arg] # the stubs do not know it
    default = session.client("s3", config=ignoring).meta.endpoint_url
    return configured if configured != default else None
