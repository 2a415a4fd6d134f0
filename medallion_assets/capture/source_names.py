"""The names of tables in DynamoDB, where they are not the contracts' (`Orders=prod-Orders`): MEDALLION_SOURCE_TABLES.

Belongs here: which name is which. Bronze and all that follows it know the contract's name; only who calls DynamoDB or
reads a stream's ARN knows the other. Does not belong here: what a name may be (naming).
"""

import os
from collections.abc import Mapping
from typing import Final, Self

from medallion_assets.capture.naming import require_table_name
from medallion_assets.errors import SettingsError

VARIABLE: Final = "MEDALLION_SOURCE_TABLES"


class SourceNames:
    """The tables with two names: `sources` has DynamoDB's by the contract's. Any other table has one name."""

    def __init__(self, sources: Mapping[str, str] = {}) -> None:
        self._sources = dict(sources)
        self._contracts = {source: table for table, source in sources.items()}

    def in_dynamodb(self, table: str) -> str:
        """Return DynamoDB's name of the table with this name in its contract."""
        return self._sources.get(table, table)

    def in_contract(self, source: str) -> str:
        """Return the contract's name of the table with this name in DynamoDB."""
        return self._contracts.get(source, source)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the names in a text such as `Orders=prod-Orders,Users=prod-Users`. Raises SettingsError."""
        found: dict[str, str] = {}
        for pair in filter(None, text.split(",")):
            table, _, source = pair.partition("=")
            try:
                require_table_name(table)
                require_table_name(source)
            except ValueError as error:
                raise SettingsError(
                    f"{pair!r}: expected <table of a contract>=<its name in DynamoDB>; {error}"
                ) from error
            if table in found or source in found.values():
                raise SettingsError(f"{pair!r}: one of the names was given before; expected each table once")
            found[table] = source
        return cls(found)

    @classmethod
    def load(cls) -> Self:
        """Return the names in this process's MEDALLION_SOURCE_TABLES. Raises SettingsError."""
        return cls.parse(os.environ.get(VARIABLE, ""))


SAME_NAMES: Final = SourceNames()
"""Every table has one name."""
