"""What a backfill has done: one small file below Bronze for each part of the snapshot that is in Bronze as a whole.

`_backfill/<table>/<backfill>/<part>.json` is written after the part's objects, so a backfill that died goes on with the
next part. Belongs here: these files. Does not belong here: the record of a run (ops.backfills).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CorruptObject

FOLDER: Final = "_backfill"


@dataclass(frozen=True)
class Done:
    """A part that is in Bronze: its name, its items, and the objects they were written to."""

    part: str
    items: int
    objects: int


def read_progress(store: BronzeStore, contract: Contract, backfill: str) -> dict[str, Done]:
    """Return the parts that are done, by name. Raises CorruptObject, and what the store raises."""
    found = {}
    for path in store.list(_folder(contract, backfill), suffix=".json"):
        try:
            done = Done(**json.loads(store.read(path)))
        except (ValueError, TypeError) as error:
            raise CorruptObject(
                f"{store.uri(path)} is no progress of a backfill ({error}); delete it, and the part is read again"
            ) from error
        found[done.part] = done
    return found


def write_progress(store: BronzeStore, contract: Contract, backfill: str, done: Done) -> None:
    """Note that a part is done. Raises what the store raises."""
    store.put(f"{_folder(contract, backfill)}/{done.part}.json", json.dumps(asdict(done)).encode())


def _folder(contract: Contract, backfill: str) -> str:
    return f"{FOLDER}/{contract.table}/{backfill}"
