"""Capture's speed, its cold import and the weight of what a Lambda function must carry for it.

What belongs here: `run` and the two ways of writing a batch. Each way runs in a process of its own, on one core.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

BATCHES, BATCH_SIZE = 100, 1_000
"""1,000 records is the poller's batch, and the most that one read of a shard gives."""


def run() -> list[dict[str, Any]]:
    """Measure; one figure per line of the requirement."""
    ours, other = _measured("ours"), _measured("other")
    cold, heavy = _import_ms("medallion_assets.capture.handler"), _import_ms("pyarrow.parquet")
    light, pyarrow_mb = _unpacked_mb("arro3-core", "arro3-io", "orjson"), _unpacked_mb("pyarrow")
    return [
        {
            "work": "capture",
            "ours": round(ours["records_s"]),
            "other": round(other["records_s"]),
            "unit": "records/s",
            "ratio": round(ours["records_s"] / other["records_s"], 1),
            "peak_mb": ours["peak_mb"],
            "what_other_is": "json.dumps per image, pyarrow Table.from_pylist and parquet (zstd) of the same batches",
        },
        {
            "work": "capture cold import",
            "ours": round(cold),
            "other": round(heavy),
            "unit": "ms",
            "ratio": round(heavy / cold, 1),
            "peak_mb": None,
            "what_other_is": "import of pyarrow.parquet alone",
        },
        {
            "work": "capture dependencies unpacked",
            "ours": light,
            "other": pyarrow_mb,
            "unit": "MB",
            "ratio": round(pyarrow_mb / light, 1),
            "peak_mb": None,
            "what_other_is": "pyarrow",
        },
    ]


def _measured(way: str) -> dict[str, float]:
    # One thread for pyarrow too: the comparison is per core.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}
    command = [sys.executable, "-m", "medallion_assets_tests.bench.capture", way]
    answer: dict[str, float] = json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)
    return answer


def _import_ms(module: str) -> float:
    """The median of seven fresh interpreters."""
    code = f"import time; start = time.perf_counter(); import {module}; print((time.perf_counter() - start) * 1000)"
    command = [sys.executable, "-c", code]
    times = sorted(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(7))
    return times[3]


def _unpacked_mb(*names: str) -> float:
    files = [file for name in names for file in distribution(name).files or ()]
    return round(sum(Path(str(file.locate())).stat().st_size for file in files if file.suffix != ".pyc") / 1e6, 1)


def _records() -> list[dict[str, Any]]:
    """Orders as Lambda delivers them, both images 326 bytes."""
    dice = random.Random(7)

    def image(number: int) -> dict[str, Any]:
        return {
            "OrderID": {"S": f"o-{number:08d}"},
            "CustomerID": {"S": f"c-{dice.randrange(5_000):06d}"},
            "ProductID": {"L": [{"S": f"p-{dice.randrange(300):05d}"}, {"S": f"p-{dice.randrange(300):05d}"}]},
            "OrderDate": {"S": f"2026-01-{dice.randrange(1, 29):02d}T10:30:{dice.randrange(60):02d}Z"},
            "TotalAmount": {"N": f"{dice.randrange(10_000, 99_999) / 100:.2f}"},
            "Status": {"S": dice.choice(["shipped", "pending", "refused"])},
            "Customer": {"M": {"Name": {"S": "Ada Lovelace"}, "Region": {"S": dice.choice(["eu-west", "us-east"])}}},
            "Note": {"S": f"{dice.getrandbits(124):031x}"},
        }

    return [
        {
            "eventID": f"{dice.getrandbits(128):032x}",
            "eventName": "MODIFY",
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026-01-01T00:00:00.000",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_769_423_400,
                "Keys": {"OrderID": {"S": f"o-{number:08d}"}},
                "NewImage": image(number),
                "OldImage": image(number),
                "SequenceNumber": str(4421584500000000017450439091 + number),
            },
        }
        for number in range(BATCH_SIZE)
    ]


def _ours() -> Callable[[Sequence[dict[str, Any]]], object]:
    from medallion_assets.capture.envelope import content_hash, envelope, to_parquet

    def write(records: Sequence[dict[str, Any]]) -> object:
        rows = [envelope(record) for record in records]
        return content_hash(rows), to_parquet(rows, captured_at=datetime.now(UTC))

    return write


def _other() -> Callable[[Sequence[dict[str, Any]]], object]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)

    def as_text(value: object) -> str:
        return json.dumps(value, default=lambda raw: base64.b64encode(raw).decode())

    def write(records: Sequence[dict[str, Any]]) -> object:
        now = datetime.now(UTC)
        rows = [
            {
                "event_id": record["eventID"],
                "event_name": record["eventName"],
                "table_name": record["eventSourceARN"].split("/")[1],
                "sequence_number": record["dynamodb"]["SequenceNumber"],
                "approximate_creation_time": datetime.fromtimestamp(
                    record["dynamodb"]["ApproximateCreationDateTime"], UTC
                ),
                "keys": as_text(record["dynamodb"]["Keys"]),
                "new_image": as_text(record["dynamodb"]["NewImage"]),
                "old_image": as_text(record["dynamodb"]["OldImage"]),
                "user_identity": None,
                "stream_arn": record["eventSourceARN"],
                "captured_at": now,
            }
            for record in records
        ]
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), file, compression="zstd")
        return file.getvalue()

    return write


def main() -> None:
    """Measure one way and print it: the fastest of three passes, in seconds of one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    event = json.dumps(_records())
    write = {"ours": _ours, "other": _other}[sys.argv[1]]()
    seconds = [0.0, 0.0, 0.0]
    for repeat in range(len(seconds)):
        for _ in range(BATCHES):
            records = json.loads(event)  # each batch is new, as it is to a function; reading it is not capture's work
            start = time.process_time()
            write(records)
            seconds[repeat] += time.process_time() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"records_s": BATCHES * BATCH_SIZE / min(seconds), "peak_mb": peak_mb}))  # noqa: T201 - the output


if __name__ == "__main__":
    main()
