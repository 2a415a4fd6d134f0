"""What computes marts and audits whole tables: DuckDB in this process, Trino or Athena. One protocol, and opening it.

Belongs here: what an engine is given and gives back, and what it needs to be opened. Does not belong here: how one
engine does it (embedded, trino_client, athena_client), where its settings come from (settings).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, SecretStr

from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.query import Query

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

    from medallion_assets.lake.catalog import Lake


@dataclass(frozen=True)
class Input:
    """One table that a query reads.

    - columns: its columns with their types, in the order of SELECT *
    - table: None if the lake does not have it yet; the query reads it as a table without rows
    - snapshot_id: the snapshot to read; None for a table that is missing or never had rows
    """

    columns: Mapping[str, ColumnType]
    table: Table | None
    snapshot_id: int | None


@dataclass(frozen=True)
class DayFilter:
    """The days to compute, and what they are computed from.

    - column, days: rows of the result whose `column` is another day are left out
    - table, day_of, read_days: these rows come only from rows of `table` whose `day_of` (a date or a timestamp) is on
      one of `read_days` in UTC, so an engine need not read other rows of it
    """

    column: str
    days: Sequence[date]
    table: str
    day_of: str
    read_days: Sequence[date]


@dataclass(frozen=True)
class KeyFilter:
    """The keys to compute, and what they are computed from.

    - column, keys: the result has only rows whose `column` is one of `keys`, which are distinct; null is a key, too
    - table, key_of: these rows come only from rows of `table` whose `key_of` is one of the same keys
    """

    column: str
    keys: pa.Array
    table: str
    key_of: str


class Engine(Protocol):
    """Runs SELECTs over the lake. The same inputs give the same rows and types on every engine."""

    @property
    def name(self) -> str:
        """The value of the setting `engine` that chooses it."""

    def compute(
        self,
        query: Query,
        inputs: Mapping[str, Input],
        columns: Mapping[str, ColumnType],
        *,
        today: date,
        only: DayFilter | KeyFilter | None = None,
    ) -> pa.Table:
        """Return the rows of a checked query with the Arrow types of `columns`, which it gives in this order.

        `inputs` are the tables by name (names); `today` is `current_date`; without `only` the whole result is computed.

        Raises MartError if the query cannot be run, QueryFailed if an engine gave it up, SettingsError if the engine
        does not have the tables or refuses us, and LakeUnavailable if trying again later can help.
        """

    def select(self, sql: str, inputs: Mapping[str, Input], columns: Mapping[str, ColumnType]) -> pa.Table:
        """Return the rows of a SELECT of our own, with the Arrow types of `columns`, which it gives in this order.

        `sql` is written in what DuckDB and Trino have in common, and names tables as <namespace>.<name>; it is not
        checked or rewritten. Raises what `compute` raises.
        """


class Limits(BaseModel):
    """What one query of a distributed engine may take: time, queueing included, and memory here for its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: int
    result_bytes: int


class TrinoSettings(BaseModel):
    """A Trino server, and the catalog in it that is our lake. A password is sent over https only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    catalog: str
    user: str
    password: SecretStr | None = None
    limits: Limits


class AthenaSettings(BaseModel):
    """Athena in one region. `output` is where results are written: s3://bucket/prefix. Credentials are boto3's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workgroup: str
    output: str
    catalog: str
    region: str
    limits: Limits


def open_engine(settings: TrinoSettings | AthenaSettings | None, lake: Lake) -> Engine:
    """Return the engine with these settings; None is DuckDB in this process. Nothing is connected before it computes.

    Raises ExtraMissing if the client of Trino is not installed.
    """
    match settings:
        case TrinoSettings():
            from medallion_assets.engines.trino_client import TrinoEngine

            return TrinoEngine(settings)
        case AthenaSettings():
            from medallion_assets.engines.athena_client import AthenaEngine

            return AthenaEngine(settings)
        case None:
            from medallion_assets.engines.embedded import EmbeddedEngine

            return EmbeddedEngine(lake)
