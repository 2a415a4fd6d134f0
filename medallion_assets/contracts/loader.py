"""Load a domain: a folder of contracts, marts and a workload. Every mistake is named by file and field.

Belongs here: reading a file into a model, and the rules between contracts. Does not belong here: YAML itself
(yaml_file), the rules of one contract (model), marts (gold), workloads (local).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from medallion_assets.contracts.entity import can_both_match
from medallion_assets.contracts.files import contract_files
from medallion_assets.contracts.mistakes import Mistake, Mistakes
from medallion_assets.contracts.model import Column, Contract, DaysKept, Strict
from medallion_assets.contracts.names import snake_case
from medallion_assets.contracts.rule_value import typed_value
from medallion_assets.contracts.types import TAGS, ColumnType
from medallion_assets.contracts.yaml_file import YamlFile, read_yaml
from medallion_assets.errors import ContractError, SettingsError

Model = TypeVar("Model", bound=Strict)

# Dagster counts partitions from the first day on, and its partition keys of years before 1000 do not sort.
_FIRST: Final = date(1900, 1, 1)
_LAST: Final = date(2999, 12, 31)

EXAMPLE_DOMAIN: Final = "example"
"""The shipped domain that a new project begins with."""


def _day(written: Any) -> Any:
    try:
        day = typed_value(ColumnType(kind="date"), written)
    except ValueError:
        raise ValueError(f"expected a day like 2026-01-31, found {_shown(written)}") from None
    if not isinstance(day, date) or not _FIRST <= day <= _LAST:
        raise ValueError(f"expected a day from {_FIRST} to {_LAST}, found {_shown(written)}")
    return day


class DomainFile(Strict):
    """`domain.yaml`: what is true of the whole domain."""

    description: str = ""
    since: Annotated[date, BeforeValidator(_day)] = Field(
        description="The first day of every daily partition, UTC: no change and no order is older."
    )
    daily_snapshots: DaysKept = Field(
        default=0,
        description="For how many days each Silver table can be read as it was at the end of a day; a contract may say "
        "another number.",
    )


@dataclass(frozen=True)
class Source:
    """A DynamoDB table, and the contracts that read it: one, or one for each of its entities."""

    table: str
    contracts: tuple[Contract, ...]

    @property
    def name(self) -> str:
        """What the table is called where it is one thing: the name of its contract, or its own if it has entities."""
        first = self.contracts[0]
        return first.lake_name if first.where is None else snake_case(self.table)

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of its key: hash, then range."""
        return self.contracts[0].key_columns


@dataclass(frozen=True)
class Domain:
    """A loaded domain. In `tables`, every table comes after the tables that enrich it."""

    name: str
    folder: Path
    since: date
    tables: tuple[Contract, ...]
    daily_snapshots: int = 0

    @cached_property
    def by_name(self) -> dict[str, Contract]:
        """The contracts by lake name."""
        return {contract.lake_name: contract for contract in self.tables}

    @cached_property
    def sources(self) -> dict[str, Source]:
        """The DynamoDB tables by name."""
        found: dict[str, list[Contract]] = {}
        for contract in self.tables:
            found.setdefault(contract.table, []).append(contract)
        return {table: Source(table, tuple(contracts)) for table, contracts in found.items()}

    def days_kept(self, contract: Contract) -> int:
        """Return for how many days a contract's Silver table can be read as it was at the end of a day."""
        return self.daily_snapshots if contract.daily_snapshots is None else contract.daily_snapshots

    def silver_columns(self, contract: Contract) -> dict[str, ColumnType]:
        """Return the declared columns of a contract's Silver table: its own, then those that enrichment adds."""
        columns = {column.name: column.type for column in contract.columns.values()}
        for part in contract.enrich:
            source = self.by_name[part.table].by_name
            columns |= {name: source[copied].type for name, copied in part.columns.items()}
        return columns


def default_domain() -> str:
    """Return the domain to use where none is named.

    It is MEDALLION_DOMAIN. If that is not set, it is the current folder if that has a domain.yaml, and else ecommerce.
    """
    return os.environ.get("MEDALLION_DOMAIN") or ("." if Path("domain.yaml").is_file() else "ecommerce")


def with_configured_since(domain: Domain) -> Domain:
    """Return the domain with MEDALLION_SINCE as the first day of its partitions, if that is set.

    Raises SettingsError if it is not a day.
    """
    text = os.environ.get("MEDALLION_SINCE")
    if not text:
        return domain
    try:
        return replace(domain, since=date.fromisoformat(text))
    except ValueError:
        raise SettingsError(
            f"MEDALLION_SINCE is {text!r}: expected a day, YYYY-MM-DD. Correct it or unset it."
        ) from None


def domain_folder(name_or_path: str) -> Path:
    """Return the folder of a shipped domain, by name, or of a user's own, by path. Raises ContractError.

    What has a slash or is `.` is a path, so `./laundry` is a folder here and `laundry` the shipped domain.
    """
    shipped = Path(__file__).parents[1] / "domains"
    is_name = name_or_path not in {"", ".", ".."} and "/" not in name_or_path
    for folder in (*([shipped / name_or_path] if is_name else []), Path(name_or_path)):
        if (folder / "domain.yaml").is_file():
            return folder.resolve()
        if (folder / "domain.yml").is_file():
            raise ContractError(f"{folder / 'domain.yml'}: not read because of its ending; name it domain.yaml")
    names = sorted(entry.name for entry in shipped.iterdir() if (entry / "domain.yaml").is_file())
    raise ContractError(
        f"No domain {name_or_path!r}: expected the name of a shipped one ({', '.join(names)}) or the path of a folder "
        "with a domain.yaml and tables/*.yaml. Name it by MEDALLION_DOMAIN, write one with `medallion init`, or "
        "propose one from your tables with `medallion contracts infer`."
    )


def load_domain(name_or_path: str) -> Domain:
    """Return the domain of that name or path, with every contract checked. Raises ContractError naming file and field.

    One error has all mistakes of all files. Mistakes between files are found once each file has none of its own.
    """
    folder = domain_folder(name_or_path)
    files: dict[Path, YamlFile] = {}
    contracts: dict[Path, Contract] = {}
    paths, mistakes = contract_files(folder)
    about = _collect(mistakes, DomainFile, folder / "domain.yaml", files)
    for path in paths:
        contract = _collect(mistakes, Contract, path, files)
        if contract is not None:
            contracts[path] = contract
    if not mistakes and not paths:
        mistakes.append(f"{folder / 'tables'}: no contract; expected one YAML file per DynamoDB table")
    if not mistakes:
        mistakes += [*_repeated_names(contracts), *_shared_tables(contracts)]
    by_name = {contract.lake_name: contract for contract in contracts.values()}
    if not mistakes:
        for path, contract in contracts.items():
            mistakes += [files[path].mistake(one.place, one.text) for one in _broken_links(contract, by_name)]
    if mistakes or about is None:
        raise ContractError("\n".join(mistakes))
    needs = {name: {part.table for part in contract.enrich} for name, contract in by_name.items()}
    try:
        order = list(TopologicalSorter({name: needs[name] for name in sorted(needs)}).static_order())
    except CycleError as cycle:
        raise ContractError(
            f"{folder / 'tables'}: enrich goes round in a circle: {' -> '.join(cycle.args[1])}"
        ) from cycle
    return Domain(
        name=folder.name,
        folder=folder,
        since=about.since,
        tables=tuple(by_name[name] for name in order),
        daily_snapshots=about.daily_snapshots,
    )


def _collect(mistakes: list[str], model: type[Model], path: Path, files: dict[Path, YamlFile]) -> Model | None:
    """Return a file as a model, or None. Add its mistakes to `mistakes`, and the file as read to `files`."""
    try:
        files[path] = read_yaml(path)
        return parse(model, files[path])
    except ContractError as wrong:
        mistakes.append(str(wrong))
        return None


def load_yaml(model: type[Model], path: Path) -> Model:
    """Return the file at `path` as a `model`. Raises ContractError naming file, field, line and what was expected."""
    return parse(model, read_yaml(path))


def parse(model: type[Model], file: YamlFile) -> Model:
    """Return a file that was read already as a `model`. Raises ContractError like `load_yaml`."""
    if not isinstance(file.data, dict):
        known = ", ".join(model.model_fields)
        raise ContractError(f"{file.path}: expected a mapping with {known}; found {_shown(file.data)}")
    try:
        return model.model_validate(file.data)
    except ValidationError as invalid:
        found = [mistake for error in invalid.errors() for mistake in _translated(model, error)]
        found += [mistake for mistake in model.further_mistakes(file.data) if mistake not in found]
        raise ContractError("\n".join(file.mistake(one.place, one.text) for one in found)) from invalid


def _translated(model: type[BaseModel], error: ErrorDetails) -> Iterable[Mistake]:
    """Yield the mistake, or mistakes, of an error that pydantic found, in our words."""
    place, seen = error["loc"], _shown(error["input"])
    match error["type"]:
        case "extra_forbidden":
            known = f"; expected one of {', '.join(model.model_fields)}" if len(place) == 1 else ""
            yield Mistake(place, f"unknown key{known}")
        case "missing":
            yield Mistake(place, "missing; it must be said")
        case "value_error":
            wrong = error["ctx"]["error"]
            if isinstance(wrong, Mistakes):
                yield from (mistake.below(place) for mistake in wrong.mistakes)
            else:
                yield Mistake(place, str(wrong))
        case kind if kind.startswith("date_"):
            yield Mistake(place, f"expected a day like 2026-01-31, found {seen}")
        case "string_type":
            quotes = "; put it in quotes" if isinstance(error["input"], bool | int | Decimal) else ""
            yield Mistake(place, f"expected text, found {seen}{quotes}")
        case "tuple_type":
            yield Mistake(place, f"expected a list, found {seen}")
        case "model_type" | "model_attributes_type" | "dict_type":
            yield Mistake(place, f"expected a mapping, found {seen}")
        case "string_pattern_mismatch":
            yield Mistake(place, f"expected text that matches {error['ctx']['pattern']}, found {seen}")
        case "literal_error":
            yield Mistake(place, f"expected {error['ctx']['expected'].replace('True', 'true')}, found {seen}")
        case _:
            yield Mistake(place, f"{error['msg'].replace('Input should be', 'expected', 1)}, found {seen}")


def _shown(value: Any) -> str:
    """Return a value as a file would write it, cut after eighty characters."""
    match value:
        case None | bool():
            return {None: "nothing", True: "true", False: "false"}[value]
        case int() | Decimal():
            return f"{value!s:.80}"
        case _:
            return f"{value!r:.80}"


def _repeated_names(contracts: Mapping[Path, Contract]) -> Iterator[str]:
    first: dict[str, Path] = {}
    for path, contract in contracts.items():
        if (name := contract.lake_name) in first:
            yield f"{path}: name: {name!r} is also the name of {first[name]}; expected one each"
        first[name] = path


def _shared_tables(contracts: Mapping[Path, Contract]) -> Iterator[str]:
    """Yield the mistakes of contracts of one DynamoDB table: they need different items, and one key."""
    for (first, one), (path, other) in combinations(contracts.items(), 2):
        if one.table != other.table:
            continue
        if one.where is None or other.where is None:
            yield f"{path}: table: {one.table!r} is also the table of {first}; expected `where` in both contracts"
        elif _key_attributes(one) != _key_attributes(other):
            yield f"{path}: key: it is not that of {first}; {one.table!r} is one table and has one key"
        elif can_both_match(one.where, other.where):
            yield f"{path}: where: an item can also match that of {first}; expected an attribute that tells them apart"
    named: dict[str, str] = {}
    for contract in contracts.values():
        name = contract.lake_name if contract.where is None else snake_case(contract.table)
        if named.setdefault(name, contract.table) != contract.table:
            yield (
                f"{contract.table!r} and {named[name]!r} are both called {name!r} in Bronze's catalog; "
                "give one of the contracts without `where` another name"
            )


def _key_attributes(contract: Contract) -> list[tuple[str, str]]:
    """Return the attributes of a key with the tags of their types in DynamoDB."""
    return [(column.attribute, TAGS[column.type.kind][0]) for column in contract.key_columns]


def _broken_links(contract: Contract, by_name: Mapping[str, Contract]) -> Iterator[Mistake]:
    """Yield a mistake for each reference to something else than one key column of the same type.

    Also for each column that enrichment would copy and the other table does not have.
    """
    for column in contract.columns.values():
        for rule in column.rules:
            if rule.references is not None:
                place = ("columns", column.label, "rules", "references")
                yield from _broken_link(place, rule.references, contract, column.name, by_name)
    for part in contract.enrich:
        yield from _broken_link(("enrich", part.table), part.table, contract, part.on, by_name)
        known = by_name[part.table].by_name if part.table in by_name else None
        for name, source in part.columns.items():
            if known is not None and source not in known:
                yield Mistake(
                    ("enrich", part.table, "columns", name),
                    f"{part.table} has no column {source!r}; expected one of {', '.join(known)}",
                )


def _broken_link(
    place: Sequence[str | int], table: str, contract: Contract, on: str, by_name: Mapping[str, Contract]
) -> Iterator[Mistake]:
    target = by_name.get(table)
    if target is None:
        yield Mistake(tuple(place), f"no table {table!r}; expected one of {', '.join(sorted(by_name))}")
    elif len(target.key_columns) != 1:
        yield Mistake(tuple(place), f"{table} has a composite key; expected a table with a hash key only")
    else:
        here, there = contract.by_name[on].type, target.key_columns[0].type
        element = here.element if here.kind in {"list", "set"} and place[-1] == "references" else here
        if element != there:
            yield Mistake(tuple(place), f"column {on} is {here}, the key of {table} is {there}")
