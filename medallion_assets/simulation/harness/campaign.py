"""A campaign: many histories on several processes, which can be stopped and resumed.

Belongs here: which seeds, the processes that play them, what is kept of each. Does not belong here: one history (play),
what a person sees (cli).
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import secrets
import signal
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from medallion_assets.simulation.harness.histories import draw
from medallion_assets.simulation.harness.play import play

_HISTORIES_A_PROCESS: Final = 250
"""A process plays so many and is replaced by a new one: its memory grows to 900 MB."""


@dataclass
class Tally:
    """The results of a campaign so far. `failed` holds the first violation of each seed that failed."""

    histories: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    violations: int = 0
    cpu_s: float = 0.0

    def add(self, line: dict[str, Any]) -> None:
        """Add the result of one history."""
        self.histories += 1
        self.counts.update(line["counts"])
        self.faults.update(line["faults"])
        self.violations += len(line["violations"])
        self.cpu_s += line["cpu_s"]
        if line["violations"]:
            self.failed[line["seed"]] = line["violations"][0]


class Campaign:
    """The histories of `count` seeds from `first` on, with their results in a folder.

    A campaign that was stopped is resumed if the code is the same; otherwise it starts again.
    """

    def __init__(self, folder: Path, *, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self.tally = Tally()
        self._file = folder / "histories.jsonl"
        self._done: set[int] = set()
        folder.mkdir(parents=True, exist_ok=True)
        about = {"first": first, "count": count, "code": _code()}
        described = folder / "run.json"
        if not described.exists() or json.loads(described.read_text()) != about:
            described.write_text(json.dumps(about))
            self._file.write_text("")
        for text in self._file.read_text().splitlines():
            self._take(json.loads(text))

    @classmethod
    def open(cls, folder: Path, *, count: int, first: int | None) -> Campaign:
        """Return the campaign in this folder if it is unfinished and has as many seeds; otherwise one of new seeds."""
        described = folder / "run.json"
        if first is None and described.exists():
            about = json.loads(described.read_text())
            if about["count"] == count and about["code"] == _code():
                unfinished = cls(folder, first=about["first"], count=count)
                if unfinished.tally.histories < count:
                    return unfinished
        # Drawn from a thousand million, so that two campaigns hardly ever share a seed.
        return cls(folder, first=secrets.randbelow(10**9) * 1000 if first is None else first, count=count)

    def play(self, processes: int) -> Generator[Tally, None, None]:
        """Play the histories that are left. Yield the tally after each. Closing the iterator stops the campaign."""
        left = [seed for seed in range(self.first, self.first + self.count) if seed not in self._done]
        if not left:
            return
        context = multiprocessing.get_context("spawn")
        with (
            self._file.open("a") as file,
            context.Pool(processes, initializer=_quiet, maxtasksperchild=_HISTORIES_A_PROCESS) as pool,
        ):
            for line in pool.imap_unordered(play_seed, left):
                file.write(json.dumps(line) + "\n")
                file.flush()
                self._take(line)
                yield self.tally

    def _take(self, line: dict[str, Any]) -> None:
        self._done.add(line["seed"])
        self.tally.add(line)


def play_seed(seed: int) -> dict[str, Any]:
    """Play the history of a seed. Return its result as JSON data."""
    began = time.process_time()
    played = play(draw(seed))
    return {
        "seed": seed,
        "violations": list(played.violations),
        "counts": dict(played.counts),
        "faults": dict(played.faults),
        "cpu_s": round(time.process_time() - began, 3),
    }


def _quiet() -> None:
    """Set up a worker: it ignores Ctrl-C, which its parent handles, ends on SIGTERM, and logs nothing of its faults."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an ignored signal is inherited, and the pool would wait for ever
    logging.disable(logging.CRITICAL)


def _code() -> str:
    """Return a fingerprint of the package: results of other code do not count."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.sql"), *root.rglob("*.yaml"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
