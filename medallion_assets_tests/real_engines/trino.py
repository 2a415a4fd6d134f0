"""A Trino server on 127.0.0.1 that reads and writes our lakes, and a client that asks it.

Belongs here: starting it, a catalog for a lake, and SQL to rows with the types that Trino tells. Does not belong here:
what is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from medallion_assets.lake.catalog import LakeSettings
from medallion_assets.local.processes import Child, free_port
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.artifacts import trino_home
from medallion_assets_tests.real_engines.java import TRINO, find_java

_HEAP = "2G"
_READY_SECONDS = 180.0  # 18 s on two quiet cores


@dataclass
class Trino:
    """A running server. Times are UTC."""

    port: int
    _names: Iterator[int] = field(default_factory=count)

    def add_lake(self, settings: LakeSettings) -> str:
        """Return the name of a new catalog, which is this lake. A lake on S3 is reached with the shell's keys."""
        name = f"lake{next(self._names)}"
        pairs = ", ".join(f"\"{key}\" = '{value}'" for key, value in lake_properties(settings, os.environ).items())
        self.run(f"CREATE CATALOG {name} USING iceberg WITH ({pairs})")
        return name

    def run(self, sql: str, *, catalog: str | None = None, schema: str | None = None) -> Answer:
        """Run one statement and return its answer. Numbers, dates, times and binaries are Python's own.

        Raises trino.exceptions.TrinoUserError for a statement that is refused.
        """
        columns, rows = self._ask(sql, catalog, schema)
        return Answer(dict(columns), rows)

    def run_columns(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one statement and return the types of its columns, which need no names, and its rows."""
        columns, rows = self._ask(sql, None, None)
        return [kind for _, kind in columns], rows

    def _ask(
        self, sql: str, catalog: str | None, schema: str | None
    ) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        import trino

        connection = trino.dbapi.Connection(
            host="127.0.0.1", port=self.port, user="test", catalog=catalog, schema=schema, timezone="UTC"
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            rows = [tuple(row) for row in cursor.fetchall()]
            return [(column.name, column.type_code) for column in cursor.description or ()], rows

    def types(self, catalog: str, table: Sequence[str]) -> dict[str, str]:
        """Return the columns of a table with their types."""
        answer = self.run(f'SHOW COLUMNS FROM {catalog}."{table[0]}"."{table[1]}"')
        return {name: kind for name, kind, *_ in answer.rows}


def lake_properties(settings: LakeSettings, env: Mapping[str, str]) -> dict[str, str]:
    """Return the properties of a Trino catalog that is this lake."""
    found = {"iceberg.unique-table-location": "false", "iceberg.expire-snapshots.min-retention": "0s"}
    if settings.catalog == "glue":
        found |= {"iceberg.catalog.type": "glue", "hive.metastore.glue.region": settings.region}
        if settings.glue_endpoint:
            found |= {
                "hive.metastore.glue.endpoint-url": settings.glue_endpoint,
                "hive.metastore.glue.aws-access-key": env["AWS_ACCESS_KEY_ID"],
                "hive.metastore.glue.aws-secret-key": env["AWS_SECRET_ACCESS_KEY"],
            }
    else:
        found |= {
            "iceberg.catalog.type": "jdbc",
            "iceberg.jdbc-catalog.driver-class": "org.sqlite.JDBC",
            "iceberg.jdbc-catalog.connection-url": f"jdbc:sqlite:{settings.warehouse}/catalog.db?busy_timeout=30000",
            "iceberg.jdbc-catalog.catalog-name": "lake",
            "iceberg.jdbc-catalog.schema-version": "V1",
            "iceberg.jdbc-catalog.default-warehouse-dir": settings.warehouse,
        }
    if settings.warehouse.startswith("s3://"):
        found |= {"fs.native-s3.enabled": "true", "s3.region": settings.region}
        if settings.s3_endpoint:
            found |= {
                "s3.endpoint": settings.s3_endpoint,
                "s3.path-style-access": "true",
                "s3.aws-access-key": env["AWS_ACCESS_KEY_ID"],
                "s3.aws-secret-key": env["AWS_SECRET_ACCESS_KEY"],
            }
    else:
        found["fs.hadoop.enabled"] = "true"
    return found


@contextmanager
def run_trino(folder: Path) -> Iterator[Trino]:
    """Run a server with its files below `folder` while inside.

    Raises JavaMissing, DownloadFailed, and LocalStackError with the end of its log if it does not start.
    """
    java, home, port = find_java(TRINO, "Trino 476"), trino_home(), free_port()
    config = [
        "coordinator=true",
        "node-scheduler.include-coordinator=true",
        "node.bind-ip=127.0.0.1",
        "node.internal-address=127.0.0.1",
        f"http-server.http.port={port}",
        f"discovery.uri=http://127.0.0.1:{port}",
        # CREATE CATALOG, so that one server serves every test's own lake.
        "catalog.management=dynamic",
        "catalog.store=memory",
        f"plugin.dir={home}/plugin",
    ]
    files = {
        "config.properties": "\n".join(config),
        "log.properties": "io.trino=WARN\nio.trino.server.Server=INFO\n",
    }
    (folder / "etc").mkdir(parents=True)
    for name, text in files.items():
        (folder / "etc" / name).write_text(text)
    flags = [
        # Trino's own list, with a heap and a collector for a small machine.
        *(f"-Xmx{_HEAP}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:ReservedCodeCacheSize=256M"),
        *(
            "-XX:-OmitStackTraceInFastThrow",
            "-Djdk.attach.allowAttachSelf=true",
            "-Djdk.nio.maxCachedBufferSize=2000000",
        ),
        *("--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"),
        *("--sun-misc-unsafe-memory-access=allow", "-Dfile.encoding=UTF-8", "-Duser.timezone=UTC"),
    ]
    settings = [
        *(f"-Dconfig={folder}/etc/config.properties", f"-Dlog.levels-file={folder}/etc/log.properties"),
        *("-Dnode.environment=test", "-Dnode.id=test", f"-Dnode.data-dir={folder}/data"),
    ]
    command = [str(java.executable), *flags, *settings, "-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"]
    with Child("Trino", command, log=folder / "trino.log", cwd=folder) as child:
        child.wait_until(lambda: "SERVER STARTED" in child.output(), seconds=_READY_SECONDS)
        yield Trino(port)
