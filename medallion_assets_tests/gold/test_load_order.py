"""Loading marts that read other marts: their order, and their mistakes, which are named once."""

from __future__ import annotations

from pathlib import Path

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.errors import ContractError, MartError
from medallion_assets.gold.spec import load_marts
from medallion_assets_tests.fixtures.chain import FILES, chain_domain, write_mart

SHARE = "daily_share"


def mistakes_of(folder: Path, **files: tuple[str, str]) -> list[str]:
    """Return the mistakes of the chain's domain with these marts added or replaced."""
    domain = chain_domain(folder)
    for name, (sql, described) in files.items():
        write_mart(domain.folder, name, sql, described)
    with pytest.raises((ContractError, MartError)) as refused:
        load_marts(load_domain(str(domain.folder)))
    return str(refused.value).replace(f"{domain.folder}/marts/", "").splitlines()


def by_region(sql: str) -> tuple[str, str]:
    return sql, "{owner: 'team:a', grain: [region], columns: {region: string}}"


def test_marts_come_after_those_that_they_read(tmp_path: Path) -> None:
    marts = {mart.name: mart for mart in load_marts(chain_domain(tmp_path))}
    names = list(marts)
    for mart in marts.values():
        assert all(names.index(name.removeprefix("gold.")) < names.index(mart.name) for name in mart.upstream)
    assert marts["best_days"].inputs == ("gold.daily_share", "orders")
    assert marts["this_week"].tables == marts["best_days"].tables == ("orders",)
    assert [name for name, mart in marts.items() if mart.follows_current_date and not mart.uses_current_date] == [
        "this_week"
    ]


def test_a_mart_that_is_not_there_and_one_that_reads_itself_are_named(tmp_path: Path) -> None:
    missing, itself = mistakes_of(
        tmp_path,
        missing=by_region("SELECT region FROM gold.totals"),
        self_made=by_region("SELECT region FROM gold.self_made"),
    )
    assert missing.startswith("missing/query.sql: FROM gold.totals: no such table; expected one of gold.best_days, ")
    assert "gold.missing" not in missing
    assert itself == "self_made/query.sql: FROM gold.self_made: a mart cannot read itself"


def test_a_circle_is_named_whole_and_what_is_behind_it_says_so_once(tmp_path: Path) -> None:
    found = mistakes_of(
        tmp_path,
        a=by_region("SELECT region, nothing FROM gold.c"),
        b=by_region("SELECT region FROM gold.a"),
        c=by_region("SELECT region FROM gold.b JOIN silver.orders ON true"),
        d=by_region("SELECT d.nobody, random() AS region FROM gold.c AS d JOIN gold.region_totals AS e ON true"),
    )
    circle = "marts read each other in a circle: a -> c -> b -> a; one of them has to read less"
    assert found == [
        f"a/query.sql: FROM gold.c: {circle}",
        f"b/query.sql: FROM gold.a: {circle}",
        f"c/query.sql: FROM gold.b: {circle}",
        "d/query.sql: RAND(): its value differs in every run; use current_date, which is the day of the run",
        "d/query.sql: FROM gold.c: the mart has mistakes; correct them first",
    ]


def test_a_mart_over_one_with_mistakes_says_so_once_and_is_checked_as_far_as_possible(tmp_path: Path) -> None:
    _, described = FILES[SHARE]
    found = mistakes_of(
        tmp_path,
        region_totals=by_region("SELECT region, revenue FROM gold.daily_sales_by_region"),
        daily_share=("SELECT day FROM gold.region_totals", described.replace("team:a", "me")),
    )
    assert [line.split(":")[0] for line in found] == [
        "best_days/query.sql",
        "daily_share/mart.yaml",
        "daily_share/query.sql",
        "region_totals/query.sql",
    ]
    assert found[0] == "best_days/query.sql: FROM gold.daily_share: the mart has mistakes; correct them first"
    assert "owner" in found[1] and "Column 'revenue' could not be resolved" in found[3]


@pytest.mark.parametrize("column", ["computed_at", "silver_snapshots"])
def test_when_and_from_what_a_mart_was_computed_cannot_be_read(tmp_path: Path, column: str) -> None:
    _, why = mistakes_of(tmp_path, late=by_region(f"SELECT region, {column} FROM gold.region_totals"))
    assert why == (
        "late/query.sql: a mart reads the declared columns of another one, not its computed_at or silver_snapshots"
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("day_of: order_date", "day_of: region", "'region' is not a date or timestamp of gold.daily_sales_by_region"),
        ("table: gold.daily_sales_by_region", "table: daily_sales_by_region", "expected one of gold.daily_sales_by_re"),
        ("gold.region_totals: region", "gold.region_totals: order_date", "does not hold its key (region string)"),
        ("gold.region_totals: region", "region_totals: region", "expected every other table of query.sql"),
        ("day_of: order_date,", "day_of: order_date, time_zone: Europe/Berlin,", "is a date, which has no time zone"),
    ],
)
def test_a_partition_over_a_mart_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    sql, described = FILES[SHARE]
    assert old in described
    found = mistakes_of(tmp_path, daily_share=(sql, described.replace(old, new)))
    assert any(line.startswith("daily_share/mart.yaml: partition") and reason in line for line in found)


def test_a_day_that_is_in_the_grain_of_a_mart_is_never_null(tmp_path: Path) -> None:
    domain = chain_domain(tmp_path)
    described = "{owner: 'team:a', grain: [day], partition: {column: day, table: gold.key_metrics, day_of: as_of}, "
    write_mart(domain.folder, "days", "SELECT as_of AS day FROM gold.key_metrics", described + "columns: {day: date}}")
    assert "days" in {mart.name for mart in load_marts(domain)}
