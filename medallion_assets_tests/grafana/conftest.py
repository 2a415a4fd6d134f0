"""One filled lake for all tests of this folder; they only read it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from medallion_assets.engines.embedded import Embedded
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION
from medallion_assets_tests.grafana import shop


@pytest.fixture(scope="session")
def now() -> datetime:
    return shop.utc_now()


@pytest.fixture(scope="session")
def shop_lake(tmp_path_factory: pytest.TempPathFactory, now: datetime) -> Iterator[Lake]:
    """A shop's lake."""
    folder = tmp_path_factory.mktemp("shop")
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION)) as lake:
        shop.fill(lake, folder / "bronze", now)
        yield lake


@pytest.fixture(scope="session")
def engine(shop_lake: Lake) -> Iterator[Embedded]:
    """The embedded engine over the shop's lake, with everything published shown."""
    with Embedded(shop_lake) as session:
        session.show_published()
        yield session
