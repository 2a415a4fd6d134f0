"""CPU seconds of `contracts infer` for 100,000 items with eleven attributes, beside reading the same lines as JSON.

One table has one kind of items, the other one is a single-table design with four. Each is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ITEMS = 100_000
_JSON = "import json, sys\nfor line in open(sys.argv[1]): json.loads(line)"
_INFER = "from medallion_assets.cli.main import main; main()"


def run() -> list[dict[str, Any]]:
    """Propose the contracts of both tables."""
    return [_figure("infer", _orders()), _figure("infer single table", _entities())]


def _figure(work: str, items: Iterator[dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = folder / "items.jsonl"
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps({'Item': item})}\n" for item in items)
        other, _ = _child(_JSON, str(lines))
        infer = ("contracts", "infer", "App", "--from", str(lines), "--key", "PK,SK", "--owner", "team:bench")
        ours, peak = _child(_INFER, *infer, "--items", str(ITEMS), "--into", str(folder / "tables"))
    return {
        "work": work,
        "ours": round(ours, 1),
        "other": round(other, 1),
        "unit": "CPU seconds",
        "ratio": round(ours / other, 1),
        "peak_mb": peak,
        "what_other_is": "json.loads of each line",
    }


def _child(code: str, *arguments: str) -> tuple[float, int]:
    """Run Python code; return its CPU seconds, and the most memory that it had, in MB."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{arguments}: ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def _orders() -> Iterator[dict[str, Any]]:
    for n in range(ITEMS):
        yield _item(f"customer-{n % 9_000}", f"order-{n:07}", n)


def _entities() -> Iterator[dict[str, Any]]:
    for n in range(ITEMS):
        kind = ("PROFILE", f"ORDER#{n}", f"PAYMENT#{n}", f"NOTE#{n}")[n % 4]
        item = _item(f"USER#{n // 4}", kind, n)
        yield {name if name in {"PK", "SK"} else f"{name}{n % 4}": one for name, one in item.items()}


def _item(pk: str, sk: str, n: int) -> dict[str, Any]:
    return {
        "PK": {"S": pk},
        "SK": {"S": sk},
        "createdAt": {"N": str(1_760_000_000 + n)},
        "updatedAt": {"S": f"2026-03-{n % 28 + 1:02}T10:00:00Z"},
        "pricePennies": {"S": str(n % 900)},
        "weight": {"N": f"{n % 70}.25"},
        "active": {"S": "true" if n % 3 else "false"},
        "status": {"S": ("open", "paid", "shipped")[n % 3]},
        "email": {"S": f"person{n}@example.com"},
        "address": {"M": {"street": {"S": f"Street {n}"}, "zip": {"S": f"{n % 99_999:05}"}}},
        "tags": {"L": [{"S": "a"}, {"S": str(n % 5)}]},
    }
