"""`medallion generate`: write traffic to the domain's DynamoDB tables."""

from __future__ import annotations

from typing import Annotated

import typer


def generate(
    rate: Annotated[float, typer.Option(min=0.1, help="Writes a second.")] = 50.0,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after the writes of so many seconds.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many writes.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same writes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write inserts, updates and deletes to the source tables.

    The file workload.yaml describes them. Without --seconds or --count it writes until Ctrl-C. Empty tables get the
    initial load first. Rows that exist already are updated, deleted and referred to as well.

    \b
    Examples:
      medallion generate --seconds 60
      medallion generate --rate 200 --count 10000 --seed 7 --json
    """
    import threading
    import time
    from contextlib import suppress

    from medallion_assets.cli.environment import settings
    from medallion_assets.cli.output import print_json, print_table
    from medallion_assets.local.traffic import Traffic

    if seconds is not None and count is not None:
        raise typer.BadParameter("say --seconds or --count, not both")
    traffic = Traffic.of(settings(), seed=seed)
    loaded = traffic.load()
    began = time.monotonic()
    with suppress(KeyboardInterrupt):
        traffic.run(rate=rate, count=count or (round(rate * seconds) if seconds else None), stop=threading.Event())
    took = time.monotonic() - began
    if as_json:
        writes = [
            {"table": table, "kind": kind, "count": number} for (table, kind), number in sorted(traffic.counts.items())
        ]
        print_json({"initial": loaded, "writes": writes, "redelivered": traffic.redelivered, "seconds": round(took, 3)})
        return
    kinds = ("insert", "update", "delete", "touch")
    live = traffic.counts.total() - loaded
    print_table(
        f"{live:,} writes in {took:.1f} s ({live / took:.1f} a second) after {loaded:,} of the initial load; "
        f"{traffic.redelivered} captured batches delivered twice",
        ["table", *kinds],
        [
            [table, *(traffic.counts[table, kind] for kind in kinds)]
            for table in sorted({table for table, _ in traffic.counts})
        ],
    )
