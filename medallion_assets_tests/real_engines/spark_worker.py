"""`python spark_worker.py <port> <key>`: a Spark session that answers statements for another process.

It runs in the environment that has pyspark, so it imports nothing of this project. A statement comes as text; its
answer is (column names, types, rows) in Python's own types, or the error's text. It ends with its owner's connection.
"""

from __future__ import annotations

import json
import sys
from multiprocessing.connection import Client
from typing import Any

from pyspark.sql import Row, SparkSession


def plain(value: Any) -> Any:
    """Return a value of Spark without Spark's types: a row as a tuple, bytes for a byte array."""
    if isinstance(value, Row):
        return tuple(plain(one) for one in value)
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return bytes(value) if isinstance(value, bytearray) else value


def serve(port: int, key: str) -> None:
    """Read the session's settings, then answer one statement after the other."""
    with Client(("127.0.0.1", port), authkey=bytes.fromhex(key)) as owner:
        builder = SparkSession.builder
        for name, value in json.loads(owner.recv()).items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        owner.send("ready")
        while True:
            try:
                statement = owner.recv()
            except EOFError:
                return
            try:
                if statement["settings"]:  # another lake under the same name: a new session has no catalogs yet
                    spark = spark.newSession()
                for name, value in statement["settings"].items():
                    spark.conf.set(name, value)
                frame = spark.sql(statement["sql"])
                types = [kind for _, kind in frame.dtypes]
                owner.send((frame.columns, types, [plain(row) for row in frame.collect()]))
            except Exception as error:  # noqa: BLE001 - whatever Spark refuses is the answer
                owner.send(f"{type(error).__name__}: {error}".split("\n\tat ")[0])


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
