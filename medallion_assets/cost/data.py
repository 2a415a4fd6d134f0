"""The two files of numbers: list prices (kept by hand) and measurements (written by `make bench`)."""

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
    """Where a price was read, and the date that is on what was read; None: there is none."""

    at: Annotated[str, Field(pattern="^https://")]
    dated: date | None


class Price(Strict):
    """One list price: `usd` for `per` of a unit, the page that lists it, and where the number was `seen`.

    `seen` is None for a price that nobody looked up: it is from memory.
    """

    usd: Annotated[Decimal, Field(ge=0)]
    per: Annotated[int, Field(gt=0)]
    unit: str
    source: Annotated[str, Field(pattern="^https://")]
    seen: Seen | None


class Prices(Strict):
    """All list prices of one region, looked up last on `as_of`."""

    as_of: date
    region: str
    currency: str
    prices: dict[str, Price]

    def usd(self, name: str, amount: Decimal) -> Decimal:
        """What `amount` units cost. Raises SettingsError naming a price the file does not have."""
        price = self._price(name)
        return amount * price.usd / price.per

    def unit(self, name: str) -> str:
        """What the price is counted in."""
        return self._price(name).unit

    @property
    def not_checked(self) -> list[str]:
        """The prices that were seen nowhere, by name."""
        return sorted(name for name, price in self.prices.items() if price.seen is None)

    def _price(self, name: str) -> Price:
        if name not in self.prices:
            raise SettingsError(f"The prices have no {name!r}; they have {', '.join(sorted(self.prices))}.")
        return self.prices[name]


class Measured(Strict):
    """What `make bench ARGS="--only cost"` found, and when; sizes in bytes, on items of `item_bytes`.

    A Bronze object takes `bronze_object_bytes` and `bronze_change_bytes` for each change in it (both images);
    a row of Silver takes `silver_row_bytes`. A commit writes so many files. Capture takes `capture_ms` for a change.
    """

    measured_on: date
    item_bytes: Annotated[int, Field(gt=0)]
    capture_ms: Annotated[Decimal, Field(gt=0)]
    bronze_object_bytes: Annotated[int, Field(ge=0)]
    bronze_change_bytes: Annotated[int, Field(gt=0)]
    silver_row_bytes: Annotated[int, Field(gt=0)]
    silver_commit_files: Annotated[int, Field(gt=0)]
    gold_commit_files: Annotated[int, Field(gt=0)]


def load_prices(path: Path = PRICES) -> Prices:
    """The prices in a file. Raises ContractError naming file and field."""
    return load_yaml(Prices, path)


def load_measured(path: Path = MEASURED) -> Measured:
    """The measurements in a file. Raises ContractError naming file and field."""
    return load_yaml(Measured, path)
