"""What a Bronze object says about the shard it was read from, so that a missing object shows.

Belongs here: the claim, how it is written into an object's Parquet footer and read back. Does not belong here: the
judgement whether claims are complete. The poller makes claims; a Lambda function cannot, its event names no shard.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

from medallion_assets.errors import CorruptObject

CLAIM_KEY: Final = "medallion.shard"
"""The key of a claim in a Parquet file's key-value metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One object accounts for every record of the shard after `after` and up to `upto`.

    Sequence numbers are text as sent, compared as integers. Each such record is a row of the object, but for `given_up`
    of them, which went to the on-failure queue. `after` is the `upto` of the object before it; None: this is the first
    object of this capture from that shard, and accounts for all that was there to read up to `upto`. After a crash, and
    after a write whose outcome was unknown, the next object claims from the same `after` again: claims overlap then,
    but they never leave a hole. What was given up behind the last object of a shard is in no claim yet.
    """

    stream_arn: str
    shard_id: str
    after: str | None
    upto: str
    given_up: int

    def to_json(self) -> str:
        """Return the claim as the value that stands under CLAIM_KEY."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the claim that `to_json` wrote. Raises CorruptObject for anything else."""
        try:
            claim = cls(**json.loads(text))
            int(claim.upto), int(claim.after or 0)
        except (ValueError, TypeError) as error:
            raise CorruptObject(
                f"not a claim on a shard: {text[:200]!r} ({error}); it is what {CLAIM_KEY} holds"
            ) from error
        return claim


def read_claim(data: bytes) -> Claim | None:
    """Return the claim in a Bronze object's bytes, None if it has none (a Lambda function wrote it, or a backfill).

    For many objects at once DuckDB's `parquet_kv_metadata` reads the footers alone. Raises CorruptObject.
    """
    import io

    from arro3.io import read_parquet

    text = read_parquet(io.BytesIO(data)).schema.metadata_str.get(CLAIM_KEY)
    return None if text is None else Claim.from_json(text)
