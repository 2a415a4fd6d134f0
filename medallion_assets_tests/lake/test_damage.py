"""A file of a table that somebody deleted or overwrote: one sentence that names it and the way out, and no retry."""

from __future__ import annotations

import random
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
    "metadata file": lambda table: [table.metadata_location],
    "manifest list": lambda table: [table.current_snapshot().manifest_list],  # type: ignore[union-attr]
    "manifest": manifests,
    "data file": lambda table: files(table, deletes=False),
    "delete file": lambda table: files(table, deletes=True),
}


def damage(path: str, how: str) -> None:
    file = Path(path.removeprefix("file://"))
    content = file.read_bytes()
    file.unlink()
    if how != "gone":
        garbage = {"cut": content[: len(content) // 2], "noise": random.Random(0).randbytes(len(content))}
        file.write_bytes(garbage.get(how, b""))


def damaged_lake(lake: Lake, kind: str, how: str) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    merge(lake, table, rows(ORDERS, order("a", 1)))
    merge(lake, table, rows(ORDERS, order("a", 2), order("b", 1)))
    for path in KINDS[kind](table):
        damage(path, how)


def sentence(kind: str) -> str:
    since = r"(It has been part of the table since|It was committed after)"
    return (
        rf"^silver\.orders lacks a file, or it cannot be read: the {kind} \S+\. {since} snapshot \d+ of "
        r"\d{4}-\d\d-\d\d [\d:]{8} UTC\. Restore it .* with `medallion rebuild silver\.orders`: "
        r'docs/runbook\.md, "A file of the lake is gone"\.$'
    )


@pytest.mark.parametrize("how", ["gone", "cut", "noise", "empty"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_and_is_no_outage(lake: Lake, kind: str, how: str) -> None:
    damaged_lake(lake, kind, how)
    with pytest.raises(LakeDamaged, match=sentence(kind)):
        merge(lake, lake.table("silver", "orders"), rows(ORDERS, order("a", 3)))
    with pytest.raises(LakeDamaged, match=sentence(kind)), Embedded(lake) as engine:
        engine.show_published()
        engine.run("SELECT id FROM silver.orders", today=date(2026, 3, 1))


def test_metadata_that_is_the_json_of_something_else_is_damage(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"])
    for other in ("[]", '{"format-version": 2}', '{"a": [1, 2]}'):
        Path(table.metadata_location.removeprefix("file://")).write_text(other)
        with pytest.raises(LakeDamaged, match="No metadata from before it is left"):
            lake.find("silver", "orders")


def test_an_entry_of_the_catalog_goes_whatever_its_files_are(lake: Lake) -> None:
    damaged_lake(lake, "metadata file", "gone")
    assert lake.drop("silver", "orders")
    assert not lake.drop("silver", "orders")
    assert lake.find("silver", "orders") is None


def test_a_catalog_that_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("not a database, and long enough to be taken for a page of one" * 20)
    settings = LakeSettings(warehouse=str(tmp_path), catalog="sqlite", region="eu-central-1")
    with pytest.raises(LakeDamaged, match=r"catalog\.db in the warehouse, cannot be read"), Lake.open(settings):
        pass


def test_a_partition_value_may_be_longer_than_a_name_of_a_file(lake: Lake) -> None:
    table = lake.ensure("silver", "orders", ORDERS, key=["id"], partition_by=[("id", "identity")])
    keys = ["x" * 300, "\u00e4" * 1000, "a/../b", "a=b/c", "", "%2F", "nul\x00"]
    merge(lake, table, rows(ORDERS, *(order(key, 1) for key in keys)))
    merge(lake, table, rows(ORDERS, *(order(key, 2) for key in keys)))
    assert read(lake, table, ["id"]) == sorted(((key,) for key in keys), key=repr)
