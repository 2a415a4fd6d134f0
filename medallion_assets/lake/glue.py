"""The Glue catalog, with one file access for all its tables and with each metadata file parsed once.

Belongs here: what pyiceberg's catalog asks Glue and S3 for more often than is needed. Does not belong here: the catalog
of a lake on files, and what a lake does with its tables (catalog).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.config import Config
from pyarrow.fs import S3FileSystem
from pyiceberg.catalog import METADATA_LOCATION, PREVIOUS_METADATA_LOCATION
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from medallion_assets.lake.duck import Keys
from medallion_assets.lake.file_io import Kept, S3FileIO
from medallion_assets.lake.memory import RemembersTables

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import TableTypeDef

_parsed: Final[Kept[TableMetadata]] = Kept(300, size=lambda _: 1)
"""The metadata of tables by the location of its file."""

_CONNECT_SECONDS, _REQUEST_SECONDS, _ATTEMPTS = 5, 30, 4


class LakeGlueCatalog(RemembersTables, GlueCatalog):
    """Glue, for a lake that is one warehouse on S3.

    A namespace `gold` is the database `<prefix>gold`: a name gets its prefix where it becomes a database, and loses it
    where Glue's entry becomes a table.
    """

    def __init__(self, client: GlueClient, io: FileIO, *, warehouse: str, database_prefix: str) -> None:
        super().__init__("lake", client=client, warehouse=warehouse)
        self._io = io
        self._prefix = database_prefix

    def identifier_to_database(  # type: ignore[override] # pyiceberg's are static, as its databases have one name
        self, identifier: str | Identifier, err: type[ValueError] | type[NoSuchNamespaceError] = ValueError
    ) -> str:
        """Return the database of a namespace."""
        return self._prefix + GlueCatalog.identifier_to_database(identifier, err)

    def identifier_to_database_and_table(  # type: ignore[override]
        self,
        identifier: str | Identifier,
        err: type[ValueError] | type[NoSuchTableError] | type[NoSuchNamespaceError] = ValueError,
    ) -> tuple[str, str]:
        """Return the database and the table of an identifier."""
        namespace, name = GlueCatalog.identifier_to_database_and_table(identifier, err)
        return self._prefix + namespace, name

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return self._io

    def _is_s3tables_database(self, database_name: str) -> bool:
        # A lake's databases are of the warehouse on S3, and every commit asks.
        return False

    def _get_glue_table(self, database_name: str, table_name: str) -> TableTypeDef:
        with _whole_answer():
            return super()._get_glue_table(database_name, table_name)

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Create a database. Raises NamespaceAlreadyExistsError if it is there, without trying to create it."""
        if self.namespace_exists(namespace):
            raise NamespaceAlreadyExistsError(f"Namespace already exists: {namespace}")
        super().create_namespace(namespace, properties)

    def load_tables(self, namespace: str, names: Collection[str]) -> dict[str, Callable[[], Table]]:
        """Return an act for each of these tables that loads it; one request to Glue finds a hundred tables."""
        found: dict[str, TableTypeDef] = {}
        with _whole_answer(), suppress(self.glue.exceptions.EntityNotFoundException):
            for page in self.glue.get_paginator("get_tables").paginate(
                DatabaseName=self.identifier_to_database(namespace)
            ):
                found |= {table["Name"]: table for table in page["TableList"]}

        def load(name: str) -> Table:
            if name not in found:
                raise NoSuchTableError(f"Table does not exist: {namespace}.{name}")
            return self.sound((namespace, name), partial(self._convert_glue_to_iceberg, found[name]))

        return {name: partial(load, name) for name in names}

    def metadata_locations(self, name: Identifier) -> tuple[str | None, str | None]:
        """Return the table's current and previous metadata (RemembersTables.metadata_locations)."""
        entry = self._get_glue_table(*self.identifier_to_database_and_table(name)).get("Parameters", {})
        return entry.get(METADATA_LOCATION), entry.get(PREVIOUS_METADATA_LOCATION)

    def _convert_glue_to_iceberg(self, glue_table: TableTypeDef) -> Table:
        glue_table = {**glue_table, "DatabaseName": glue_table["DatabaseName"].removeprefix(self._prefix)}
        location = glue_table.get("Parameters", {}).get("metadata_location")
        metadata = _parsed.get(location) if location is not None else None
        if metadata is None or location is None:
            table = super()._convert_glue_to_iceberg(glue_table)
            _parsed.keep(table.metadata_location, table.metadata)
            return table
        return Table(
            identifier=(glue_table["DatabaseName"], glue_table["Name"]),
            metadata=metadata,
            metadata_location=location,
            io=self._io,
            catalog=self,
        )


@contextmanager
def _whole_answer() -> Iterator[None]:
    """Raise OSError for an answer that was cut off: boto3 takes it for an empty one, pyiceberg looks for its parts."""
    try:
        yield
    except KeyError as missing:
        raise OSError(f"Glue's answer was cut off before its part {missing}") from missing


def open_glue(
    session: boto3.Session,
    *,
    keys: Keys | None,
    warehouse: str,
    region: str,
    s3_endpoint: str | None,
    glue_endpoint: str | None,
    database_prefix: str,
) -> LakeGlueCatalog:
    """Return the Glue catalog of the lake at `warehouse`, an S3 URL.

    The endpoints are URLs, and None on AWS. `keys` are for Arrow, which finds those of AWS by itself (None).
    """
    retries = Config(
        retries={"mode": "standard", "max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_REQUEST_SECONDS,
        max_pool_connections=50,
    )
    filesystem = S3FileSystem(
        region=region,
        endpoint_override=s3_endpoint,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        force_virtual_addressing=False,
        access_key=keys.id if keys else None,
        secret_key=keys.secret if keys else None,
        # A file below 5 MB is then written in one request instead of three.
        allow_delayed_open=True,
    )
    io = S3FileIO(filesystem, session.client("s3", endpoint_url=s3_endpoint, config=retries))
    client = session.client("glue", endpoint_url=glue_endpoint, config=retries)
    return LakeGlueCatalog(client, io, warehouse=warehouse, database_prefix=database_prefix)
