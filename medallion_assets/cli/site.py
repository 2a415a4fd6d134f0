"""`medallion site`: write the page with the domain's numbers as static files."""

from __future__ import annotations

from typing import Annotated

import typer


def site(
    to: Annotated[
        str | None,
        typer.Argument(
            metavar="PLACE", help="A directory, or s3://bucket/prefix.", show_default="MEDALLION_SITE, else ./site"
        ),
    ] = None,
) -> None:
    """Write the page with the numbers as static files.

    Any web server can serve them. A reader never sees half of a refresh, and the page asks for newer numbers by itself
    whenever the command has run again. In Dagster the asset `site/<domain>` does it after each refresh of Gold, if
    MEDALLION_SITE is set.

    \b
    Examples:
      medallion site && python -m http.server -b 127.0.0.1 -d site
      medallion site s3://my-bucket/numbers
    """
    from datetime import UTC, datetime

    from medallion_assets.capture.store import open_store
    from medallion_assets.cli.environment import settings
    from medallion_assets.contracts.loader import load_domain
    from medallion_assets.gold.spec import load_marts
    from medallion_assets.lake.catalog import Lake
    from medallion_assets.site.place import open_place
    from medallion_assets.site.refresh import refresh_site

    chosen = settings()
    where = to or chosen.site or "site"
    domain = load_domain(chosen.domain)
    with Lake.open(chosen.lake()) as lake:
        written = refresh_site(
            lake,
            open_store(chosen.bronze),
            domain,
            load_marts(domain),
            open_place(where, region=chosen.region),
            dagster_url=chosen.dagster_url,
            now=datetime.now(UTC),
        )
    numbers = "new numbers" if written.is_new else "the numbers have not changed"
    typer.echo(f"{where}: {numbers}, version {written.version}.")
