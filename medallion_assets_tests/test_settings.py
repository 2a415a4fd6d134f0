"""Settings come from the environment; what is missing is named, and nothing is guessed."""

import pytest

from medallion_assets.errors import SettingsError
from medallion_assets.settings import Settings

GIVEN = {
    "MEDALLION_DOMAIN": "ecommerce",
    "MEDALLION_BRONZE": "s3://lake/bronze",
    "MEDALLION_WAREHOUSE": "s3://lake/warehouse",
    "MEDALLION_CATALOG": "glue",
    "AWS_REGION": "eu-central-1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


def test_settings_are_what_the_environment_says() -> None:
    lake = Settings.load().lake()
    assert (lake.warehouse, lake.catalog, lake.region) == ("s3://lake/warehouse", "glue", "eu-central-1")
    assert lake.s3_endpoint is None
    assert lake.glue_endpoint is None


@pytest.mark.parametrize("name", GIVEN)
def test_a_missing_setting_is_named_with_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        Settings.load()


def test_a_setting_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_CATALOG", "hive")
    with pytest.raises(SettingsError, match="MEDALLION_CATALOG is 'hive'"):
        Settings.load()
    monkeypatch.setenv("MEDALLION_CATALOG", "sqlite")
    monkeypatch.setenv("MEDALLION_WAREHOUSE", "relative/folder")
    with pytest.raises(SettingsError, match=r"MEDALLION_WAREHOUSE: .*relative/folder"):
        Settings.load().lake()
