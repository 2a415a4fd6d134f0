"""What a mart can read: the Silver tables of its domain and the other marts, each with its columns and its key.

Belongs here: what the SQL of a mart may know of a table before anything is stored. Does not belong here: which of them
a mart reads (spec), the tables in the lake (changes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Column, Contract
from medallion_assets.contracts.types import ColumnType


@dataclass(frozen=True)
class Source:
    """A table that a mart can read.

    - columns: the declared ones; of a Silver table those of enrichment, too
    - key: the columns in which no two rows are equal, nulls included: a contract's key, a mart's grain
    - required: the columns that are null in no row
    """

    columns: Mapping[str, ColumnType]
    key: tuple[str, ...]
    required: frozenset[str]


def silver_sources(domain: Domain) -> dict[str, Source]:
    """Return the Silver tables of a domain by lake name."""
    return {contract.lake_name: _of_contract(contract, domain) for contract in domain.tables}


def mart_source(columns: Mapping[str, Column], grain: Sequence[str], never_null: Iterable[str]) -> Source:
    """Return a mart as others read it. Its audit has proven its grain and its rules before it is published."""
    types = {name: column.type for name, column in columns.items()}
    return Source(types, tuple(grain), _required(columns.values()).union(never_null))


def _of_contract(contract: Contract, domain: Domain) -> Source:
    required = _required(contract.by_name.values()) | set(contract.key_names)
    return Source(domain.silver_columns(contract), tuple(contract.key_names), required)


def _required(columns: Iterable[Column]) -> frozenset[str]:
    return frozenset(
        column.name
        for column in columns
        if any(rule.kind == "required" and rule.severity == "block" for rule in column.rules)
    )
