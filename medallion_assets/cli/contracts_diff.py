"""`medallion contracts diff`: what the contracts change, compared with a commit or with the lake.

Belongs here: arguments and what is printed. Does not belong here: what a change means (evolution).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medallion_assets.contracts.loader import Domain
    from medallion_assets.contracts.model import Contract
    from medallion_assets.evolution.changes import Change
    from medallion_assets.infer.undeclared import Undeclared


def diff(
    domain: Annotated[
        str | None,
        typer.Argument(
            help="A shipped domain's name or the folder of your own.",
            show_default="MEDALLION_DOMAIN, else this folder if it has a domain.yaml, else ecommerce",
        ),
    ] = None,
    against: Annotated[str, typer.Option(metavar="COMMIT", help="Compare with this commit.")] = "HEAD",
    running: Annotated[bool, typer.Option("--lake", help="Compare with the tables of the lake.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print what changes of the contracts mean and cost.

    Exits 0 if nothing must be decided, 1 if a change needs a word in the contract or a rebuild, and 2 for contracts
    that cannot be read or a commit that is not there. It changes nothing. With --lake it also lists the attributes that
    rows have and no contract declares, each with a line to paste, and without a value.

    \b
    Examples:
      medallion contracts diff
      medallion contracts diff ./shop --against origin/main
      medallion contracts diff --lake
    """
    from dataclasses import asdict

    from medallion_assets.cli.outcome import ExitCode
    from medallion_assets.cli.output import print_json
    from medallion_assets.contracts.loader import default_domain, load_domain

    rows: dict[str, int | None] = {}
    undeclared: dict[str, list[Undeclared]] = {}
    what = "the lake"
    if running:
        changes = _against_lake(domain, rows, undeclared)
    else:
        loaded = load_domain(domain or default_domain())
        what = f"{against} of {loaded.folder}"
        changes = _against_commit(loaded, against)
    if as_json:
        shown = [{**asdict(one), "meaning": one.meaning, "rows": rows.get(one.table)} for one in changes]
        found = [{"table": table, **asdict(one)} for table, several in undeclared.items() for one in several]
        print_json({"changes": shown, "undeclared": found})
    else:
        _print(changes, rows, what)
        _print_undeclared(undeclared)
    if any(one.needs for one in changes):
        raise typer.Exit(ExitCode.FOUND)


def _against_commit(domain: Domain, revision: str) -> list[Change]:
    from medallion_assets.evolution.changes import compare, new_table, no_contract, other_name
    from medallion_assets.evolution.committed import committed_domain
    from medallion_assets.evolution.shape import declared_shape

    before = committed_domain(domain, revision)
    changes: list[Change] = []
    renamed = set()
    for contract in domain.tables:
        name = contract.lake_name
        if (earlier := before.by_name.get(name)) is not None:
            changes += compare(name, declared_shape(earlier, before), declared_shape(contract, domain), contract)
        elif (moved := _only_contract(before, contract.table)) and _only_contract(domain, contract.table):
            changes.append(other_name(moved.lake_name, name))
            renamed.add(moved.lake_name)
        else:
            changes.append(new_table(name))
    gone = before.by_name.keys() - domain.by_name.keys() - renamed
    return [*changes, *(no_contract(name) for name in sorted(gone))]


def _only_contract(domain: Domain, table: str) -> Contract | None:
    """Return the contract of a DynamoDB table; None if it has none, or one for each of its entities."""
    source = domain.sources.get(table)
    return source.contracts[0] if source is not None and len(source.contracts) == 1 else None


def _against_lake(
    named: str | None, rows: dict[str, int | None], undeclared: dict[str, list[Undeclared]]
) -> list[Change]:
    """Return the changes; add how many rows each table has, and the attributes that are not declared."""
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.evolution.changes import compare, new_table
    from medallion_assets.evolution.published import published_shape
    from medallion_assets.evolution.shape import declared_shape
    from medallion_assets.infer.undeclared import undeclared_attributes
    from medallion_assets.lake.catalog import Lake

    chosen = settings()
    domain = load_domain(named or chosen.domain)
    changes: list[Change] = []
    with Lake.open(chosen.lake()) as lake:
        for contract in domain.tables:
            shape = published_shape(lake, contract)
            if shape is None:
                changes.append(new_table(contract.lake_name))
                continue
            rows[contract.lake_name] = shape.rows
            changes += compare(contract.lake_name, shape, declared_shape(contract, domain), contract)
            undeclared[contract.lake_name] = undeclared_attributes(lake, contract)
    return changes


def _print_undeclared(undeclared: dict[str, list[Undeclared]]) -> None:
    from medallion_assets.cli.output import print_table

    found = [(table, one) for table, several in undeclared.items() for one in several]
    if found:
        print_table(
            "Attributes in _extra",
            ["table", "attribute", "rows", "types", "a line for its contract"],
            [[table, one.attribute, one.rows, ", ".join(one.tags), one.line] for table, one in found],
        )


def _print(changes: list[Change], rows: dict[str, int | None], what: str) -> None:
    from medallion_assets.cli.output import print_table

    if not changes:
        typer.echo(f"No contract changes the shape of a table, compared with {what}.")
        return
    print_table(
        f"Changes of shape, compared with {what}",
        ["table", "change", "of", "before", "after", "cost"],
        [[one.table, one.kind, one.column, one.before, one.after, _cost(one, rows.get(one.table))] for one in changes],
    )
    for kind in dict.fromkeys(one.kind for one in changes):
        typer.echo(f"{kind}: {next(one.meaning for one in changes if one.kind == kind)}")
    for one in changes:
        if one.needs:
            typer.echo(f"Decide: {one.table}{f'.{one.column}' if one.column else ''}, {one.kind}: {one.needs}")


def _cost(change: Change, rows: int | None) -> str:
    match change.cost:
        case "metadata":
            return "metadata only"
        case "fill":
            return "the rows that have it"
        case "rebuild":
            return f"rebuild of {'the table' if rows is None else f'{rows:,} rows'}"
        case "nothing":
            return "nothing"
