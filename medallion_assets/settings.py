"""The one settings object: what differs between a laptop, dev, stg and prod.

Every setting is an environment variable `MEDALLION_...`; AWS itself (region, credentials, endpoint) is configured by
boto3's own variables. Nothing here opens a client, and nothing is read before `Settings.load()` is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from medallion_assets.errors import SettingsError

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import LakeSettings


class Settings(BaseSettings):
    """Where the layers live and which domain runs on them."""

    model_config = SettingsConfigDict(env_prefix="MEDALLION_", frozen=True, extra="ignore")

    domain: str = Field(description="Name of a shipped domain, or the path of a user's own folder.")
    bronze: str = Field(description="Where Bronze objects are: s3://bucket/prefix, or a directory.")
    warehouse: str = Field(description="Where Silver and Gold tables are: s3://bucket/prefix, or a directory.")
    catalog: Literal["glue", "sqlite"] = Field(description="glue on AWS; sqlite keeps its file in the warehouse.")
    region: str = Field(description="The AWS region.", validation_alias="AWS_REGION")
    endpoint: str | None = Field(
        default=None, description="The endpoint of a local AWS.", validation_alias="AWS_ENDPOINT_URL"
    )
    read_capacity: float = Field(
        default=100, gt=0, description="Read capacity units a second that verifying may use of each DynamoDB table."
    )
    checkpoint: Path | None = Field(default=None, description="The poller's checkpoint file, where our poller runs.")

    @classmethod
    def load(cls) -> Self:
        """The settings of this process's environment. Raises SettingsError naming each variable that is wrong."""
        try:
            return cls()
        except ValidationError as invalid:
            lines = []
            for mistake in invalid.errors():
                field = str(mistake["loc"][0])
                name = field if field.startswith("AWS_") else f"MEDALLION_{field.upper()}"
                about = next(
                    (
                        info.description
                        for key, info in cls.model_fields.items()
                        if field in (key, info.validation_alias)
                    ),
                    "",
                )
                seen = "is not set" if mistake["type"] == "missing" else f"is {mistake['input']!r}: {mistake['msg']}"
                lines.append(f"{name} {seen}. {about}")
            raise SettingsError(
                "\n".join(lines) + "\nSet it, or start the local stack with `medallion demo` and try again."
            ) from invalid

    def lake(self) -> LakeSettings:
        """What the lake needs of these settings. Raises SettingsError when the warehouse is no place."""
        from medallion_assets.lake.catalog import LakeSettings

        try:
            return LakeSettings(
                warehouse=self.warehouse,
                catalog=self.catalog,
                region=self.region,
                s3_endpoint=self.endpoint,
                glue_endpoint=self.endpoint,
            )
        except ValidationError as invalid:
            raise SettingsError(f"MEDALLION_WAREHOUSE: {invalid.errors()[0]['msg']}") from invalid
