"""Settings come from the environment; what is missing is named, and nothing is guessed."""

import os
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from pyiceberg.catalog.glue import GlueCatalog

from medallion_assets.engines.engine import AthenaSettings, TrinoSettings
from medallion_assets.errors import SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets.settings import VARIABLES, DomainSettings, Settings

GIVEN = {
    "MEDALLION_DOMAIN": "ecommerce",
    "MEDALLION_BRONZE": "s3://lake/bronze",
    "MEDALLION_WAREHOUSE": "s3://lake/warehouse",
    "MEDALLION_CATALOG": "glue",
    "AWS_REGION": "eu-central-1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", *VARIABLES.values()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


def test_settings_are_what_the_environment_says() -> None:
    settings = Settings.load()
    assert (settings.domain, settings.bronze, settings.read_capacity) == ("ecommerce", "s3://lake/bronze", 100)
    lake = settings.lake()
    assert (lake.warehouse, lake.catalog, lake.region) == ("s3://lake/warehouse", "glue", "eu-central-1")
    assert lake.s3_endpoint is None


def test_the_lake_is_at_the_endpoint_that_boto3_would_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def endpoint() -> str | None:
        return Settings.load().lake().s3_endpoint

    (tmp_path / "config").write_text("[default]\nendpoint_url = http://file:1\n")
    assert endpoint() == "http://file:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:1")
    assert endpoint() == "http://all:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3:1")
    assert endpoint() == "http://s3:1"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert endpoint() == "http://s3:1"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint() is None


def test_an_endpoint_of_one_service_in_the_configuration_file_is_that_services(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "[default]\nendpoint_url = http://file:1\nservices = ours\n"
        "[services ours]\ns3 =\n  endpoint_url = http://s3:1\nglue =\n  endpoint_url = http://glue:1\n"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    settings = Settings.load().lake()
    assert settings.s3_endpoint == "http://s3:1"

    def glue() -> str:
        with Lake.open(settings) as lake:
            assert isinstance(lake._catalog, GlueCatalog)
            return str(lake._catalog.glue.meta.endpoint_url)

    assert glue() == "http://glue:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:1")  # a variable is more than a file, for the same service
    assert glue() == "http://all:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", "http://glue:2")
    assert glue() == "http://glue:2"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert glue() == "https://glue.eu-central-1.amazonaws.com"


def test_an_endpoint_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "localhost:9000")
    with pytest.raises(SettingsError, match=r"Invalid endpoint: localhost:9000.*AWS_ENDPOINT_URL_S3 as https://host"):
        Settings.load().lake()


@pytest.mark.parametrize("others", [None, "http://127.0.0.1:1"])
def test_a_lake_whose_services_have_endpoints_of_their_own_is_found(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch, others: str | None
) -> None:
    """`others` is the endpoint of all other services; nothing answers there."""
    for service in ("S3", "GLUE"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", f"{aws.endpoint}/")  # a slash at the end changes nothing
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    if others is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", others)
    bucket = f"lake-{os.environ['AWS_ACCESS_KEY_ID']}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    monkeypatch.setenv("MEDALLION_WAREHOUSE", f"s3://{bucket}/warehouse")
    monkeypatch.setenv("AWS_REGION", REGION)
    with Lake.open(Settings.load().lake()) as lake, lake.duckdb() as connection:
        table = lake.ensure("silver", "orders", pa.schema([pa.field("id", pa.int64())]))
        assert lake.tables("silver") == ["orders"]
        assert connection.sql(f"SELECT count(*) FROM {lake.scan_sql(table, None)}").fetchall() == [(0,)]


@pytest.mark.parametrize("name", GIVEN)
def test_a_missing_setting_is_named_with_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MEDALLION_CATALOG", "hive", "MEDALLION_CATALOG is 'hive'"),
        ("MEDALLION_WAREHOUSE", "relative/folder", "MEDALLION_WAREHOUSE is 'relative/folder'.*absolute directory"),
        ("MEDALLION_READ_CAPACITY", "0", "MEDALLION_READ_CAPACITY is '0'.*greater than 0"),
        ("MEDALLION_READ_CAPACITY", "inf", "MEDALLION_READ_CAPACITY is 'inf'.*finite"),
        ("MEDALLION_READ_CAPACITY", "", "MEDALLION_READ_CAPACITY is ''.*number"),
        ("MEDALLION_BRONZE", "", "MEDALLION_BRONZE is ''.*expected s3://bucket/prefix or a directory"),
        ("MEDALLION_BRONZE", "gs://b/x", "MEDALLION_BRONZE is 'gs://b/x'.*expected s3://bucket/prefix or a directory"),
        ("MEDALLION_WAREHOUSE", "s3:///x", "MEDALLION_WAREHOUSE is 's3:///x'.*expected s3://bucket/prefix"),
        (
            "MEDALLION_CATALOG",
            "sqlite",
            "The catalog is sqlite and the warehouse s3://lake/.*choose the catalog glue",
        ),
        ("MEDALLION_DUCKDB_MEMORY_MB", "1", "MEDALLION_DUCKDB_MEMORY_MB is '1'.*greater than or equal to 128"),
        ("MEDALLION_SOURCE_TABLES", "Orders", "MEDALLION_SOURCE_TABLES is 'Orders'.*expected <table of a contract>="),
        ("MEDALLION_DATABASE_PREFIX", "shop", "MEDALLION_DATABASE_PREFIX is 'shop'.*end it with _"),
        ("MEDALLION_SPILL_FOLDER", "/not/there", "MEDALLION_SPILL_FOLDER is '/not/there'.*directory that exists"),
        ("AWS_REGION", "", "AWS_REGION is ''"),
        ("AWS_REGION", "Europe (Frankfurt)", "AWS_REGION is 'Europe"),
        ("MEDALLION_CHECKPOINT", "", "MEDALLION_CHECKPOINT is ''.*expected a name or a path"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message) as refused:
        Settings.load()
    assert "Input should" not in str(refused.value) and "Value error" not in str(refused.value)


def test_a_value_that_no_variable_gave_is_named_by_its_field() -> None:
    with pytest.raises(SettingsError, match="catalog is 'hive'") as refused:
        DomainSettings.parse({"catalog": "hive"}, {"bronze": "SHOP_BRONZE"})
    assert "SHOP_BRONZE is not set" in str(refused.value) and "region is not set" in str(refused.value)


TRINO = {
    "MEDALLION_ENGINE": "trino",
    "MEDALLION_TRINO_URL": "https://trino.example:8443",
    "MEDALLION_TRINO_CATALOG": "lake",
    "MEDALLION_TRINO_USER": "medallion",
}
ATHENA = {
    "MEDALLION_ENGINE": "athena",
    "MEDALLION_ATHENA_WORKGROUP": "marts",
    "MEDALLION_ATHENA_OUTPUT": "s3://results/marts/",
}


def test_marts_are_computed_by_duckdb_unless_another_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().distributed_engine() is None
    for name, value in {**TRINO, "MEDALLION_TRINO_PASSWORD": "s3cr3t"}.items():
        monkeypatch.setenv(name, value)
    found = Settings.load().distributed_engine()
    assert isinstance(found, TrinoSettings)
    assert (found.url, found.catalog, found.user) == ("https://trino.example:8443", "lake", "medallion")
    assert found.password is not None and found.password.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in f"{Settings.load()!r} {found!r}"
    for name, value in {**ATHENA, "MEDALLION_ENGINE_RESULT_MB": "2", "MEDALLION_ENGINE_TIMEOUT_SECONDS": "9"}.items():
        monkeypatch.setenv(name, value)
    athena = Settings.load().distributed_engine()
    assert isinstance(athena, AthenaSettings)
    assert (athena.workgroup, athena.output, athena.catalog) == ("marts", "s3://results/marts/", "AwsDataCatalog")
    assert (athena.limits.result_bytes, athena.limits.timeout_seconds) == (2 * 2**20, 9)


@pytest.mark.parametrize(
    ("given", "changed", "words"),
    [
        (
            TRINO,
            {"MEDALLION_TRINO_URL": None, "MEDALLION_TRINO_USER": None},
            "MEDALLION_TRINO_URL, MEDALLION_TRINO_USER",
        ),
        (
            TRINO,
            {"MEDALLION_TRINO_URL": "https://ada:s3cr3t@trino.example"},
            "MEDALLION_TRINO_URL is not shown: expected",
        ),
        (TRINO, {"MEDALLION_TRINO_URL": "trino.example:8080"}, "MEDALLION_TRINO_URL is not shown: expected https://"),
        (TRINO, {"MEDALLION_TRINO_URL": "http://h", "MEDALLION_TRINO_PASSWORD": "s3cr3t"}, "Expected https"),
        (TRINO, {"MEDALLION_TRINO_CATALOG": 'lake"; x'}, "MEDALLION_TRINO_CATALOG is"),
        (TRINO, {"MEDALLION_TRINO_USER": ""}, "MEDALLION_TRINO_USER is"),
        (TRINO, {"MEDALLION_ENGINE": "spark"}, "MEDALLION_ENGINE is 'spark': expected 'duckdb', 'trino' or 'athena'"),
        (TRINO, {"MEDALLION_ENGINE_TIMEOUT_SECONDS": "0"}, "MEDALLION_ENGINE_TIMEOUT_SECONDS is '0'"),
        (ATHENA, {"MEDALLION_ATHENA_OUTPUT": None}, "MEDALLION_ENGINE is athena, which needs MEDALLION_ATHENA_OUTPUT"),
        (ATHENA, {"MEDALLION_ATHENA_OUTPUT": "s3://b/'; DROP"}, "MEDALLION_ATHENA_OUTPUT is"),
        (ATHENA, {"MEDALLION_ATHENA_WORKGROUP": "a b"}, "MEDALLION_ATHENA_WORKGROUP is"),
        (ATHENA, {"MEDALLION_ATHENA_CATALOG": '"'}, "MEDALLION_ATHENA_CATALOG is"),
        (ATHENA, {"MEDALLION_CATALOG": "sqlite", "MEDALLION_WAREHOUSE": "/lake"}, "Choose the catalog glue"),
    ],
)
def test_an_engine_needs_its_settings(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], changed: dict[str, str | None], words: str
) -> None:
    for name, value in {**given, **changed}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert words in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
