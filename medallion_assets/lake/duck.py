"""DuckDB as the lake's reader: its extensions, its settings, its access to S3, and how SQL is quoted.

Belongs here: what every connection has. Does not belong here: queries.
"""

from __future__ import annotations

import importlib.resources
import os
import tempfile
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from medallion_assets.lake.schema import holds

# avro first: iceberg needs it, and would try to download it.
EXTENSIONS = ("avro", "iceberg", "httpfs")

# Two threads that replace a secret, or load an extension, at the same time fail with a write-write conflict.
_changing = threading.Lock()


class Keys(NamedTuple):
    """An AWS access key. `token` is the session token of a role, else None."""

    id: str
    secret: str
    token: str | None


def connect(
    name: str = "lake", *, memory_mb: int | None = None, spill_folder: str | None = None, cache_files: bool = True
) -> duckdb.DuckDBPyConnection:
    """Open the process's in-memory database of this name, which reads Iceberg and has UTC as its time zone.

    It uses at most `memory_mb` (MiB; None: four fifths of the machine's), and writes what does not fit to a folder of
    the process below `spill_folder` (None: the system's for temporary files). The first connection decides.
    With `cache_files`, which the last one decides, what was read from files stays in memory: that saves requests to S3.
    On a disk it saves nothing, and takes 5 MB for each micro-batch.

    All connections of one name see one database, which ends with the last of them. The first connection loads the
    extensions, which takes 0.15 to 0.3 s; further ones take 2 ms. Downloads nothing. Like any DuckDB database, it must
    not be open when the process forks.
    """
    connection = duckdb.connect(
        f":memory:{name}",
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )
    with _changing:
        # Of each process its own, because DuckDB's temporary files have the same names in all. DuckDB removes it. Once
        # something was written there, DuckDB refuses to set the folder, also to the same one.
        folder = Path(spill_folder or tempfile.gettempdir(), f"medallion-spill-{os.getpid()}-{name}")
        ((present,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
        if Path(present).name != folder.name:
            connection.execute(f"SET GLOBAL temp_directory = {literal(str(folder))}")
            if memory_mb is not None:
                connection.execute(f"SET GLOBAL memory_limit = '{memory_mb}MiB'")
        for extension in EXTENSIONS:
            package = importlib.resources.files(f"duckdb_extension_{extension}")
            file = package / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
            connection.execute(f"LOAD {literal(str(file))}")
    # GLOBAL, so that cursors have it too. The default is the time zone of the machine.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL preserve_insertion_order = false")
    # A lake's files never change under their names: what was read once is not asked for again.
    connection.execute("SET GLOBAL enable_http_metadata_cache = true")
    connection.execute("SET GLOBAL validate_external_file_cache = 'NO_VALIDATION'")
    connection.execute(f"SET GLOBAL enable_external_file_cache = {str(cache_files).lower()}")
    # This optimizer trusts the row count of a scan. DuckDB's Iceberg reader computes it as the rows of the files that
    # pass the filter minus all deletes of the manifest: too few, or below zero, and a UNION ends in an internal error.
    connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
    return connection


def allow_s3(connection: duckdb.DuckDBPyConnection, bucket: str, keys: Keys, region: str, endpoint: str | None) -> None:
    """Give all connections to this database access to one bucket, replacing the access they had. Takes 0.2 ms.

    `endpoint` is a URL, None on AWS.
    """
    options = {
        "TYPE": "s3",
        "SCOPE": literal(f"s3://{bucket}/"),
        "KEY_ID": literal(keys.id),
        "SECRET": literal(keys.secret),
        "REGION": literal(region),
    }
    if keys.token:
        options["SESSION_TOKEN"] = literal(keys.token)
    if endpoint:
        scheme, _, host = endpoint.rstrip("/").partition("://")
        options |= {"ENDPOINT": literal(host), "URL_STYLE": "'path'", "USE_SSL": str(scheme == "https").lower()}
    secret = ", ".join(f"{option} {value}" for option, value in options.items())
    with _changing:
        connection.execute(f"CREATE OR REPLACE SECRET {identifier(bucket)} ({secret})")


def confine(connection: duckdb.DuckDBPyConnection, folders: Iterable[str]) -> None:
    """Let this database read what is below `folders` (directories or s3://bucket/prefix) and nothing else, for ever.

    It opens no other file and no other host, spills nothing to disk, loads no extension, and no setting can be changed.
    """
    allowed = ", ".join(literal(f"{folder.rstrip('/')}/") for folder in folders)
    connection.execute("SET GLOBAL allow_persistent_secrets = false")
    connection.execute("SET GLOBAL max_temp_directory_size = '0B'")
    connection.execute(f"SET GLOBAL allowed_directories = [{allowed}]")
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")


def sql_types(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """Return each column's type as DuckDB writes it."""
    relation = connection.from_arrow(schema.empty_table())
    return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}


def wrong_columns(connection: duckdb.DuckDBPyConnection, rows: str, declared: pa.Schema) -> list[str]:
    """Return a line for each declared column that `rows` (SQL) lacks, or has with a type that cannot hold its values.

    Columns that another writer added are not wrong.
    """
    found = connection.execute(f"FROM {rows} LIMIT 0").to_arrow_table().schema
    wanted, actual = sql_types(connection, declared), sql_types(connection, found)
    return [
        f"{field.name}: expected {wanted[field.name]}, is {actual.get(field.name, 'missing')}"
        for field in declared
        if field.name not in actual or not holds(found.field(field.name).type, field.type)
    ]


def apart_by_case(names: Iterable[str]) -> list[list[str]]:
    """Return the names in groups. No two names of one group differ only in case.

    Fields of one DuckDB struct must not differ only in case: its optimizer replaces an access by position with one by
    name, and there names ignore case.
    """
    groups: list[dict[str, str]] = []
    for name in names:
        group = next((group for group in groups if name.casefold() not in group), None)
        if group is None:
            groups.append(group := {})
        group[name.casefold()] = name
    return [list(group.values()) for group in groups]


def identifier(name: str) -> str:
    """Return a column name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a quoted SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def timestamp_literal(time: datetime) -> str:
    """Return a time as SQL of DuckDB, whose time zone is UTC here, and of Trino."""
    return f"TIMESTAMP '{time.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'microseconds')} UTC'"


def value_texts(rows: pa.Table) -> list[tuple[str | None, ...]]:
    """Return each row's values as DuckDB writes them; null for null. For a few rows."""
    columns = ", ".join(f"{identifier(name)}::VARCHAR" for name in rows.column_names)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", rows)
        return connection.execute(f"SELECT {columns} FROM rows").fetchall()
