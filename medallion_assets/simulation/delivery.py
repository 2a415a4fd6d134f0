"""The Lambda event source mapping of a DynamoDB stream, as AWS documents it.

Belongs here: batches, retries, bisecting, partial failures, age, the on-failure message, lanes per key, duplicates.
Does not belong here: what the function does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Handler = Callable[[dict[str, Any], Any], Any]
"""A Lambda function: event and context in, answer out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """AWS's parameters and defaults; None is AWS's -1 (no limit). `duplicates`: share of batches sent once more."""

    batch_size: int = 100
    window_s: float = 0.0
    max_retries: int | None = None
    max_record_age_s: float | None = None
    bisect: bool = False
    report_item_failures: bool = True
    parallelization_factor: int = 1
    starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    timeout_s: float = 900.0
    duplicates: float = 0.0


class EventSourceMapping:
    """Delivers one stream to one function, at least once, in order for each item."""

    counts: Counter[str]
    """What happened: invocations, errors, partial failures, retries, bisections, duplicates, records given up, ..."""

    def run(self) -> Iterator[float]:
        """Deliver for ever; yields the seconds until there may be something to do."""
        raise NotImplementedError

    def drain(self, *, within_s: float = 90_000.0) -> None:
        """Run, advancing the clock, until all the stream holds is delivered or given up. TimeoutError otherwise."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        """Whether everything that the stream holds now was delivered or given up."""
        raise NotImplementedError
