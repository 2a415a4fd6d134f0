"""DuckDB as the lake's reader: its extensions, its session, its way to S3, and quoting for SQL we build."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from typing import NamedTuple

import duckdb
import pyarrow as pa

# avro first: iceberg looks for it and would otherwise try to download it.
EXTENSIONS = ("avro", "iceberg", "httpfs")


class Keys(NamedTuple):
    """An AWS access key; `token` for those of a role."""

    id: str
    secret: str
    token: str | None


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory database that reads Iceberg, with UTC as its time zone. Downloads nothing. Takes about 0.15 s."""
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
    )
    for name in EXTENSIONS:
        package = importlib.resources.files(f"duckdb_extension_{name}")
        file = package / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        connection.execute(f"LOAD {literal(str(file))}")
    # GLOBAL, so that cursors have it too: the session default is the machine's time zone.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL preserve_insertion_order = false")
    # It trusts the row counts of scans, and those of DuckDB's Iceberg reader take all deletes of a manifest from the
    # rows of the files a filter leaves: too few, or below zero, which ends a UNION in an internal error.
    connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
    return connection


def allow_s3(connection: duckdb.DuckDBPyConnection, keys: Keys, region: str, endpoint: str | None) -> None:
    """Give every cursor of this database access to S3, replacing what was there. `endpoint` is a URL, None on AWS."""
    options = {"TYPE": "s3", "KEY_ID": literal(keys.id), "SECRET": literal(keys.secret)}
    options["REGION"] = literal(region)
    if keys.token:
        options["SESSION_TOKEN"] = literal(keys.token)
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        options |= {"ENDPOINT": literal(host), "URL_STYLE": "'path'", "USE_SSL": str(scheme == "https").lower()}
    connection.execute(f"CREATE OR REPLACE SECRET lake ({', '.join(f'{k} {v}' for k, v in options.items())})")


def sql_types(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """Each column's type as DuckDB writes it."""
    relation = connection.from_arrow(schema.empty_table())
    return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}


def apart_by_case(names: Iterable[str]) -> list[list[str]]:
    """The names in groups in which no two differ only in case, as fields of one struct must not.

    DuckDB's optimizer turns an access to a struct's field by position into one by name, and names there ignore case.
    """
    groups: list[dict[str, str]] = []
    for name in names:
        group = next((group for group in groups if name.casefold() not in group), None)
        if group is None:
            groups.append(group := {})
        group[name.casefold()] = name
    return [list(group.values()) for group in groups]


def identifier(name: str) -> str:
    """A column name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a quoted SQL literal."""
    return "'" + text.replace("'", "''") + "'"
