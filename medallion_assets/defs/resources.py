"""The resource of a domain: its settings, and the lake and the Bronze store that steps and sensors open with them.

Belongs here: what a step needs of the world outside. Does not belong here: which settings there are (settings).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
from pydantic import Field, PrivateAttr

from medallion_assets.capture.handed_on import HandingStore
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.settings import VARIABLES, DomainSettings

if TYPE_CHECKING:
    from medallion_assets.defs.names import Names
    from medallion_assets.engines.engine import Engine
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.lake.memory import TableMemory

Text: TypeAlias = str | Mapping[str, str]
"""A value, or where to read it when it is needed: `dg.EnvVar("NAME")`, in YAML `{env: NAME}`."""


class MedallionResource(dg.ConfigurableResource[Any]):
    """Where one domain lives. What is not given is read from the environment when a step or a sensor needs it.

    The fields have no type for Dagster, because it reads the variable of a text field before any step begins, fails on
    one that is not set with a trace of its own, and knows no default. Here a missing variable is a SettingsError that
    names it, and an optional one may be left out.
    """

    bronze: Any = Field(description=DomainSettings.model_fields["bronze"].description)
    warehouse: Any = Field(description=DomainSettings.model_fields["warehouse"].description)
    catalog: Any = Field(description=DomainSettings.model_fields["catalog"].description)
    region: Any = Field(description=DomainSettings.model_fields["region"].description)
    read_capacity: Any = Field(description=DomainSettings.model_fields["read_capacity"].description)
    source_tables: Any = Field(description=DomainSettings.model_fields["source_tables"].description)
    given_up: Any = Field(description=DomainSettings.model_fields["given_up"].description)
    kinesis_tables: Any = Field(description=DomainSettings.model_fields["kinesis_tables"].description)
    raw: Any = Field(description=DomainSettings.model_fields["raw"].description)
    exports: Any = Field(description=DomainSettings.model_fields["exports"].description)
    site: Any = Field(description=DomainSettings.model_fields["site"].description)
    dagster_url: Any = Field(description=DomainSettings.model_fields["dagster_url"].description)
    live: Any = Field(description=DomainSettings.model_fields["live"].description)
    database_prefix: Any = Field(description=DomainSettings.model_fields["database_prefix"].description)
    freshness: Any = Field(description=DomainSettings.model_fields["freshness"].description)
    duckdb_memory_mb: Any = Field(description=DomainSettings.model_fields["duckdb_memory_mb"].description)
    spill_folder: Any = Field(description=DomainSettings.model_fields["spill_folder"].description)
    arrivals_queue: Any = Field(description=DomainSettings.model_fields["arrivals_queue"].description)
    engine: Any = Field(description=DomainSettings.model_fields["engine"].description)
    engine_timeout_seconds: Any = Field(description=DomainSettings.model_fields["engine_timeout_seconds"].description)
    engine_result_mb: Any = Field(description=DomainSettings.model_fields["engine_result_mb"].description)
    trino_url: Any = Field(description=DomainSettings.model_fields["trino_url"].description)
    trino_catalog: Any = Field(description=DomainSettings.model_fields["trino_catalog"].description)
    trino_user: Any = Field(description=DomainSettings.model_fields["trino_user"].description)
    trino_password: Any = Field(description=DomainSettings.model_fields["trino_password"].description)
    athena_workgroup: Any = Field(description=DomainSettings.model_fields["athena_workgroup"].description)
    athena_output: Any = Field(description=DomainSettings.model_fields["athena_output"].description)
    athena_catalog: Any = Field(description=DomainSettings.model_fields["athena_catalog"].description)

    # The open lakes, one that remembers tables and one that asks each time, and how many callers each has.
    _lakes: dict[bool, Lake] = PrivateAttr(default_factory=dict)
    _callers: Counter[Lake] = PrivateAttr(default_factory=Counter)
    _memory: TableMemory | None = PrivateAttr(default=None)
    _store: HandingStore | None = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self,
        *,
        bronze: Text = dg.EnvVar(VARIABLES["bronze"]),
        warehouse: Text = dg.EnvVar(VARIABLES["warehouse"]),
        catalog: Text = dg.EnvVar(VARIABLES["catalog"]),
        region: Text = dg.EnvVar(VARIABLES["region"]),
        read_capacity: float | Text = dg.EnvVar(VARIABLES["read_capacity"]),
        source_tables: Text = dg.EnvVar(VARIABLES["source_tables"]),
        given_up: Text = dg.EnvVar(VARIABLES["given_up"]),
        kinesis_tables: Text = dg.EnvVar(VARIABLES["kinesis_tables"]),
        raw: Text = dg.EnvVar(VARIABLES["raw"]),
        exports: Text = dg.EnvVar(VARIABLES["exports"]),
        site: Text = dg.EnvVar(VARIABLES["site"]),
        dagster_url: Text = dg.EnvVar(VARIABLES["dagster_url"]),
        live: Text = dg.EnvVar(VARIABLES["live"]),
        database_prefix: Text = dg.EnvVar(VARIABLES["database_prefix"]),
        freshness: Text = dg.EnvVar(VARIABLES["freshness"]),
        duckdb_memory_mb: int | Text = dg.EnvVar(VARIABLES["duckdb_memory_mb"]),
        spill_folder: Text = dg.EnvVar(VARIABLES["spill_folder"]),
        arrivals_queue: Text = dg.EnvVar(VARIABLES["arrivals_queue"]),
        engine: Text = dg.EnvVar(VARIABLES["engine"]),
        engine_timeout_seconds: int | Text = dg.EnvVar(VARIABLES["engine_timeout_seconds"]),
        engine_result_mb: int | Text = dg.EnvVar(VARIABLES["engine_result_mb"]),
        trino_url: Text = dg.EnvVar(VARIABLES["trino_url"]),
        trino_catalog: Text = dg.EnvVar(VARIABLES["trino_catalog"]),
        trino_user: Text = dg.EnvVar(VARIABLES["trino_user"]),
        trino_password: Text = dg.EnvVar(VARIABLES["trino_password"]),
        athena_workgroup: Text = dg.EnvVar(VARIABLES["athena_workgroup"]),
        athena_output: Text = dg.EnvVar(VARIABLES["athena_output"]),
        athena_catalog: Text = dg.EnvVar(VARIABLES["athena_catalog"]),
    ) -> None:
        super().__init__(
            bronze=bronze,
            warehouse=warehouse,
            catalog=catalog,
            region=region,
            read_capacity=read_capacity,
            source_tables=source_tables,
            given_up=given_up,
            kinesis_tables=kinesis_tables,
            raw=raw,
            exports=exports,
            site=site,
            dagster_url=dagster_url,
            live=live,
            database_prefix=database_prefix,
            freshness=freshness,
            duckdb_memory_mb=duckdb_memory_mb,
            spill_folder=spill_folder,
            arrivals_queue=arrivals_queue,
            engine=engine,
            engine_timeout_seconds=engine_timeout_seconds,
            engine_result_mb=engine_result_mb,
            trino_url=trino_url,
            trino_catalog=trino_catalog,
            trino_user=trino_user,
            trino_password=trino_password,
            athena_workgroup=athena_workgroup,
            athena_output=athena_output,
            athena_catalog=athena_catalog,
        )

    def settings(self) -> DomainSettings:
        """Return the settings, with variables read now. Raises SettingsError, which names each wrong variable."""
        values: dict[str, object] = {}
        variables: dict[str, str] = {}
        for field in DomainSettings.model_fields:
            value = getattr(self, field)
            variable = _variable(value)
            if variable is None:
                values[field] = value
            else:
                variables[field] = variable
                if (found := dg.EnvVar(variable).get_value()) is not None:
                    values[field] = found
        return DomainSettings.parse(values, variables)

    @property
    def has_site(self) -> bool:
        """Whether the setting `site` is given; no other setting is read."""
        variable = _variable(self.site)
        return bool(self.site if variable is None else dg.EnvVar(variable).get_value())

    @contextmanager
    def lake(self, *, remember_tables: bool = False) -> Iterator[Lake]:
        """Open the lake, once for all steps of a run: with DuckDB's extensions it takes a quarter of a second.

        With `remember_tables`, the steps together ask the catalog once for each table, and for the ledger first: it
        must not say more of a Silver table than the run reads of it.

        If a caller leaves with an error, another attempt opens a new lake and everything that was remembered is
        forgotten. The lake is closed when the last caller has left it. Raises SettingsError, LakeUnavailable.
        """
        with self._lock:
            lake = self._lakes.get(remember_tables)
            if lake is None:
                lake = self._lakes[remember_tables] = self._open(remember_tables)
            self._callers[lake] += 1
        try:
            yield lake
        except BaseException:
            with self._lock:
                if self._lakes.get(remember_tables) is lake:
                    del self._lakes[remember_tables]
            if self._memory is not None:
                self._memory.forget()
            raise
        finally:
            with self._lock:
                self._callers[lake] -= 1
                left = not self._callers[lake] and self._lakes.get(remember_tables) is not lake
            if left:
                lake.close()

    def _open(self, remember_tables: bool) -> Lake:
        from medallion_assets.lake.catalog import Lake
        from medallion_assets.lake.memory import TableMemory
        from medallion_assets.ops.tables import LEDGER, OPS

        lake = Lake.open(self.settings().lake())
        if remember_tables:
            self._memory = self._memory or TableMemory(first=(OPS, LEDGER.name))
            lake.remember_tables(self._memory)
        return lake

    def open_engine(self, lake: Lake) -> Engine:
        """Return what computes marts and audits whole tables. Raises SettingsError, ExtraMissing."""
        from medallion_assets.engines.engine import open_engine

        return open_engine(self.settings().distributed_engine(), lake)

    def bronze_store(self, *, hand_on: bool = False) -> BronzeStore:
        """Return the Bronze store; with `hand_on`, one from which a step of a run gets what the step before it read.

        Raises SettingsError.
        """
        if not hand_on:
            return open_store(self.settings().bronze)
        with self._lock:
            if self._store is None:
                self._store = HandingStore(open_store(self.settings().bronze))
            return self._store

    def close(self) -> None:
        """Close the lake, if it is open, and let go of what was read of it and of Bronze. Nobody uses it any more."""
        for lake in self._lakes.values():
            lake.close()
        self._lakes.clear()
        self._callers.clear()
        self._memory = self._store = None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the lake at the end of a run or of a tick."""
        self.close()


def resource_of(
    context: dg.AssetExecutionContext
    | dg.AssetCheckExecutionContext
    | dg.OpExecutionContext
    | dg.ScheduleEvaluationContext
    | dg.SensorEvaluationContext,
    names: Names,
) -> MedallionResource:
    """Return the resource of the domain with these names. The definition requires `names.resource_key`."""
    found: MedallionResource = getattr(context.resources, names.resource_key)
    return found


def _variable(value: object) -> str | None:
    """Return the name of the environment variable that a value stands for; None for a value that is given."""
    if isinstance(value, dg.EnvVar):
        return value.env_var_name
    if isinstance(value, Mapping) and set(value) == {"env"}:
        return str(value["env"])
    return None
