"""Loading a domain: a folder of contracts, marts and a workload, with every mistake named by file and field.

What belongs here: reading YAML strictly, the rules between contracts. Not what a mart or a workload is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from medallion_assets.contracts.model import Contract, Strict
from medallion_assets.contracts.types import ColumnType
from medallion_assets.errors import ContractError

Model = TypeVar("Model", bound=BaseModel)

EXAMPLE_DOMAIN: Final = "example"
"""The shipped domain that a new project begins with."""


class DomainFile(Strict):
    """`domain.yaml`: what is true of the whole domain."""

    description: str = ""
    since: date = Field(description="The first day of every daily partition, UTC: no change and no order is older.")


@dataclass(frozen=True)
class Domain:
    """A loaded domain. `tables` stand in an order in which enrichment only looks back."""

    name: str
    folder: Path
    since: date
    tables: tuple[Contract, ...]

    @cached_property
    def by_name(self) -> dict[str, Contract]:
        """The contracts by lake name."""
        return {contract.lake_name: contract for contract in self.tables}

    @cached_property
    def by_source(self) -> dict[str, Contract]:
        """The contracts by DynamoDB table name."""
        return {contract.table: contract for contract in self.tables}

    def silver_columns(self, contract: Contract) -> dict[str, ColumnType]:
        """Return the declared columns of a contract's Silver table: its own, then those that enrichment adds."""
        columns = {column.name: column.type for column in contract.columns.values()}
        for part in contract.enrich:
            source = self.by_name[part.table].by_name
            columns |= {name: source[copied].type for name, copied in part.columns.items()}
        return columns


class _Loader(yaml.SafeLoader):
    """YAML as contracts need it: a key stands once, numbers with a point are Decimals, only true and false are bools.

    YAML 1.1 also reads `on`, `yes` and Norway's `NO` as bools (https://yaml.org/type/bool.html); YAML 1.2 does not.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(loader.construct_scalar(node))


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)


def default_domain() -> str:
    """Return the domain to use where none is named.

    It is MEDALLION_DOMAIN. If that is not set, it is the current folder if that has a domain.yaml, and else ecommerce.
    """
    return os.environ.get("MEDALLION_DOMAIN") or ("." if Path("domain.yaml").is_file() else "ecommerce")


def domain_folder(name_or_path: str) -> Path:
    """The folder of a shipped domain by name, or of a user's own by path. Raises ContractError."""
    shipped = Path(__file__).parents[1] / "domains"
    for folder in (shipped / name_or_path, Path(name_or_path)):
        if (folder / "domain.yaml").is_file():
            return folder.resolve()
    names = sorted(entry.name for entry in shipped.iterdir() if (entry / "domain.yaml").is_file())
    raise ContractError(
        f"No domain {name_or_path!r}: expected the name of a shipped one ({', '.join(names)}) or the path of a folder "
        "with a domain.yaml and tables/*.yaml. Name it by MEDALLION_DOMAIN, or write one with `medallion init`."
    )


def load_domain(name_or_path: str) -> Domain:
    """The domain of that name or path, every contract checked. Raises ContractError naming file and field."""
    folder = domain_folder(name_or_path)
    about = load_yaml(DomainFile, folder / "domain.yaml")
    _refuse_other_endings(folder)
    paths = sorted((folder / "tables").glob("*.yaml"))
    if not paths:
        raise ContractError(f"{folder / 'tables'}: no contract; expected one YAML file per DynamoDB table")
    contracts = {path: load_yaml(Contract, path) for path in paths}
    _check_unique(contracts)
    by_name = {contract.lake_name: contract for contract in contracts.values()}
    for path, contract in contracts.items():
        _check_links(path, contract, by_name)
    needs = {name: {part.table for part in contract.enrich} for name, contract in by_name.items()}
    try:
        order = list(TopologicalSorter({name: needs[name] for name in sorted(needs)}).static_order())
    except CycleError as cycle:
        raise ContractError(
            f"{folder / 'tables'}: enrich goes round in a circle: {' -> '.join(cycle.args[1])}"
        ) from cycle
    return Domain(name=folder.name, folder=folder, since=about.since, tables=tuple(by_name[name] for name in order))


def _refuse_other_endings(folder: Path) -> None:
    """Raise ContractError for a file of the domain that would not be read because of its ending."""
    for pattern in ("workload.*", "tables/*.*", "marts/*/mart.*"):
        for path in sorted(folder.glob(pattern)):
            if path.suffix != ".yaml" and path.suffix.lower() in {".yml", ".yaml"}:
                raise ContractError(f"{path}: not read because of its ending; name it {path.stem}.yaml")


def load_yaml(model: type[Model], path: Path) -> Model:
    """`path` as a `model`. Raises ContractError naming file, field and what was expected."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as missing:
        raise ContractError(f"{path}: no such file") from missing
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise ContractError(f"{path}: not readable as YAML: {broken}") from broken
    if not isinstance(data, dict):
        raise ContractError(f"{path}: expected a mapping with {', '.join(model.model_fields)}; found {data!r:.60}")
    try:
        return model.model_validate(data)
    except ValidationError as invalid:
        raise ContractError("\n".join(_mistakes(model, path, invalid))) from invalid


def _mistakes(model: type[BaseModel], path: Path, invalid: ValidationError) -> list[str]:
    lines = []
    for mistake in invalid.errors():
        field = ".".join(str(part) for part in mistake["loc"])
        match mistake["type"]:
            case "extra_forbidden":
                known = f"; expected one of {', '.join(model.model_fields)}" if len(mistake["loc"]) == 1 else ""
                lines.append(f"{path}: {field}: unknown key{known}")
            case "missing":
                lines.append(f"{path}: {field}: missing; it must be said")
            case "value_error":
                lines.append(f"{path}: {field + ': ' if field else ''}{mistake['ctx']['error']}")
            case kind if kind.startswith("date_"):
                lines.append(f"{path}: {field}: expected a day like 2026-01-31, found {mistake['input']!r:.80}")
            case _:
                expected = mistake["msg"].replace("Input should be", "expected", 1)
                lines.append(f"{path}: {field}: {expected}, found {mistake['input']!r:.80}")
    return lines


def _check_unique(contracts: dict[Path, Contract]) -> None:
    for field in ("table", "lake_name"):
        first: dict[str, Path] = {}
        for path, contract in contracts.items():
            name = getattr(contract, field)
            if name in first:
                shown = "table" if field == "table" else "name"
                raise ContractError(
                    f"{path}: {shown}: {name!r} is also the {shown} of {first[name]}; expected one each"
                )
            first[name] = path


def _check_links(path: Path, contract: Contract, by_name: dict[str, Contract]) -> None:
    """Enrichment and references point at tables with one key column of the same type, and at columns that exist."""
    links = [(f"enrich.{part.table}", part.table, part.on) for part in contract.enrich]
    for column in contract.columns.values():
        links += [
            (f"columns.{column.attribute}.rules.references", rule.references, column.name)
            for rule in column.rules
            if rule.references is not None
        ]
    for field, table, on in links:
        target = by_name.get(table)
        if target is None:
            raise ContractError(f"{path}: {field}: no table {table!r}; expected one of {', '.join(sorted(by_name))}")
        if len(target.key_columns) != 1:
            raise ContractError(f"{path}: {field}: {table} has a composite key; expected a table with a hash key only")
        here, there = contract.by_name[on].type, target.key_columns[0].type
        element = here.element if here.kind in {"list", "set"} and ".rules." in field else here
        if element != there:
            raise ContractError(f"{path}: {field}: column {on} is {here}, the key of {table} is {there}")
    for part in contract.enrich:
        for name, source in part.columns.items():
            if source not in by_name[part.table].by_name:
                known = ", ".join(by_name[part.table].by_name)
                raise ContractError(
                    f"{path}: enrich.{part.table}.columns.{name}: {part.table} has no column {source!r}; "
                    f"expected one of {known}"
                )
