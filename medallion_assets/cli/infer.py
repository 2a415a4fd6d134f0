"""`medallion contracts infer`: propose contracts from the items of tables.

Belongs here: arguments, which tables, and where the files go. Does not belong here: what is proposed (infer).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


def infer(  # noqa: PLR0917 - typer reads the parameters as options
    tables: Annotated[list[str] | None, typer.Argument(help="DynamoDB tables.", show_default=False)] = None,
    owner: Annotated[
        str | None, typer.Option(help="Who answers for the tables: an e-mail address or team:name.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All tables of the account and region.")] = False,
    prefix: Annotated[str | None, typer.Option(help="All tables whose name begins so.", show_default=False)] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Read an export of DynamoDB or JSON lines there, a file or a folder, in place of the table.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="With --from: the key's attributes, hash or hash,range.", show_default=False)
    ] = None,
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="Write the contracts there.")] = Path("tables"),
    items: Annotated[int, typer.Option(min=1, help="Look at so many items of each table.")] = 10_000,
    read_capacity: Annotated[
        float, typer.Option(min=1, help="Use at most so many read capacity units a second of each table.")
    ] = 100.0,
) -> None:
    """Propose contracts from some items of tables.

    Writes a file for each table, and a domain.yaml beside the folder if there is none. A table whose keys say that it
    has several kinds of items (`USER#1`, `ORDER#2`) gets a file for each kind, if no item can be of two. Only
    reads from DynamoDB. A contract that is there already is never overwritten: the command ends before it writes
    anything. Comments say how many items have an attribute, and what looks like personal data. No value of an item is
    written, but those of a column that has a few. With --prefix, names in the lake are without it.

    \b
    Examples:
      medallion contracts infer Orders Customers --owner team:commerce
      medallion contracts infer --prefix prod- --owner team:data --into shop/tables
      medallion contracts infer Orders --from export/data --key OrderID --owner team:commerce
    """
    import boto3

    from medallion_assets.cli.output import print_table
    from medallion_assets.contracts.model import Key
    from medallion_assets.contracts.names import owner as checked_owner
    from medallion_assets.infer.contract_text import contract_text
    from medallion_assets.infer.entities import name_apart, split
    from medallion_assets.infer.propose import propose
    from medallion_assets.infer.sample import sample_file, sample_table
    from medallion_assets.infer.seen import look

    if owner is None:
        raise typer.BadParameter("every contract has one: an e-mail address or team:name", param_hint="--owner")
    try:
        checked_owner(owner)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--owner") from wrong
    chosen = sum([bool(tables), every, prefix is not None])
    if chosen != 1:
        raise typer.BadParameter("expected the names of tables, or --all, or --prefix", param_hint="TABLES")
    if source is not None:
        hash_key, _, range_key = (key or "").partition(",")
        if not hash_key or tables is None or len(tables) != 1:
            raise typer.BadParameter("expected one table and its --key", param_hint="--from")
        samples = [sample_file(source, tables[0], Key(hash=hash_key, range=range_key or None), items=items)]
        _require_free(into, _lake_names(tables))
    else:
        if key is not None:
            raise typer.BadParameter("DynamoDB says the key of its tables; it is for --from", param_hint="--key")
        client = boto3.client("dynamodb")
        names = _lake_names(tables or _list_tables(client, prefix or ""), prefix or "")
        _require_free(into, names)
        samples = [
            sample_table(client, table, name=name, items=items, read_capacity=read_capacity)
            for table, name in names.items()
        ]
    samples = name_apart([part for sample in samples for part in split(sample)])
    _require_free(into, {one.title: one.lake_name for one in samples})
    found = propose([(sample, look(sample)) for sample in samples])
    into.mkdir(parents=True, exist_ok=True)
    rows = []
    for contract in found:
        path = into / f"{contract.lake_name}.yaml"
        with path.open("x", encoding="utf-8") as file:
            file.write(contract_text(contract, owner=owner))
        counts = [contract.seen.items, len(contract.columns), len(contract.drop)]
        of = ", ".join(f"{attribute} {pattern}" for attribute, pattern in contract.sample.where.items()) or "all"
        rows.append([contract.sample.table, of, *map(str, counts), str(path)])
    print_table("Proposed contracts", ["table", "items", "items seen", "columns", "dropped", "file"], rows)
    for warning in (warning for sample in samples for warning in sample.warnings):
        typer.echo(f"warning: {warning}", err=True)
    if (written := _write_domain_file(into)) is not None:
        typer.echo(f"{written}: written, too, so that the folder is a domain.")
    typer.echo("Read each file, correct it, and run `medallion contracts check`.")


def _write_domain_file(into: Path) -> Path | None:
    """Write the domain.yaml beside a folder `tables` that has none; return its path, None if nothing was written."""
    from datetime import UTC, datetime

    path = into.absolute().parent / "domain.yaml"
    if into.absolute().name != "tables" or path.exists():
        return None
    first = f"{datetime.now(UTC).year - 1}-01-01"
    path.write_text(f"since: {first} # the first day of every daily partition; correct it if data is older\n", "utf-8")
    return path


def _list_tables(client: DynamoDBClient, prefix: str) -> list[str]:
    """Return the tables whose names begin so. Raises SettingsError if there is none."""
    from medallion_assets.errors import SettingsError

    pages = client.get_paginator("list_tables").paginate()
    found = [name for page in pages for name in page["TableNames"] if name.startswith(prefix)]
    if not found:
        beginning = f" whose name begins with {prefix}" if prefix else ""
        raise SettingsError(
            f"No DynamoDB table{beginning} in this account and region; check AWS_PROFILE and AWS_REGION."
        )
    return found


def _lake_names(tables: list[str], prefix: str = "") -> dict[str, str]:
    """Return the name of each table in the lake, which is without the prefix. Raises ContractError."""
    from medallion_assets.capture.naming import require_folder_name
    from medallion_assets.errors import ContractError
    from medallion_assets.infer.names import lake_name

    names: dict[str, str] = {}
    for table in tables:
        try:
            names[table] = lake_name(require_folder_name(table).removeprefix(prefix) or table)
        except ValueError as unusable:
            raise ContractError(str(unusable)) from unusable
    return names


def _require_free(folder: Path, names: Mapping[str, str]) -> None:
    """Raise ContractError unless each table or entity can have a contract of its own in the folder."""
    from medallion_assets.errors import ContractError

    taken: dict[str, str] = {}
    for table, name in names.items():
        if name in taken:
            raise ContractError(
                f"{taken[name]} and {table} would both be {name} in the lake. Propose them into two folders, and give "
                "one of the contracts another `name`."
            )
        taken[name] = table
        if (path := folder / f"{name}.yaml").exists():
            raise ContractError(f"{path}: there already, and not overwritten. Move it, or choose another --into.")
