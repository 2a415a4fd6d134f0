"""`medallion contracts`: check the files of a domain; print the JSON Schemas that editors use for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from medallion_assets.contracts.loader import Domain
    from medallion_assets.contracts.model import Column, Contract

File = Literal["contract", "mart", "workload"]

app = typer.Typer(help="Check the files of a domain, and print their JSON Schemas.", no_args_is_help=True)


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
    """Load a domain with its marts and workload; exit 2 naming file and field of every mistake.

    \b
    Examples:
      medallion contracts check
      medallion contracts check ./my-domain --json
    """
    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.contracts.loader import default_domain, load_domain
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.local.workload import FILE, load_workload

    loaded = load_domain(domain or default_domain())
    marts = load_marts(loaded)
    if has_workload := (loaded.folder / FILE).exists():
        load_workload(loaded)
    if as_json:
        print_json({**_described(loaded), "marts": [mart.name for mart in marts], "workload": has_workload})
        return
    for contract in loaded.tables:
        print_table(
            f"{contract.lake_name}: {contract.description} ({contract.owner})",
            ["column", "type", "attribute", "rules"],
            [[column.name, str(column.type), column.attribute, _rules(column)] for column in contract.columns.values()],
        )
    typer.echo(f"marts: {', '.join(mart.name for mart in marts) or 'none'}")
    typer.echo(f"workload: {FILE if has_workload else 'none'}")
    counts = f"{_counted(len(loaded.tables), 'contract')} and {_counted(len(marts), 'mart')}"
    typer.echo(f"{loaded.folder}: no mistakes in {counts}.")


@app.command()
def schema(
    file: Annotated[File, typer.Argument(help="Which kind of file.")] = "contract",
    write: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write all of them there, as <kind>.schema.json.")
    ] = None,
) -> None:
    """Print the JSON Schema of a contract, a mart.yaml or a workload.yaml, for editors that complete and check.

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
    """The JSON Schema of that kind of file, as it is written."""
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


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _rules(column: Column) -> str:
    return ", ".join(
        f"{rule.kind} {shown}".strip() + (" (warn)" if rule.severity == "warn" else "")
        for rule in column.rules
        for shown in ["" if rule.kind == "required" else _argument(getattr(rule, rule.kind))]
    )


def _argument(value: object) -> str:
    return "/".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def _described(domain: Domain) -> dict[str, Any]:
    return {
        "domain": domain.name,
        "folder": str(domain.folder),
        "since": domain.since,
        "tables": [_table(contract) for contract in domain.tables],
    }


def _table(contract: Contract) -> dict[str, Any]:
    return {
        "table": contract.table,
        "name": contract.lake_name,
        "owner": contract.owner,
        "key": list(contract.key_names),
        "columns": {column.name: str(column.type) for column in contract.columns.values()},
    }
