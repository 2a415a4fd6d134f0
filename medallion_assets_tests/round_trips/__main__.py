"""Print the table of requests for docs/reference/performance.md; with `--by-operation`, each act's operations."""

from __future__ import annotations

import sys

from medallion_assets_tests.round_trips.acts import as_table, count_acts, open_shop


def main() -> None:
    """Count all acts."""
    with open_shop() as shop:
        found = count_acts(shop)
    print(as_table(found))  # noqa: T201 - the output
    if "--by-operation" in sys.argv:
        for act, counts in found.items():
            print(f"\n{act}", *(f"{number:5} {asked}" for asked, number in counts.most_common()), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
