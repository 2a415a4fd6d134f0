"""`medallion query`: run one SELECT over what is published in Silver and Gold."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pyarrow as pa


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def query(
    sql: Annotated[str, typer.Argument(metavar="SELECT", help="A SELECT over silver.*, gold.* and quarantine.*.")],
    format_: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Run a SELECT (Trino's dialect, by DuckDB) over published data. Decimals keep all their digits.

    \b
    Examples:
      medallion query "SELECT * FROM gold.key_metrics"
      medallion query "SELECT status, count(*) FROM silver.orders GROUP BY 1" --format csv
    """
    from datetime import UTC, datetime

    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_csv, print_json, print_table
    from medallion_assets.engines.embedded import Embedded
    from medallion_assets.lake.catalog import Lake

    with Lake.open(settings().lake()) as lake, Embedded(lake) as engine:
        found: pa.Table = engine.run_published(sql, today=datetime.now(UTC).date())
    match Format.JSON if as_json else format_:
        case Format.JSON:
            print_json(found.to_pylist())
        case Format.CSV:
            print_csv(found.column_names, zip(*found.to_pydict().values(), strict=True))
        case Format.TABLE:
            print_table("", found.column_names, zip(*found.to_pydict().values(), strict=True))
