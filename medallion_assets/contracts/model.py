"""The contract of one DynamoDB table, as frozen models.

Belongs here: what a contract may say, and checks that need only its own file. Does not belong here: checks between
files (loader), the text of a type (types), the values of a rule (rule_value).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
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

from medallion_assets.capture.naming import require_folder_name
from medallion_assets.contracts.dropped_files import FileOrder, file_mistakes
from medallion_assets.contracts.entity import PatternText, TextPattern
from medallion_assets.contracts.item_condition import ItemCondition, ItemConditionText
from medallion_assets.contracts.key_part import Template, TemplateText, parse_template
from medallion_assets.contracts.mistakes import Mistake, Mistakes, raise_all
from medallion_assets.contracts.names import identifier, owner, snake_case
from medallion_assets.contracts.past_columns import past_mistakes
from medallion_assets.contracts.pattern import pattern_mistake
from medallion_assets.contracts.rule_value import Scalar, TypedValue, typed_value
from medallion_assets.contracts.source_format import SourceFormat, default_value, format_mistakes, formats_of
from medallion_assets.contracts.types import TAGS, ColumnType, TypeText

Severity = Literal["block", "warn"]
Undeclared = Literal["evolve", "freeze"]
Owner = Annotated[str, AfterValidator(owner)]
_KEY_KINDS = {"string", "int", "bigint", "decimal", "binary"}
_ORDERED_KINDS = {"int", "bigint", "decimal", "double", "date", "timestamp", "string"}
_NESTED_KINDS = {"list", "set", "map", "struct"}
_TEN_YEARS: Final = 10 * 366 * 24 * 60

# A snapshot takes one to two kilobytes of the table's metadata file, which every commit writes.
MOST_DAYS_KEPT: Final = 400
DaysKept = Annotated[int, Field(ge=0, le=MOST_DAYS_KEPT)]

MOST_DAYS_OF_HISTORY: Final = 100 * 366
HISTORY_COLUMNS: Final = ("valid_from", "valid_to", "operation")
"""The columns that `history.<table>` has and its contract does not."""

# A Lambda function runs for at most 15 minutes, so capture may write a Bronze object that long after it began. Even
# when everything works, a row may therefore arrive that much later than the row that refers to it.
DEFAULT_GRACE_MINUTES: Final = 15


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def further_mistakes(cls, written: Mapping[str, Any]) -> list[Mistake]:
        """Return the mistakes between the parts of a file that has unreadable parts; none by default."""
        return []


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
    grace_minutes: Annotated[int, Field(ge=0, le=_TEN_YEARS)] | None = Field(
        default=None,
        description="With references: how long after its last change a row may wait for the row it refers to; "
        f"{DEFAULT_GRACE_MINUTES} minutes if not given.",
    )
    severity: Severity = "block"

    @property
    def kind(self) -> Literal["required", "values", "min", "max", "pattern", "references"]:
        """The kind of this rule: the one field that is set."""
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
        given = [
            name
            for name in ("required", "values", "min", "max", "pattern", "references")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"a rule says exactly one of required, values, min, max, pattern, references; this one says {given}"
            )
        if self.values is not None and not self.values:
            raise ValueError("values is empty; expected at least one value")
        if self.grace_minutes is not None and self.references is None:
            raise ValueError("grace_minutes belongs to a rule with references")
        return self

    def typed_values(self, type_: ColumnType) -> tuple[TypedValue, ...]:
        """Return the values of `values`, `min` or `max` as values of the column's type. Raises ValueError."""
        return tuple(typed_value(type_, one) for one in self.written_values)

    @property
    def written_values(self) -> tuple[Scalar, ...]:
        """The values of `values`, `min` or `max` as they were written."""
        return self.values or tuple(bound for bound in (self.min, self.max) if bound is not None)


def rule_mistakes(type_: ColumnType, rules: Sequence[Rule | None]) -> Iterator[Mistake]:
    """Yield the mistakes in the rules of one column: a rule that cannot be checked, or that no value satisfies.

    None in `rules` is a rule that cannot be read.
    """
    bounds: dict[str, list[Any]] = {"min": [], "max": []}
    for number, rule in enumerate(rules):
        if rule is None:
            continue
        wrong = list(_unusable(type_, rule))
        yield from (Mistake(("rules", number), f"rule {rule.kind}: {text}") for text in wrong)
        if rule.kind in bounds and not wrong:
            bounds[rule.kind] += rule.typed_values(type_)
    if bounds["min"] and bounds["max"] and (least := max(bounds["min"])) > (most := min(bounds["max"])):
        yield Mistake(("rules",), f"rule min: {least} is above max {most}; no value keeps both")


def _unusable(type_: ColumnType, rule: Rule) -> Iterator[str]:
    """Yield why one rule cannot be checked on a column of the type."""
    if rule.kind in {"min", "max"} and type_.kind not in _ORDERED_KINDS:
        yield f"a {type_} has no order"
    elif rule.kind == "values" and type_.kind in {*_NESTED_KINDS, "json", "binary"}:
        yield f"a {type_} cannot be compared with a list of values"
    elif rule.pattern is not None and type_.kind != "string":
        yield f"expected type string, this column is {type_}"
    elif rule.pattern is not None and (wrong := pattern_mistake(rule.pattern)):
        yield f"{rule.pattern!r:.80}: {wrong}; expected a regular expression of RE2"
    elif rule.pattern is None:
        for written in rule.written_values:
            try:
                typed_value(type_, written)
            except ValueError as unfit:
                yield f"{unfit}, because the column is {type_}"


class Column(SourceFormat, Strict):
    """One column: the attribute it comes from, its type, how its value is written, and the rules of its values.

    `label` is its key in the contract's `columns`: the attribute's name, unless `source` says another.
    """

    label: str
    type: TypeText
    source: str | None = Field(default=None, description="The attribute, when the key in `columns` is not its name.")
    part: TemplateText | None = Field(
        default=None, description="A template of the attribute's text; the column is the part with its own name."
    )
    rename: str | None = Field(default=None, description="The column's name in the lake, when snake_case is not it.")
    renamed_from: str | None = Field(default=None, description="The column's earlier name in the lake: it is kept.")
    retyped_from: TypeText | None = Field(
        default=None, description="The column's earlier type, agreed to be replaced by a rebuild of the table."
    )
    description: str = ""
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _refuse_mistakes(cls, written: Any) -> Any:
        if isinstance(written, Mistakes):
            raise written
        return written

    @property
    def name(self) -> str:
        """The column's name in the lake."""
        return self.rename or snake_case(self.label)

    @property
    def attribute(self) -> str:
        """The attribute that it comes from."""
        return self.source or self.label

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats in which its value is read; none for a type that is written in one way only."""
        return formats_of(self.type, self.written, of_text=self.part is not None)

    @property
    def is_usual(self) -> bool:
        """Whether its value is written in DynamoDB's own type of it, and is the whole attribute."""
        said = (self.written, self.zone, self.part, self.default)
        return said == ((), None, None, None) and self.fraction == "refuse" and not self.empty_as_null

    @property
    def default_value(self) -> TypedValue | None:
        """Its value where there is none, as a value of its type."""
        return default_value(self.type, self.default)

    @property
    def template(self) -> Template | None:
        """The template that the attribute's text fits, of a column that is a part of it."""
        return parse_template(self.part) if self.part is not None else None

    @property
    def expected(self) -> str:
        """What a value must be, in the words of the contract."""
        written = f" from {', '.join(self.written)}" if self.written else ""
        return f"{self.type}{written}" + (f", a part of {self.part}" if self.part is not None else "")

    @property
    def reading(self) -> str:
        """What the contract says about how its value is written, without its default; empty if nothing."""
        said = {
            "from": ", ".join(self.written) or None,
            "part": self.part,
            "zone": self.zone,
            "fraction": self.fraction if self.fraction != "refuse" else None,
            "empty_as_null": "true" if self.empty_as_null else None,
        }
        return ", ".join(f"{name} {one}" for name, one in said.items() if one is not None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        mistakes = list(rule_mistakes(self.type, self.rules))
        mistakes += format_mistakes(self.type, self, of_text=self.part is not None)
        if (template := self.template) is not None:
            if self.type.kind not in TAGS or self.type.kind == "binary":
                mistakes.append(Mistake(("part",), f"a part is text; {self.type} cannot be read from it"))
            if not {self.label, self.name} & set(template.names):
                text = f"{self.part!r:.160} has no {{{self.name}}}; the column is the part with its own name"
                mistakes.append(Mistake(("part",), text))
        try:
            identifier(self.name)
        except ValueError as unusable:
            mistakes.insert(0, Mistake(("rename",) if self.rename else (), str(unusable)))
        raise_all(mistakes)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of a column as a contract writes it: a type alone, or a mapping without `label`."""
        written = handler.resolve_ref_schema(handler(schema))
        written["properties"].pop("label")
        written["required"].remove("label")
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

    max_minutes: Annotated[int, Field(gt=0, le=_TEN_YEARS)]
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
    return {attribute: _column_of(attribute, spec) for attribute, spec in written.items()}


def _column_of(attribute: object, spec: object) -> object:
    """Return a column as its model takes it, with its key as `label`; a type alone means `{type: ...}`."""
    if not isinstance(spec, Mapping):
        return spec if isinstance(spec, Column) else {"label": attribute, "type": spec}
    for key in ("attribute", "label"):
        if key in spec:
            return Mistakes([Mistake((key,), f"unknown key; the attribute is {attribute!r} already")])
    return {"label": attribute, **spec}


class Contract(Strict):
    """One DynamoDB table, or one entity in it: its source name, key, columns, rules and enrichment."""

    table: Annotated[str, AfterValidator(require_folder_name)] = Field(
        description="The DynamoDB table's name.", min_length=3, max_length=255
    )
    name: str = Field(default="", description="The table's name in the lake; snake_case of `table` when not said.")
    where: dict[str, PatternText] | None = Field(
        default=None,
        description="Which items of the DynamoDB table are here, by attribute: a text, or its beginning with `*`.",
        min_length=1,
    )
    description: str = ""
    owner: Owner = Field(description="Who answers for the table: an e-mail address or `team:name`.")
    key: Key
    columns: Annotated[dict[str, Column], BeforeValidator(_columns_by_attribute)] = Field(min_length=1)
    drop: tuple[str, ...] = Field(default=(), description="Attributes that never reach the lake's tables.")
    retired: Annotated[dict[str, Column], BeforeValidator(_columns_by_attribute)] = Field(
        default={},
        description="Columns that the table had, as they stood under `columns`; their attributes are dropped.",
    )
    shape: Undeclared = Field(
        default="evolve",
        description="An attribute that is not declared is kept in `_extra`, or sends its row to quarantine (`freeze`).",
    )
    deleted_when: ItemConditionText | None = Field(
        default=None, description="Items that the application has marked as deleted: they are not in Silver."
    )
    on_expiry: Literal["delete", "keep"] = Field(
        default="delete", description="What an item's expiry by DynamoDB's time to live does to its row in Silver."
    )
    files: FileOrder | None = Field(
        default=None,
        description="Whether rows of files that somebody drops are older than every change of the stream, or newer "
        "than what the lake has; files are not taken if not given.",
    )
    rules: TableRules = TableRules()
    partition: tuple[PartitionField, ...] = ()
    enrich: tuple[Enrichment, ...] = ()
    daily_snapshots: DaysKept | None = Field(
        default=None,
        description="For how many days the Silver table can be read as it was at the end of a day; what domain.yaml "
        "says if not given.",
    )
    history: bool | Annotated[int, Field(strict=True, ge=1, le=MOST_DAYS_OF_HISTORY)] = Field(
        default=False,
        description="Whether `history.<table>` has every version of every row; a number of days keeps a version that "
        "long after it ended.",
    )

    @property
    def lake_name(self) -> str:
        """The table's name in the lake."""
        return self.name or snake_case(self.table)

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by lake name, in the contract's order."""
        return {column.name: column for column in self.columns.values()}

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """The attributes that never reach the lake's tables: those under `drop`, and those of retired columns only."""
        retired = (column.attribute for column in self.retired.values())
        return (*self.drop, *(name for name in retired if name not in self.attributes and name not in self.drop))

    @cached_property
    def attributes(self) -> dict[str, tuple[Column, ...]]:
        """The columns by the attribute that they come from."""
        found: dict[str, tuple[Column, ...]] = {}
        for column in self.columns.values():
            found[column.attribute] = (*found.get(column.attribute, ()), column)
        return found

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
    def required_names(self) -> frozenset[str]:
        """The names of the columns that are never null in Silver: the key, and what a blocking rule requires."""
        required = {
            column.name
            for column in self.columns.values()
            if any(rule.required and rule.severity == "block" for rule in column.rules)
        }
        return frozenset(required.union(self.key_names))

    @property
    def enriched_names(self) -> tuple[str, ...]:
        """The names of the columns that enrichment adds."""
        return tuple(name for enrichment in self.enrich for name in enrichment.columns)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = _Parts(
            self.table,
            self.name,
            self.key,
            dict(self.columns),
            self.drop,
            self.where,
            self.deleted_when,
            self.partition,
            self.enrich,
            dict(self.retired),
        )
        mistakes = [*_mistakes(parts), *file_mistakes(self.table, self.files, of_entity=self.where is not None)]
        if self.history and (taken := set(HISTORY_COLUMNS) & self.by_name.keys()):
            text = f"the history has columns of its own with the names {sorted(taken)}; rename the contract's"
            mistakes.append(Mistake(("history",), text))
        raise_all(mistakes)
        return self

    @classmethod
    def further_mistakes(cls, written: Mapping[str, Any]) -> list[Mistake]:
        """Return the mistakes between the readable parts of a file that has unreadable ones."""
        by_attribute, retired = written.get("columns"), written.get("retired")
        parts = _Parts(
            table=_read(str, written.get("table")),
            name=_read(str, written.get("name", "")),
            key=_read(Key, written.get("key")),
            columns={
                str(attribute): _read_column(attribute, spec)
                for attribute, spec in (by_attribute.items() if isinstance(by_attribute, Mapping) else ())
            },
            drop=_read(tuple[str, ...], written.get("drop", ())) or (),
            where=_read(dict[str, PatternText], written.get("where")),
            deleted_when=_read(ItemConditionText, written.get("deleted_when")),
            partition=_read(tuple[PartitionField, ...], written.get("partition", ())) or (),
            enrich=_read(tuple[Enrichment, ...], written.get("enrich", ())) or (),
            retired={
                str(attribute): _read_column(attribute, spec)
                for attribute, spec in (retired.items() if isinstance(retired, Mapping) else ())
            },
        )
        return [*_unread_rules(by_attribute), *_mistakes(parts)]


def _read_column(attribute: object, spec: object) -> Column | None:
    """Return a column, without its rules if these cannot be read: other parts of the file need its name and type."""
    bare = (
        {key: spec[key] for key in ("type", "rename", "renamed_from", "source") if key in spec}
        if isinstance(spec, Mapping)
        else spec
    )
    found: Column | None = _read(Column, _column_of(attribute, spec)) or _read(Column, _column_of(attribute, bare))
    return found


def _unread_rules(columns: Any) -> Iterator[Mistake]:
    """Yield the mistakes in the readable rules of columns that cannot be read as a whole."""
    for attribute, spec in columns.items() if isinstance(columns, Mapping) else ():
        if not isinstance(spec, Mapping) or not isinstance(rules := spec.get("rules"), list):
            continue
        type_: ColumnType | None = _read(TypeText, spec.get("type"))
        if type_ is not None:
            read = [_read(Rule, rule) for rule in rules]
            yield from (mistake.below(("columns", attribute)) for mistake in rule_mistakes(type_, read))


@dataclass(frozen=True)
class _Parts:
    """The parts of a contract that its other parts refer to; None for one that cannot be read."""

    table: str | None
    name: str | None
    key: Key | None
    columns: Mapping[str, Column | None]
    drop: Sequence[str]
    where: Mapping[str, TextPattern] | None
    deleted_when: ItemCondition | None
    partition: Sequence[PartitionField]
    enrich: Sequence[Enrichment]
    retired: Mapping[str, Column | None]

    @property
    def by_name(self) -> dict[str, Column]:
        """The columns that can be read, by lake name."""
        return {column.name: column for column in self.columns.values() if column is not None}

    @property
    def attributes(self) -> set[str]:
        """The attributes that become columns."""
        return {label if column is None else column.attribute for label, column in self.columns.items()}

    @property
    def known(self) -> set[str]:
        """The attributes that the file says something about."""
        return {*self.attributes, *self.drop, *self.retired}

    @property
    def complete(self) -> bool:
        """Whether every column can be read. Only then is an unknown column name a mistake."""
        return None not in self.columns.values()


def _read(kind: Any, written: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(written)
    except ValidationError:
        return None


def _mistakes(parts: _Parts) -> Iterator[Mistake]:
    """Yield the mistakes between the parts of one contract."""
    yield from _name_mistakes(parts)
    yield from past_mistakes(parts.columns, parts.retired)
    yield from _key_mistakes(parts)
    yield from _where_mistakes(parts)
    yield from _deletion_mistakes(parts)
    yield from _partition_mistakes(parts)
    yield from _sharing_mistakes(parts)
    expected = f"expected one of {sorted(parts.by_name)}"
    for number, enrichment in enumerate(parts.enrich):
        if enrichment.on not in parts.by_name and parts.complete:
            yield Mistake(("enrich", number, "on"), f"no column {enrichment.on!r}; {expected}")


def _key_mistakes(parts: _Parts) -> Iterator[Mistake]:
    if parts.key is None or not parts.columns:
        return
    for attribute in filter(None, (parts.key.hash, parts.key.range)):
        if attribute not in parts.columns:
            yield Mistake(("key",), f"{attribute!r} is not in columns; every key attribute is a column")
        elif (column := parts.columns[attribute]) is not None and column.type.kind not in _KEY_KINDS:
            kind = column.type.kind
            yield Mistake(("key",), f"{attribute!r} has type {kind}; DynamoDB keys are string, number or binary")
        elif column is not None and not (column.is_usual and column.source is None):
            text = f"{attribute!r} is of the key, so it stays as it is at the source: two texts may be one number"
            yield Mistake(("key",), f"{text}; add a column with `source: {attribute}` for it in another type")
    if parts.key.hash == parts.key.range:
        yield Mistake(("key",), "hash and range are the same attribute")


def _where_mistakes(parts: _Parts) -> Iterator[Mistake]:
    if parts.where is not None and parts.name == "":
        yield Mistake(("name",), "missing; a contract with `where` says its own name in the lake")
    for attribute in parts.where or ():
        if attribute not in parts.known:
            yield Mistake(
                ("where", attribute), f"{attribute!r} is neither in columns nor in drop; correct the name, or drop it"
            )


def _deletion_mistakes(parts: _Parts) -> Iterator[Mistake]:
    if parts.deleted_when is None:
        return
    attribute, place = parts.deleted_when.attribute, ("deleted_when",)
    if parts.key is not None and attribute in (parts.key.hash, parts.key.range):
        yield Mistake(place, f"{attribute!r} is of the key, which never changes; expected another attribute")
    elif attribute not in parts.known:
        yield Mistake(place, f"{attribute!r} is neither in columns nor in drop; correct the name, or drop it")


def _sharing_mistakes(parts: _Parts) -> Iterator[Mistake]:
    """Yield a mistake for each column of an attribute that has several, if a whole attribute is read otherwise."""
    counts = Counter(column.attribute for column in parts.columns.values() if column is not None)
    for label, column in parts.columns.items():
        if column is not None and counts[column.attribute] > 1 and column.type.kind not in TAGS:
            text = f"{column.attribute!r} has several columns, and this one is {column.type}; expected a scalar type"
            yield Mistake(("columns", label), text)


def _partition_mistakes(parts: _Parts) -> Iterator[Mistake]:
    copied = {name for enrichment in parts.enrich for name in enrichment.columns}
    for number, part in enumerate(parts.partition):
        place = ("partition", number)
        column = parts.by_name.get(part.column)
        if column is None:
            if parts.complete:
                yield Mistake(place, f"no column {part.column!r}; expected one of {sorted(parts.by_name)}")
            continue
        if part.transform != "identity" and column.type.kind not in {"date", "timestamp"}:
            yield Mistake(place, f"{part.transform} needs a date or timestamp, {part.column} is not one")
        elif part.transform == "identity" and column.type.kind in {*_NESTED_KINDS, "json", "double"}:
            yield Mistake(place, f"{part.column} is {column.type}; expected a column of one exact value")
        if part in parts.partition[:number]:
            yield Mistake(place, f"{part.transform} of {part.column} stands twice")
        field = f"{part.column}_{part.transform}"  # Iceberg's name of the partition field
        if part.transform != "identity" and field in {*parts.by_name, *copied}:
            yield Mistake(place, f"Iceberg would call it {field}, which is a column already; rename that column")


def _name_mistakes(parts: _Parts) -> Iterator[Mistake]:
    if parts.table is not None and parts.name is not None:
        try:
            identifier(parts.name or snake_case(parts.table))
        except ValueError as unusable:
            yield Mistake(("name",) if parts.name else ("table",), str(unusable))
    names: dict[str, str] = {}
    for attribute, column in parts.columns.items():
        if column is None:
            continue
        if column.name in names:
            yield Mistake(
                ("columns",),
                f"{names[column.name]!r} and {attribute!r} are both {column.name!r} in the lake; rename one",
            )
        names[column.name] = attribute
    for number, enrichment in enumerate(parts.enrich):
        for name in enrichment.columns:
            place = ("enrich", number, "columns", name)
            try:
                identifier(name)
            except ValueError as unusable:
                yield Mistake(place, str(unusable))
            if name in names:
                yield Mistake(place, f"column {name!r} is already there; choose another name")
            names[name] = "enrich"
    if both := set(parts.drop) & parts.attributes:
        yield Mistake(("drop",), f"{sorted(both)} are also columns; an attribute is one or the other")
