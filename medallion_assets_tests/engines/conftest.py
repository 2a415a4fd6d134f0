"""A session without any table of a lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medallion_assets.engines.embedded import Embedded
from medallion_assets.lake.catalog import Lake, LakeSettings


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    warehouse: Path = tmp_path_factory.mktemp("lake")
    settings = LakeSettings(warehouse=str(warehouse), catalog="sqlite", region="eu-west-1")
    with Lake.open(settings) as lake, Embedded(lake) as opened:
        yield opened
