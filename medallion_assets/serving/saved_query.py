"""Saved queries: `queries/<name>.sql` with `queries/<name>.yaml`, as data.

Belongs here: the fields of the file, its rules, and a caller's values as literals. Does not belong here: running it
(queries), what SQL may contain (engines.query).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, Self

import sqlglot
from pydantic import Field, model_validator
from sqlglot import exp

from medallion_assets.contracts.files import query_files
from medallion_assets.contracts.loader import Domain, load_yaml
from medallion_assets.contracts.mistakes import Mistake, Mistakes
from medallion_assets.contracts.model import Strict
from medallion_assets.contracts.rule_value import Scalar, TypedValue, typed_value
from medallion_assets.contracts.types import ColumnType, TypeText
from medallion_assets.engines.names import schema_and_table
from medallion_assets.engines.query import Tables, read_confined
from medallion_assets.engines.types import trino_type
from medallion_assets.errors import ContractError, MartError
from medallion_assets.gold.sources import silver_sources
from medallion_assets.gold.spec import Mart
from medallion_assets.serving.parameters import bind

KINDS: Final = ("string", "bool", "int", "bigint", "decimal", "date", "timestamp")
"""The types that a parameter may have."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,38}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,38}(\.\d{1,38})?", re.ASCII)
_TAKEN: Final = frozenset({"format"})


class QueryParameter(Strict):
    """A parameter of a saved query."""

    type: TypeText = Field(description=f"One of {', '.join(KINDS)}.")
    description: str = ""
    default: Scalar | None = Field(default=None, description="Its value where a caller gives none.")
    optional: bool = Field(default=False, description="Without a value it is null; else a caller has to give one.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type.kind not in KINDS:
            raise Mistakes([Mistake(("type",), f"{self.type}: expected one of {', '.join(KINDS)}")])
        if self.default is not None:
            try:
                typed_value(self.type, self.default)
            except ValueError as wrong:
                raise Mistakes([Mistake(("default",), str(wrong))]) from None
        return self

    def read(self, text: str | None) -> TypedValue | None:
        """Return the value that a caller wrote; None writes none. Raises ValueError that says what was expected."""
        if text is None:
            if self.default is None and not self.optional:
                raise ValueError("it is missing, and has no default")
            return None if self.default is None else typed_value(self.type, self.default)
        match self.type.kind:
            case "bool":
                if text not in {"true", "false"}:
                    raise ValueError("expected true or false")
                return text == "true"
            case "int" | "bigint":
                if not _WHOLE.fullmatch(text):
                    raise ValueError("expected a whole number")
                return typed_value(self.type, int(text))
            case "decimal":
                if not _NUMBER.fullmatch(text):
                    raise ValueError(f"expected a number such as 7.99, of type {self.type}")
                return typed_value(self.type, Decimal(text))
            case _:
                return typed_value(self.type, text)

    def literal(self, value: TypedValue | None) -> exp.Expr:
        """Return a value as a literal of this type."""
        kind = trino_type(self.type)
        match value:
            case None:
                return exp.cast(exp.Null(), kind)
            case bool():
                return exp.Boolean(this=value)
            case datetime():
                text = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
                return sqlglot.parse_one(f"TIMESTAMP '{text} UTC'", dialect="trino")
            case date():
                return sqlglot.parse_one(f"DATE '{value.isoformat()}'", dialect="trino")
            case int() | Decimal() | float():
                number = exp.Literal.number(format(abs(value), "f") if isinstance(value, Decimal) else str(abs(value)))
                return exp.cast(exp.Paren(this=exp.Neg(this=number)) if value < 0 else number, kind)
            case str():
                return exp.Literal.string(value)


class SavedQueryFile(Strict):
    """`queries/<name>.yaml`: what a saved query is for, and its parameters."""

    description: str = Field(min_length=1, description="What its rows are.")
    parameters: dict[str, QueryParameter] = Field(default={}, description="By name; the SQL has each as :name.")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        wrong = [
            Mistake(("parameters", name), "expected a name of small letters, digits and _, and not `format`")
            for name in self.parameters
            if not _NAME.fullmatch(name) or name in _TAKEN
        ]
        if wrong:
            raise Mistakes(wrong)
        return self


@dataclass(frozen=True)
class SavedQuery:
    """A saved query.

    - version: of its content; another text is another version
    - tables: what it reads, with schemas, sorted
    """

    name: str
    file: SavedQueryFile
    sql: str
    version: str
    tables: tuple[str, ...]

    def bind(self, given: Mapping[str, str]) -> str:
        """Return its SQL with a caller's values as literals. Raises MartError that names a wrong parameter."""
        if unknown := sorted(given.keys() - self.file.parameters.keys()):
            known = ", ".join(self.file.parameters) or "none"
            raise MartError(f"no parameter {', '.join(unknown)}; {self.name} has {known}")
        values = {}
        for name, parameter in self.file.parameters.items():
            try:
                values[name] = parameter.literal(parameter.read(given.get(name)))
            except ValueError as wrong:
                raise MartError(f"parameter {name}: {wrong}") from None
        return bind(self.sql, values)


def load_saved_queries(domain: Domain, marts: Sequence[Mart]) -> dict[str, SavedQuery]:
    """Return the saved queries of a domain by name, each checked as far as it can be without a lake.

    Raises ContractError that names file and field of every mistake.
    """
    paths, mistakes = query_files(domain.folder)
    tables = _tables(domain, marts)
    found = {}
    for path in paths:
        try:
            found[path.stem] = _load(path, tables)
        except ContractError as wrong:
            mistakes.append(str(wrong))
    if mistakes:
        raise ContractError("\n".join(mistakes))
    return found


def _load(path: Path, tables: Tables) -> SavedQuery:
    if not _NAME.fullmatch(path.stem):
        raise ContractError(f"{path}: expected a name of small letters, digits and _")
    described = path.with_suffix(".yaml")
    file, sql = load_yaml(SavedQueryFile, described), path.read_text(encoding="utf-8")
    try:
        query = read_confined(bind(sql, {name: one.literal(None) for name, one in file.parameters.items()}), tables)
        if query.typed.find(exp.CurrentTimestamp):
            raise MartError("current_timestamp: its value differs in every call; use current_date, or a parameter")
        if not query.tables:
            raise MartError("it reads no table")
    except MartError as wrong:
        raise ContractError("\n".join(f"{path}: {line}" for line in str(wrong).splitlines())) from wrong
    content = path.read_bytes() + b"\0" + described.read_bytes()
    names = sorted(".".join(schema_and_table(name)) for name in query.tables)
    return SavedQuery(path.stem, file, sql, hashlib.sha256(content).hexdigest()[:16], tuple(names))


def _tables(domain: Domain, marts: Sequence[Mart]) -> Tables:
    def typed(columns: Mapping[str, ColumnType]) -> dict[str, exp.DataType]:
        return {name: trino_type(kind) for name, kind in columns.items()}

    silver = {name: typed(source.columns) for name, source in silver_sources(domain).items()}
    return {"silver": silver, "gold": {mart.name: typed(mart.source.columns) for mart in marts}}
