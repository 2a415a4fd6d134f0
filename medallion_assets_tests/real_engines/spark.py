"""A Spark session, in a process of its own, that reads and writes our lakes on files.

Belongs here: starting it, a catalog for a lake, and SQL to rows with the types that Spark tells. Does not belong here:
what is asked, and what runs in the other process (spark_worker).
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from medallion_assets.lake.catalog import LakeSettings
from medallion_assets.local.processes import Child
from medallion_assets_tests.real_engines.answer import Answer
from medallion_assets_tests.real_engines.artifacts import ICEBERG_SPARK, SQLITE_JDBC, fetch
from medallion_assets_tests.real_engines.java import SPARK, find_java

PYTHON = Path(__file__).parents[2] / ".venv-engines" / "bin" / "python"
"""The environment that has pyspark; `make test-engines` makes it."""
_WORKER = Path(__file__).with_name("spark_worker.py")
_READY_SECONDS = 120.0  # 8 s on two quiet cores


class SparkError(Exception):
    """Spark refused a statement."""


@dataclass
class Spark:
    """A running session. Times are UTC."""

    worker: Connection

    def use(self, settings: LakeSettings) -> None:
        """Let the catalog `lake` be this lake, which is on files. Its SQLite file names the catalog so."""
        pairs = {f"spark.sql.catalog.lake{key}": value for key, value in lake_properties(settings).items()}
        self._ask("SELECT 1", pairs)

    def run(self, sql: str) -> Answer:
        """Run one statement and return its answer, in Python's own types. Raises SparkError if it is refused."""
        return self._ask(sql, {})

    def _ask(self, sql: str, settings: dict[str, str]) -> Answer:
        self.worker.send({"sql": sql, "settings": settings})
        answer = self.worker.recv()
        if isinstance(answer, str):
            raise SparkError(f"{answer}\n{sql}")
        columns, types, rows = answer
        return Answer(dict(zip(columns, types, strict=True)), rows)


def lake_properties(settings: LakeSettings) -> dict[str, str]:
    """Return the properties of a Spark catalog that is this lake; the key "" is the catalog itself."""
    if settings.catalog != "sqlite":
        raise ValueError(f"{settings.warehouse} has the catalog {settings.catalog!r}; expected sqlite, a lake on files")
    return {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "jdbc",
        ".uri": f"jdbc:sqlite:{settings.warehouse}/catalog.db?busy_timeout=30000",
        ".jdbc.schema-version": "V1",
        ".warehouse": settings.warehouse,
        ".cache-enabled": "false",
    }


@contextmanager
def run_spark(folder: Path) -> Iterator[Spark]:
    """Run a session with its files below `folder` while inside.

    Raises JavaMissing, DownloadFailed, and LocalStackError with the end of its log if it does not start.
    """
    if not PYTHON.exists():
        raise FileNotFoundError(f"{PYTHON} is missing; `make test-engines` makes the environment with pyspark.")
    java = find_java(SPARK, "Spark 3.5")
    jars = [fetch(ICEBERG_SPARK), fetch(SQLITE_JDBC)]
    settings = {
        "spark.master": "local[2]",
        "spark.driver.memory": "2g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseSerialGC",
        "spark.jars": ",".join(map(str, jars)),
        "spark.local.dir": str(folder / "local"),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
    }
    key = secrets.token_bytes(16)
    with Listener(("127.0.0.1", 0), authkey=key) as listener:
        _, port = listener.address
        env = {**os.environ, "JAVA_HOME": str(java.home), "TZ": "UTC", "PYTHONPATH": ""}
        command = [str(PYTHON), str(_WORKER), str(port), key.hex()]
        with (
            Child("Spark", command, log=folder / "spark.log", env=env, cwd=folder) as child,
            _accept(listener, child) as worker,
        ):
            worker.send(json.dumps(settings))
            child.wait_until(worker.poll, seconds=_READY_SECONDS)
            worker.recv()
            yield Spark(worker)


def _accept(listener: Listener, child: Child) -> Connection:
    """Return the worker's connection. Raises LocalStackError if the worker ends before."""
    accepted: queue.SimpleQueue[Connection] = queue.SimpleQueue()
    threading.Thread(target=lambda: accepted.put(listener.accept()), daemon=True).start()
    child.wait_until(lambda: not accepted.empty(), seconds=_READY_SECONDS)
    return accepted.get()
