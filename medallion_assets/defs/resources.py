"""What a step needs of the world outside: the lake and the Bronze store, by the settings of the process it runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.settings import Settings

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake


class Pipeline:
    """Opens lake and store when they are asked for: settings come from the environment then, not at load.

    A plain object, given to steps as `dg.ResourceParam`: it has nothing to configure in Dagster.
    """

    @contextmanager
    def lake(self) -> Iterator[Lake]:
        """An open lake, closed on leaving. Raises SettingsError, LakeUnavailable."""
        from medallion_assets.lake.catalog import Lake

        with Lake.open(Settings.load().lake()) as lake:
            yield lake

    def bronze(self) -> BronzeStore:
        """The Bronze store. Raises SettingsError."""
        return open_store(Settings.load().bronze)
