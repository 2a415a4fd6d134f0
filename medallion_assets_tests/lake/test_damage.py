"""A file of a table that somebody deleted or overwrote: one sentence that names it and the way out, and no retry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pyiceberg.table import Table

from medallion_assets.engines.embedded import Embedded
from medallion_assets.errors import LakeDamaged
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets_tests.lake.tables import ORDERS, merge, order, read, rows


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with Lake.open(LakeSettings(warehouse=str(tmp_path), catalog="sqlite", region="eu-central-1")) as opened:
        yield opened


def manifests(table: Table) -> list[str]:
    snapshot = table.current_snapshot()
    return [one.manifest_path for one in snapshot.manifests(table.io)] if snapshot else []


def files(table: Table, *, deletes: bool) -> list[str]:
    found = Path(table.location().removeprefix("file://")).glob("data/*.parquet")
    return [str(path) for path in found if path.name.endswith("-deletes.parquet") == deletes]


KINDS: dict[str, Callable[[Table], list[str]]] = {
    "metadata": lambda table: [table.metadata_location],
    "manifest list": lambda table: [table.current_snapshot().manifest_list],  # type: ignore[union-attr]
    "manifest": manifests,
    "data": lambda table: files(table, deletes=False),
    "deletes": lambda table: files(table, deletes=True),
}


def damage(path: str, how: str) -> None:
    file = Path(path.removeprefix("file://"))
    content = file.read_bytes()
    file.unlink()
    if how != "gone":
        file.write_bytes(content[: len(content) // 2] if how == "cut" else b"")


@pytest.mark.parametrize("how", ["gone", "cut", "empty"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_and_is_no_outage(lake: Lake, kind: str, how: str) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("a", 1)))
    merge(lake, table, rows(ORDERS, order("a", 2), order("b", 1)))
    for path in KINDS[kind](table):
        damage(path, how)
    with pytest.raises(LakeDamaged, match=r"Restore it from an older version .* \"A file of the lake is gone\""):
        merge(lake, lake.table("silver", "orders"), rows(ORDERS, order("a", 3)))
    # DuckDB ends the process when a manifest is gone, so that cannot be tested here.
    if "manifest" not in kind:
        with pytest.raises(LakeDamaged), Embedded(lake) as engine:
            engine.show_published()
            engine.run("SELECT id FROM silver.orders", today=date(2026, 3, 1))


def test_a_partition_value_may_be_longer_than_a_name_of_a_file(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=[("id", "identity")])
    keys = ["x" * 300, "\u00e4" * 1000, "a/../b", "a=b/c", "", "%2F", "nul\x00"]
    merge(lake, table, rows(ORDERS, *(order(key, 1) for key in keys)))
    merge(lake, table, rows(ORDERS, *(order(key, 2) for key in keys)))
    assert read(lake, table, ["id"]) == sorted(((key,) for key in keys), key=repr)
