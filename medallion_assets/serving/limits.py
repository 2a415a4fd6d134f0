"""What one query, and all queries together, may take.

Belongs here: the limits and their defaults. Does not belong here: keeping them (gate, reader, app).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is served at most.

    - seconds: how long one query may run
    - rows, result_bytes: how large one result may be; bytes as Arrow holds them
    - body_bytes: how long the body of a request may be
    - running: how many queries run at the same time; each may use every core
    - waiting: how many more queries wait for their turn
    - per_caller: how many queries of one caller run or wait
    - memory_mb: MiB that DuckDB may use for all running queries
    - cache_bytes: how much of saved queries' answers is kept, as it is sent
    """

    seconds: float = 30.0
    rows: int = 100_000
    result_bytes: int = 64 * 2**20
    body_bytes: int = 64 * 2**10
    running: int = 4
    waiting: int = 64
    per_caller: int = 32
    memory_mb: int = 1024
    cache_bytes: int = 64 * 2**20
