"""`medallion contracts`: check the files of a domain; print the JSON Schemas that editors use for them.

Belongs here: what is about files that are there. Does not belong here: proposing new ones (infer).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from medallion_assets.cli.contracts_diff import diff
from medallion_assets.cli.infer import infer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from medallion_assets.contracts.loader import Domain
    from medallion_assets.contracts.model import Column, Contract
    from medallion_assets.contracts.types import ColumnType
    from medallion_assets.gold.dashboard_file import DashboardFile
    from medallion_assets.gold.spec import Mart
    from medallion_assets.live.counter import Counter
    from medallion_assets.local.workload import Workload

File = Literal["contract", "mart", "workload", "dashboard", "live", "query"]

app = typer.Typer(help="Check, compare and propose contracts.", no_args_is_help=True)
app.command()(infer)
app.command()(diff)


@app.command()
def check(
    domain: Annotated[
        str | None,
        typer.Argument(
            help="A shipped domain's name or the folder of your own.",
            show_default="MEDALLION_DOMAIN, else this folder if it has a domain.yaml, else ecommerce",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the files of a domain, and print what they say.

    Exits 2 if there are mistakes, and names file and field of each. It does not open the lake. A note names every
    attribute under `drop` that the workload does not write.

    \b
    Examples:
      medallion contracts check
      medallion contracts check ./my-domain --json
    """
    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.contracts.loader import default_domain, load_domain
    from medallion_assets.local.workload import FILE
    from medallion_assets.serving.saved_query import load_saved_queries

    loaded = load_domain(domain or default_domain())
    marts, dashboards, workload, counters = _load_rest(loaded)
    queries = load_saved_queries(loaded, marts)
    for note in _notes(loaded, workload):
        typer.echo(note, err=True)
    if as_json:
        shown = {
            "marts": [mart.name for mart in marts],
            "mart_columns": {
                mart.name: {name: str(column.type) for name, column in mart.columns.items()} for mart in marts
            },
        }
        rest = {
            "dashboards": list(dashboards),
            "workload": workload is not None,
            "live": [one.name for one in counters],
            "queries": list(queries),
        }
        print_json({**_described(loaded), **shown, **rest})
        return
    for contract in loaded.tables:
        print_table(
            _title(contract.lake_name, contract.description, contract.owner),
            ["column", "type", "attribute", "rules"],
            [
                *([one.name, str(one.type), _source(one), _rules(one)] for one in contract.columns.values()),
                *([name, str(type_), f"enriched: {source}", ""] for name, type_, source in _enriched(loaded, contract)),
            ],
        )
        if contract.where is not None:
            items = ", ".join(f"{name} {pattern}" for name, pattern in contract.where.items())
            typer.echo(f"items of {contract.table}: {items}")
        if contract.drop:
            typer.echo(f"dropped: {', '.join(contract.drop)}")
    for mart in marts:
        print_table(
            _title(f"gold.{mart.name}", mart.spec.description, mart.spec.owner),
            ["column", "type", "description", "rules"],
            [[one.name, str(one.type), one.description, _rules(one)] for one in mart.columns.values()],
        )
    typer.echo(f"marts: {', '.join(mart.name for mart in marts) or 'none'}")
    typer.echo(f"dashboards: {', '.join(dashboards) or 'those that every mart has by itself'}")
    typer.echo(f"saved queries: {', '.join(queries) or 'none'}")
    typer.echo(f"live counters: {', '.join(one.name for one in counters) or 'none'}")
    typer.echo(f"workload: {FILE if workload is not None else 'none'}")
    counts = f"{_counted(len(loaded.tables), 'contract')} and {_counted(len(marts), 'mart')}"
    typer.echo(f"{loaded.folder}: no mistakes in {counts}.")


@app.command()
def schema(
    file: Annotated[File, typer.Argument(help="Which kind of file.")] = "contract",
    write: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write all of them there, as <kind>.schema.json.")
    ] = None,
) -> None:
    """Print the JSON Schema of a kind of file.

    Editors use it to complete and check these files.

    \b
    Examples:
      medallion contracts schema workload
      medallion contracts schema --write schemas/
    """
    if write is None:
        typer.echo(schema_text(file), nl=False)
        return
    write.mkdir(parents=True, exist_ok=True)
    for kind in get_args(File):
        (write / f"{kind}.schema.json").write_text(schema_text(kind), encoding="utf-8")


def schema_text(file: File) -> str:
    """Return the JSON Schema of a kind of file, as text."""
    return json.dumps(_model(file).model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _model(file: File) -> type[BaseModel]:
    match file:
        case "contract":
            from medallion_assets.contracts.model import Contract

            return Contract
        case "mart":
            from medallion_assets.gold.mart_file import MartFile

            return MartFile
        case "workload":
            from medallion_assets.local.workload import Workload

            return Workload
        case "dashboard":
            from medallion_assets.gold.dashboard_file import DashboardFile

            return DashboardFile
        case "live":
            from medallion_assets.live.counter_file import CounterFile

            return CounterFile
        case "query":
            from medallion_assets.serving.saved_query import SavedQueryFile

            return SavedQueryFile


def _load_rest(
    domain: Domain,
) -> tuple[tuple[Mart, ...], Mapping[str, DashboardFile], Workload | None, tuple[Counter, ...]]:
    """Return marts, dashboards, the workload if there is one, and counters. Raises ContractError with all mistakes."""
    from medallion_assets.errors import ContractError, MartError
    from medallion_assets.gold.dashboard_file import load_dashboards
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.live.counter_file import load_counters
    from medallion_assets.local.workload import FILE, load_workload

    counters: tuple[Counter, ...] = ()
    marts: tuple[Mart, ...] = ()
    dashboards: Mapping[str, DashboardFile] = {}
    workload, wrong = None, []
    try:
        marts = load_marts(domain)
        dashboards = load_dashboards(domain, marts)
    except (ContractError, MartError) as mistakes:
        wrong.append(str(mistakes))
    try:
        workload = load_workload(domain) if (domain.folder / FILE).exists() else None
    except ContractError as mistakes:
        wrong.append(str(mistakes))
    try:
        counters = load_counters(domain)
    except ContractError as mistakes:
        wrong.append(str(mistakes))
    if wrong:
        raise ContractError("\n".join(wrong))
    return marts, dashboards, workload, counters


def _notes(domain: Domain, workload: Workload | None) -> Iterator[str]:
    """Yield a note about each attribute under `drop` that the workload does not write. It may be a mistake."""
    for contract in domain.tables:
        written = workload.tables[contract.lake_name].item if workload and contract.lake_name in workload.tables else ()
        for attribute in contract.drop if written else ():
            if attribute not in written:
                others = [name for name in written if name not in contract.columns and name not in contract.drop]
                yield (
                    f"note: {contract.lake_name}: drop: workload.yaml writes no attribute {attribute!r}"
                    + (f"; it writes {', '.join(others)}, which no contract names" if others else "")
                )


def _enriched(domain: Domain, contract: Contract) -> Iterator[tuple[str, ColumnType, str]]:
    """Yield the columns that enrichment adds: name, type, and where each is copied from."""
    types = domain.silver_columns(contract)
    for part in contract.enrich:
        yield from ((name, types[name], f"{part.table}.{source}") for name, source in part.columns.items())


def _title(name: str, description: str, owner: str) -> str:
    return f"{name}: {description} ({owner})" if description else f"{name} ({owner})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _source(column: Column) -> str:
    """Return the attribute of a column, and what the contract says about how its value is written."""
    default = "" if column.default is None else f"default {column.default}"
    said = ", ".join(filter(None, [column.reading, default]))
    return f"{column.attribute} ({said})" if said else column.attribute


def _rules(column: Column) -> str:
    return ", ".join(
        f"{rule.kind} {shown}".strip() + (" (warn)" if rule.severity == "warn" else "")
        for rule in column.rules
        for shown in ["" if rule.kind == "required" else _argument(getattr(rule, rule.kind))]
    )


def _argument(value: object) -> str:
    return "/".join(str(part) or "''" for part in value) if isinstance(value, tuple) else str(value)


def _described(domain: Domain) -> dict[str, Any]:
    return {
        "domain": domain.name,
        "folder": str(domain.folder),
        "since": domain.since,
        "tables": [_table(domain, contract) for contract in domain.tables],
    }


def _table(domain: Domain, contract: Contract) -> dict[str, Any]:
    return {
        "table": contract.table,
        "name": contract.lake_name,
        "owner": contract.owner,
        "key": list(contract.key_names),
        "columns": {column.name: str(column.type) for column in contract.columns.values()},
        "enriched": {name: str(type_) for name, type_, _ in _enriched(domain, contract)},
        "dropped": list(contract.drop),
    }
