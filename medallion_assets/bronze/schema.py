"""The columns of Bronze as Arrow types.

Belongs here: the types that a reader makes of an object's columns. Does not belong here: the columns themselves, which
are capture's (envelope), and those that Silver needs (chunks).
"""

from typing import Final

import pyarrow as pa

from medallion_assets.capture.envelope import BRONZE_SCHEMA

SCHEMA: Final[pa.Schema] = pa.schema(BRONZE_SCHEMA)
"""All columns of Bronze in their order."""
