"""Which part of a shard a Bronze object covers, so that a missing object can be detected.

Belongs here: the statement, and how it is written to and read from the object's Parquet footer. Does not belong here:
deciding whether a shard is covered completely (ledger). Only the poller states coverage: the event that a Lambda
function receives does not name the shard.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

from medallion_assets.errors import CorruptObject

COVERAGE_KEY: Final = "medallion.shard-coverage"
"""The key of a ShardCoverage in the key-value metadata of a Parquet file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCoverage:
    """One object accounts for every record of the shard after `after` and up to and including `up_to`.

    Sequence numbers are text as DynamoDB sends them; they are compared as integers. Each covered record is a row of the
    object, except for `dead_lettered` records, which have dead letters.

    `after` is the `up_to` of the object before. None: this is the first object that this capture wrote from the shard;
    it covers everything that could be read up to `up_to`. After a crash, or after a write with an unknown outcome, the
    next object starts again at the same `after`. Ranges can overlap for that reason, but they never leave a range out.
    Records that were dead-lettered after the last object of a shard are in no coverage yet (see heartbeat).
    """

    stream_arn: str
    shard_id: str
    after: str | None
    up_to: str
    dead_lettered: int

    def to_json(self) -> str:
        """Return the coverage as the value to store under COVERAGE_KEY."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the coverage that `to_json` wrote. Raises CorruptObject for anything else."""
        try:
            coverage = cls(**json.loads(text))
            int(coverage.up_to), int(coverage.after or 0)
        except (ValueError, TypeError) as error:
            raise CorruptObject(
                f"the Parquet metadata {COVERAGE_KEY} holds {text[:200]!r}, which is not a shard coverage ({error}); "
                "expected the JSON that the poller writes. Restore the object from an older version."
            ) from error
        return coverage


def read_coverage(data: bytes) -> ShardCoverage | None:
    """Return the coverage in a Bronze object's bytes; None if it has none (written by a Lambda function or a repair).

    To read many objects at once, use DuckDB's `parquet_kv_metadata`: it reads only the footers. Raises CorruptObject.
    """
    import io

    from arro3.io import read_parquet

    text = read_parquet(io.BytesIO(data)).schema.metadata_str.get(COVERAGE_KEY)
    return None if text is None else ShardCoverage.from_json(text)
