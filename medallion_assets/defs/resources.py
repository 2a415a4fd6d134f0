"""What steps need of the world outside: the lake and the Bronze store, by the settings of the process they run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.settings import Settings

if TYPE_CHECKING:
    from medallion_assets.lake.catalog import Lake


class Pipeline:
    """Opens lake and store when they are asked for: settings come from the environment then, not at load.

    The steps of a run share one lake: opening it, with DuckDB's extensions, takes a quarter of a second.
    """

    def __init__(self) -> None:
        self._lake: Lake | None = None

    @contextmanager
    def lake(self) -> Iterator[Lake]:
        """The open lake. Left with an error it is closed, so that another attempt opens it anew.

        Raises SettingsError, LakeUnavailable.
        """
        from medallion_assets.lake.catalog import Lake

        if self._lake is None:
            self._lake = Lake.open(Settings.load().lake())
        try:
            yield self._lake
        except BaseException:
            self.close()
            raise

    def bronze(self) -> BronzeStore:
        """The Bronze store. Raises SettingsError."""
        return open_store(Settings.load().bronze)

    def close(self) -> None:
        """Close the lake, if it is open."""
        if self._lake is not None:
            self._lake.close()
            self._lake = None


@dg.resource(description="The lake and the Bronze store, by the MEDALLION_ and AWS_ variables of the process.")
def pipeline() -> Iterator[Pipeline]:
    """One Pipeline for all steps of a run, or for a tick; closed at its end. It has nothing to configure in Dagster."""
    with closing(Pipeline()) as opened:
        yield opened
