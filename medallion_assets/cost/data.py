"""Load the two files of numbers: list prices (maintained by hand) and measurements (written by `make bench`).

Belongs here: their form. Does not belong here: the arithmetic (model).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from medallion_assets.contracts.loader import load_yaml
from medallion_assets.contracts.model import Strict
from medallion_assets.errors import SettingsError

PRICES: Final = Path(__file__).parent / "prices.yaml"
MEASURED: Final = Path(__file__).parent / "measured.yaml"


class Seen(Strict):
    """Where a price was read, and the date of that page or list; None if it has none."""

    at: Annotated[str, Field(pattern="^https://")]
    dated: date | None


class Price(Strict):
    """One list price: `usd` for `per` units. `source` is the page that lists it.

    `seen` says where the number was read; None for a price from memory, which nobody has checked.
    """

    usd: Annotated[Decimal, Field(ge=0)]
    per: Annotated[int, Field(gt=0)]
    unit: str
    source: Annotated[str, Field(pattern="^https://")]
    seen: Seen | None


class Prices(Strict):
    """All list prices of one region, last looked up on `as_of`."""

    as_of: date
    region: str
    currency: str
    prices: dict[str, Price]

    def usd(self, name: str, amount: Decimal) -> Decimal:
        """Return what `amount` units cost. Raises SettingsError for a price that the file does not have."""
        price = self._price(name)
        return amount * price.usd / price.per

    def unit(self, name: str) -> str:
        """Return the unit of a price. Raises SettingsError for a price that the file does not have."""
        return self._price(name).unit

    @property
    def not_checked(self) -> list[str]:
        """The names of the prices that were not read anywhere, sorted."""
        return sorted(name for name, price in self.prices.items() if price.seen is None)

    def _price(self, name: str) -> Price:
        if name not in self.prices:
            raise SettingsError(
                f"The prices have no {name!r}; they have {', '.join(sorted(self.prices))}. Add it to the file."
            )
        return self.prices[name]


class Requests(Strict):
    """The requests of an act. `read` are GET and HEAD, `catalog` those to Glue."""

    put: Annotated[int, Field(ge=0)]
    read: Annotated[int, Field(ge=0)]
    list: Annotated[int, Field(ge=0)]
    catalog: Annotated[int, Field(ge=0)]


class Measured(Strict):
    """What `make bench ARGS="--only cost"` measured with items of `item_bytes`.

    - `capture_ms`: time of capture per change
    - `bronze_object_bytes`, `bronze_change_bytes`: size of a Bronze object without changes, and per change (two images)
    - `silver_row_bytes`: size of a row of Silver
    - `run`: requests of a run of three tables and three marts, without those that read Bronze
    - `observe`: requests of a run of the job `observe` over them when nothing has changed
    """

    measured_on: date
    item_bytes: Annotated[int, Field(gt=0)]
    capture_ms: Annotated[Decimal, Field(gt=0)]
    bronze_object_bytes: Annotated[int, Field(ge=0)]
    bronze_change_bytes: Annotated[int, Field(gt=0)]
    silver_row_bytes: Annotated[int, Field(gt=0)]
    run: Requests
    observe: Requests


def load_prices(path: Path = PRICES) -> Prices:
    """Return the prices in a file. Raises ContractError that names file and field."""
    return load_yaml(Prices, path)


def load_measured(path: Path = MEASURED) -> Measured:
    """Return the measurements in a file. Raises ContractError that names file and field."""
    return load_yaml(Measured, path)
