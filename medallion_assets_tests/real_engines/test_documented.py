"""The configuration that docs/howto/trino-and-spark.md shows is the one that the engines are tested with."""

from __future__ import annotations

import re
from pathlib import Path

from medallion_assets.lake.catalog import LakeSettings
from medallion_assets_tests.real_engines import spark, trino

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "trino-and-spark.md"
ON_FILES = LakeSettings(warehouse="/data/warehouse", catalog="sqlite", region="eu-central-1")
LOCAL_AWS = LakeSettings(
    warehouse="s3://lake",
    catalog="glue",
    region="eu-central-1",
    s3_endpoint="${ENV:AWS_ENDPOINT_URL}",
    glue_endpoint="${ENV:AWS_ENDPOINT_URL}",
)
KEYS = {name: f"${{ENV:{name}}}" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def blocks() -> list[dict[str, str]]:
    """The page's blocks of properties, in order."""
    found = re.findall(r"```properties\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in found]


def test_trino() -> None:
    aws, local, files, *_ = blocks()
    only_in_tests = {"iceberg.unique-table-location", "iceberg.expire-snapshots.min-retention"}
    for shown, tested in (
        ({**aws, **local}, trino.lake_properties(LOCAL_AWS, KEYS)),
        (files, trino.lake_properties(ON_FILES, {})),
    ):
        assert shown == {"connector.name": "iceberg"} | {k: v for k, v in tested.items() if k not in only_in_tests}


def test_spark() -> None:
    shown = {name: value for name, value in blocks()[3].items() if name.startswith("spark.sql.catalog.")}
    assert shown == {f"spark.sql.catalog.lake{key}": value for key, value in spark.lake_properties(ON_FILES).items()}
