"""The contract of one DynamoDB table: everything there is to say about it, as frozen models.

Rules that need only this one file are checked here; rules between files are the loader's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from medallion_assets.contracts.names import identifier, snake_case
from medallion_assets.contracts.types import TypeText

Severity = Literal["block", "warn"]
Scalar = bool | int | Decimal | date | datetime | str
_KEY_KINDS = {"string", "int", "bigint", "decimal", "binary"}
_ORDERED_KINDS = {"int", "bigint", "decimal", "double", "date", "timestamp", "string"}

# Capture may write a Bronze object up to 15 minutes after it began (the longest that a Lambda function runs), so that
# much later the row that another one refers to may arrive, on a day when everything works.
DEFAULT_GRACE_MINUTES: Final = 15


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Strict):
    """One rule a row must keep: exactly one of `required`, `values`, `min`, `max`, `pattern`, `references`.

    A row that breaks a rule of severity `block` goes to quarantine; `warn` rows are merged and counted. `references`
    never sends a row to quarantine, because an order may arrive before its customer: the audit counts such rows. A row
    that changed less than `grace_minutes` ago is pending; an older one fails the check.
    """

    required: Literal[True] | None = None
    values: tuple[Scalar, ...] | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    pattern: str | None = Field(default=None, description="A regular expression (RE2) the whole text must match.")
    references: str | None = Field(default=None, description="The lake name of the table whose key this column holds.")
    grace_minutes: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="With references: how long after its last change a row may wait for the row it refers to; "
        f"{DEFAULT_GRACE_MINUTES} minutes if not given.",
    )
    severity: Severity = "block"

    @property
    def kind(self) -> Literal["required", "values", "min", "max", "pattern", "references"]:
        """Which of the six this rule is."""
        for name in ("required", "values", "min", "max", "pattern"):
            if getattr(self, name) is not None:
                return name
        return "references"

    @property
    def grace(self) -> timedelta:
        """How long after its last change a row may wait for the row that it refers to."""
        return timedelta(minutes=DEFAULT_GRACE_MINUTES if self.grace_minutes is None else self.grace_minutes)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        said = [
            name
            for name in ("required", "values", "min", "max", "pattern", "references")
            if getattr(self, name) is not None
        ]
        if len(said) != 1:
            raise ValueError(
                f"a rule says exactly one of required, values, min, max, pattern, references; this one says {said}"
            )
        if self.values is not None and not self.values:
            raise ValueError("values is empty; expected at least one value")
        if self.grace_minutes is not None and self.references is None:
            raise ValueError("grace_minutes belongs to a rule with references")
        return self


class Column(Strict):
    """One column: the attribute it comes from, its type, and the rules of its values."""

    attribute: str
    type: TypeText
    rename: str | None = Field(default=None, description="The column's name in the lake, when snake_case is not it.")
    description: str = ""
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        """The column's name in the lake."""
        return self.rename or snake_case(self.attribute)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        identifier(self.name)
        for rule in self.rules:
            if rule.kind in {"min", "max"} and self.type.kind not in _ORDERED_KINDS:
                raise ValueError(f"rule {rule.kind}: a {self.type} has no order")
            if rule.kind in {"pattern"} and self.type.kind != "string":
                raise ValueError(f"rule pattern: expected type string, this column is {self.type}")
            if rule.kind == "values" and self.type.kind in {"list", "set", "map", "struct", "json", "binary"}:
                raise ValueError(f"rule values: a {self.type} cannot be compared with a list of values")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """As a contract writes it: the type alone, or a mapping; the attribute is the key it stands under."""
        written = handler.resolve_ref_schema(handler(schema))
        written["properties"].pop("attribute")
        written["required"].remove("attribute")
        return {"anyOf": [written["properties"]["type"], written]}


class Key(Strict):
    """The table's primary key, by attribute name."""

    hash: str
    range: str | None = None


class PartitionField(Strict):
    """One field of the Silver table's Iceberg partition spec."""

    column: str
    transform: Literal["identity", "day", "month", "year"] = "identity"


class Enrichment(Strict):
    """Columns copied from the row of another table that a column here refers to; always that row's current values."""

    table: str = Field(description="The lake name of the table the values come from; it has a hash key only.")
    on: str = Field(description="The column here that holds that table's key.")
    columns: dict[str, str] = Field(description="New column here -> column there.", min_length=1)


class QuarantineShare(Strict):
    """The share of a batch's changes that may be quarantined before the batch is stopped.

    A batch of fewer than 100 changes counts as 100, so that one bad change does not stop the others. A change that was
    delivered before does not count.
    """

    max: Annotated[Decimal, Field(ge=0, le=1)]
    severity: Severity = "block"


class RowCount(Strict):
    """How much smaller the table may be than at the end of the day before, as a share."""

    max_drop: Annotated[Decimal, Field(ge=0, le=1)]
    severity: Severity = "warn"


class Freshness(Strict):
    """How old the newest change may be when a batch is audited."""

    max_minutes: Annotated[int, Field(gt=0)]
    severity: Severity = "warn"


class Completeness(Strict):
    """What a known loss of changes means until a repair: marts over the table warn, or stay as they were published."""

    severity: Severity = "warn"


class TableRules(Strict):
    """Rules about the table as a whole; each is an asset check. Keys, types and Bronze counts always block."""

    quarantine_share: QuarantineShare = QuarantineShare(max=Decimal("0.05"))
    row_count: RowCount | None = None
    freshness: Freshness | None = None
    completeness: Completeness = Completeness()


def _columns_by_attribute(written: object) -> object:
    if not isinstance(written, Mapping):
        return written
    return {
        attribute: {"attribute": attribute, **(spec if isinstance(spec, Mapping) else {"type": spec})}
        for attribute, spec in written.items()
    }


class Contract(Strict):
    """One DynamoDB table: its source name, key, columns, rules and enrichment."""

    table: str = Field(description="The DynamoDB table's name.", min_length=3, max_length=255)
    name: str = Field(default="", description="The table's name in the lake; snake_case of `table` when not said.")
    description: str = ""
    owner: str = Field(description="Who answers for the table: an e-mail address or `team:name`.")
    key: Key
    columns: Annotated[dict[str, Column], BeforeValidator(_columns_by_attribute)] = Field(min_length=1)
    drop: tuple[str, ...] = Field(default=(), description="Attributes that never reach the lake's tables.")
    rules: TableRules = TableRules()
    partition: tuple[PartitionField, ...] = ()
    enrich: tuple[Enrichment, ...] = ()

    @property
    def lake_name(self) -> str:
        """The table's name in the lake."""
        return self.name or snake_case(self.table)

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by lake name, in the contract's order."""
        return {column.name: column for column in self.columns.values()}

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The key's columns: hash, then range."""
        names = [self.key.hash] + ([self.key.range] if self.key.range else [])
        return tuple(self.columns[name] for name in names)

    @property
    def key_names(self) -> tuple[str, ...]:
        """The key's column names in the lake: hash, then range."""
        return tuple(column.name for column in self.key_columns)

    @property
    def enriched_names(self) -> tuple[str, ...]:
        """The names of the columns that enrichment adds."""
        return tuple(name for enrichment in self.enrich for name in enrichment.columns)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        identifier(self.lake_name)
        if "@" not in self.owner and not self.owner.startswith("team:"):
            raise ValueError(f"owner {self.owner!r}: expected an e-mail address or team:name")
        self._check_key()
        self._check_names()
        for part in self.partition:
            if part.column not in self.by_name:
                raise ValueError(f"partition: no column {part.column!r}; expected one of {sorted(self.by_name)}")
            if part.transform != "identity" and self.by_name[part.column].type.kind not in {"date", "timestamp"}:
                raise ValueError(f"partition: {part.transform} needs a date or timestamp, {part.column} is not one")
        for enrichment in self.enrich:
            if enrichment.on not in self.by_name:
                raise ValueError(f"enrich.on: no column {enrichment.on!r}; expected one of {sorted(self.by_name)}")
        return self

    def _check_key(self) -> None:
        for attribute in filter(None, (self.key.hash, self.key.range)):
            if attribute not in self.columns:
                raise ValueError(f"key: {attribute!r} is not in columns; every key attribute is a column")
            kind = self.columns[attribute].type.kind
            if kind not in _KEY_KINDS:
                raise ValueError(f"key: {attribute!r} has type {kind}; DynamoDB keys are string, number or binary")
        if self.key.hash == self.key.range:
            raise ValueError("key: hash and range are the same attribute")

    def _check_names(self) -> None:
        names: dict[str, str] = {}
        for column in self.columns.values():
            if column.name in names:
                raise ValueError(
                    f"columns: {names[column.name]!r} and {column.attribute!r} are both {column.name!r} in the lake; "
                    "rename one"
                )
            names[column.name] = column.attribute
        for name in self.enriched_names:
            if identifier(name) in names:
                raise ValueError(f"enrich: column {name!r} is already there; choose another name")
            names[name] = "enrich"
        if both := set(self.drop) & set(self.columns):
            raise ValueError(f"drop: {sorted(both)} are also columns; an attribute is one or the other")
