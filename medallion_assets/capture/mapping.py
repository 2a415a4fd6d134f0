"""The event source mapping and the function that write Bronze, as they are deployed.

Belongs here: the settings and the names of the metrics, once; `infra` deploys them, `simulation` plays them. Does not
belong here: what a function does with a batch (handler), the pace of our own poller (poller/settings).
"""

from dataclasses import dataclass
from typing import Final, Literal

from medallion_assets.capture.sequence import STREAM_RETENTION

METRICS_NAMESPACE: Final = "Medallion"
"""The CloudWatch namespace of the metrics that the function sends."""

DEAD_LETTERS: Final = "DeadLetters"
"""The metric of the records that an invocation set aside, by FunctionName, and by Version too. It is sent only if there
are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedMapping:
    """AWS's parameters of a mapping from a DynamoDB stream. None is AWS's -1: no limit.

    `timeout_s` is the function's. One attempt to write takes at most three minutes with its own retries (s3_store), and
    readers of Bronze wait 15 minutes for late names.
    """

    batch_size: int = 1_000
    window_s: float = 1.0
    max_retries: int | None = None
    max_record_age_s: float | None = STREAM_RETENTION.total_seconds()
    bisect: bool = True
    report_item_failures: bool = False
    parallelization_factor: int = 1
    starting_position: Literal["TRIM_HORIZON"] = "TRIM_HORIZON"
    timeout_s: float = 300.0


DEPLOYED: Final = DeployedMapping()
"""Nothing is given up while the stream has it: no limit of retries, and the age at which the stream drops a record.

That age is said, because then Lambda counts a record that reaches it and sends it to the on-failure destination. With
no limit of age the record would expire, which no metric counts.
The function sets aside a record that it cannot write, so no record blocks its shard. What the function cannot see (it
is killed, or runs out of time or memory) Lambda halves until the record is alone (`bisect`), and calls the function
again until the record leaves the stream. The function reports no single records: it has written all of them or raises.
"""
