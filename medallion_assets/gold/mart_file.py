"""`mart.yaml`: the description of one mart, as frozen models.

Belongs here: the fields of the file and the rules that need only this file. Does not belong here: the query, and the
rules between the file, its query and the contracts (spec).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from medallion_assets.contracts.mistakes import Mistake, raise_all
from medallion_assets.contracts.model import Owner, Rule, Strict, rule_mistakes
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.time_zone import UTC, known_zone
from medallion_assets.contracts.types import TypeText

# Columns that every Gold table has after the mart's own.
COMPUTED_AT: Final = "computed_at"
SILVER_SNAPSHOTS: Final = "silver_snapshots"


class MartColumn(Strict):
    """One output column: its type as in a contract, its meaning, and the rules that its values must keep."""

    type: TypeText
    description: str = ""
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        mistakes = [
            Mistake(("rules", number), "a mart's rule says one of required, values, min, max, pattern")
            for number, rule in enumerate(self.rules)
            if rule.kind == "references"
        ]
        raise_all([*mistakes, *rule_mistakes(self.type, self.rules)])
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """As a file writes it: the type alone, or a mapping."""
        written = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [written["properties"]["type"], written]}


def _with_types(written: Any) -> Any:
    """Return the columns as their model takes them: a bare type stands for `{type: ...}`."""
    if not isinstance(written, Mapping):
        return written
    return {name: {"type": spec} if isinstance(spec, str) else spec for name, spec in written.items()}


def _named(columns: dict[str, MartColumn]) -> dict[str, MartColumn]:
    raise_all(list(_unusable_names(columns)))
    return columns


def _unusable_names(names: Sequence[str] | Mapping[str, object]) -> Iterator[Mistake]:
    for name in names:
        if name in {COMPUTED_AT, SILVER_SNAPSHOTS}:
            yield Mistake((name,), "every Gold table has this column already; choose another name")
        try:
            identifier(name)
        except ValueError as unusable:
            yield Mistake((name,), str(unusable))


class Partition(Strict):
    """The day or the key by which a mart is refreshed: its column, and the table whose rows make up a day or a key.

    Exactly one of `day_of` and `key_of` is given.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["day_of"]}, {"required": ["key_of"]}]})

    column: str = Field(description="The mart's column that holds the day (a date) or the key.")
    table: str = Field(description="The Silver table, or the mart as gold.<mart>, whose rows belong to days or keys.")
    day_of: str | None = Field(default=None, description="That table's date or timestamp column whose day it is.")
    key_of: str | None = Field(
        default=None, description="That table's column whose value it is: a text, integer, decimal, date or binary."
    )
    time_zone: Annotated[str, AfterValidator(known_zone)] = Field(
        default=UTC, description="With day_of: the time zone in which a timestamp's day is, like Europe/Berlin."
    )
    joins: dict[str, str] = Field(
        default={},
        description="Every other table in the SQL -> the column of `table` that holds its key (or a list of its keys).",
    )

    @model_validator(mode="after")
    def _day_or_key(self) -> Self:
        given = [name for name in ("day_of", "key_of") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a partition says exactly one of day_of, key_of; this one says {given}")
        if self.key_of is not None and "time_zone" in self.model_fields_set:
            raise ValueError("time_zone belongs to a partition with day_of; a key has no time zone")
        return self

    @property
    def unit(self) -> Literal["day", "key"]:
        """What the mart is refreshed by."""
        return "day" if self.key_of is None else "key"

    @property
    def source(self) -> str:
        """The column of `table` that the day or the key is of."""
        return self.day_of or self.key_of or ""


class MartFile(Strict):
    """`mart.yaml`."""

    description: str = ""
    owner: Owner = Field(description="Who answers for the mart: an e-mail address or `team:name`.")
    grain: tuple[str, ...] = Field(description="The columns that make a row unique.", min_length=1)
    columns: Annotated[dict[str, MartColumn], BeforeValidator(_with_types), AfterValidator(_named)] = Field(
        min_length=1
    )
    partition: Partition | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        raise_all(list(_mistakes(self.grain, self.columns, self.partition)))
        return self

    @classmethod
    def further_mistakes(cls, written: Mapping[str, Any]) -> list[Mistake]:
        """Return the mistakes between the parts of a file of which some cannot be read at all."""
        columns = _with_types(written.get("columns"))
        if not isinstance(columns, Mapping):
            return []
        read = {str(name): _read_column(spec) for name, spec in columns.items()}
        names = [mistake.below(("columns",)) for mistake in _unusable_names(read)]
        grain = _read(tuple[str, ...], written.get("grain")) or ()
        return [*names, *_mistakes(grain, read, _read(Partition, written.get("partition")))]


def _read_column(spec: Any) -> MartColumn | None:
    """Return a column, if need be without its rules: other parts of the file refer to its type."""
    bare = {"type": spec.get("type")} if isinstance(spec, Mapping) else spec
    found: MartColumn | None = _read(MartColumn, spec) or _read(MartColumn, bare)
    return found


def _read(kind: Any, written: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(written)
    except ValidationError:
        return None


def _mistakes(
    grain: Sequence[str], columns: Mapping[str, MartColumn | None], partition: Partition | None
) -> Iterator[Mistake]:
    """Yield the mistakes between the parts of one mart.yaml; None stands for a column that cannot be read."""
    for name in grain:
        if name not in columns:
            yield Mistake(("grain",), f"no column {name!r}; expected some of {', '.join(columns)}")
    if partition is not None:
        column = columns.get(partition.column)
        if partition.column not in columns:
            yield Mistake(
                ("partition", "column"), f"no column {partition.column!r}; expected one of {', '.join(columns)}"
            )
        elif partition.unit == "day" and column is not None and column.type.kind != "date":
            yield Mistake(("partition", "column"), f"{partition.column!r} is not a column of type date")
        if partition.column not in grain and grain:
            yield Mistake(("grain",), f"{partition.column!r} is the partition's {partition.unit} and must be in it")
