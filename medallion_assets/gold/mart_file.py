"""`mart.yaml`: the description of one mart, as frozen models.

Belongs here: the fields of the file and the rules that need only this file. Does not belong here: the query, and the
rules between the file, its query and the contracts (spec).
"""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from medallion_assets.contracts.model import Column, Rule, Strict
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.types import TypeText

# Columns that every Gold table has after the mart's own.
COMPUTED_AT: Final = "computed_at"
SILVER_SNAPSHOTS: Final = "silver_snapshots"


class MartColumn(Strict):
    """One output column: its type as in a contract, its meaning, and the rules that its values must keep."""

    type: TypeText
    description: str
    rules: tuple[Rule, ...] = ()

    @field_validator("rules")
    @classmethod
    def _of_one_row(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        for rule in rules:
            if rule.kind == "references":
                raise ValueError("a mart's rule says one of required, values, min, max, pattern")
        return rules


class Partition(Strict):
    """The day by which a mart is refreshed: the column that holds it, and the table whose rows make up a day."""

    column: str = Field(description="The mart's column that holds the day; a date.")
    table: str = Field(description="The Silver table whose rows belong to days.")
    day_of: str = Field(description="That table's date or timestamp (UTC) column whose day it is.")
    joins: dict[str, str] = Field(
        default={},
        description="Every other table in the SQL -> the column of `table` that holds its key (or a list of its keys).",
    )


class MartFile(Strict):
    """`mart.yaml`."""

    description: str
    owner: str = Field(description="Who answers for the mart: an e-mail address or `team:name`.")
    grain: tuple[str, ...] = Field(description="The columns that make a row unique.", min_length=1)
    columns: dict[str, MartColumn] = Field(min_length=1)
    partition: Partition | None = None

    @field_validator("columns")
    @classmethod
    def _sound(cls, columns: dict[str, MartColumn], info: ValidationInfo) -> dict[str, MartColumn]:
        for name, column in columns.items():
            if identifier(name) in {COMPUTED_AT, SILVER_SNAPSHOTS}:
                raise ValueError(f"{name}: every Gold table has this column already; choose another name")
            Column(attribute=name, rename=name, type=column.type, rules=column.rules)
        return columns

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "@" not in self.owner and not self.owner.startswith("team:"):
            raise ValueError(f"owner {self.owner!r}: expected an e-mail address or team:name")
        for name in self.grain:
            if name not in self.columns:
                raise ValueError(f"grain: no column {name!r}; expected some of {', '.join(self.columns)}")
        if self.partition is not None:
            column = self.columns.get(self.partition.column)
            if column is None or column.type.kind != "date":
                raise ValueError(f"partition.column: {self.partition.column!r} is not a column of type date")
            if self.partition.column not in self.grain:
                raise ValueError(f"grain: {self.partition.column!r} is the partition's day and must be in it")
        return self
