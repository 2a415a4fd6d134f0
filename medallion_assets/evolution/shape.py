"""The shape of a Silver table: its columns, key and partition, as a contract declares them or as the lake has them.

Belongs here: what two shapes are compared by. Does not belong here: comparing (changes), reading a commit (committed)
or the lake (published).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract


@dataclass(frozen=True)
class ColumnShape:
    """One column.

    - text: its type as a contract writes it
    - stored: the Arrow type that it is stored as
    - required: whether it is never null
    - attribute: what it is read from; None if it is copied from another table, or if that is not known
    - default: its value where there is none, as the contract writes it; None if there is none or it is not known
    - reading: how its value is written there; empty if in DynamoDB's own type of it
    """

    text: str
    stored: pa.DataType
    required: bool
    attribute: str | None = None
    default: str | None = None
    reading: str = ""


@dataclass(frozen=True)
class TableShape:
    """One Silver table.

    - source: the DynamoDB table; None if it is not known
    - key: its columns' names, hash before range
    - partition: (column, transform) pairs
    - dropped: the attributes that do not reach it; None if they are not known
    - freezes: whether an attribute that is not declared sends a row to quarantine; None if it is not known
    - items: which items have a row, as text; None if it is not known
    - rows: how many it has; None if nobody counted
    """

    source: str | None
    columns: Mapping[str, ColumnShape]
    key: tuple[str, ...]
    partition: tuple[tuple[str, str], ...]
    dropped: frozenset[str] | None = None
    freezes: bool | None = None
    items: str | None = None
    rows: int | None = None


def declared_shape(contract: Contract, domain: Domain) -> TableShape:
    """Return the shape that a contract declares, with the columns that enrichment adds."""
    columns = {
        name: ColumnShape(str(type_), type_.arrow(), required=name in contract.required_names)
        for name, type_ in domain.silver_columns(contract).items()
    }
    for name, column in contract.by_name.items():
        default = None if column.default is None else str(column.default)
        columns[name] = replace(columns[name], attribute=column.attribute, reading=column.reading, default=default)
    return TableShape(
        source=contract.table,
        columns=columns,
        key=contract.key_names,
        partition=tuple((part.column, part.transform) for part in contract.partition),
        dropped=frozenset(contract.dropped),
        freezes=contract.shape == "freeze",
        items=_items(contract),
    )


def _items(contract: Contract) -> str:
    """Return which items have a row in Silver."""
    parts = [f"{attribute} {pattern}" for attribute, pattern in (contract.where or {}).items()]
    parts += [f"not {contract.deleted_when}"] if contract.deleted_when is not None else []
    parts += ["also expired"] if contract.on_expiry == "keep" else []
    return ", ".join(parts) or "all"
