"""A dashboard's file is checked against the marts, and every mistake is named by file and field."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.errors import ContractError
from medallion_assets.gold.dashboard_file import load_dashboards
from medallion_assets_tests.gold.shop import DOMAIN, MARTS

DAILY = "mart: daily_sales_by_region, title: T"
METRICS = "mart: key_metrics, title: T"
PRODUCTS = "mart: product_performance, title: T"


def mistakes(tmp_path: Path, text: str, name: str = "d.yaml") -> str:
    """Return what is said of a domain whose only dashboard is this text; empty if it is right."""
    (tmp_path / "dashboards").mkdir(exist_ok=True)
    (tmp_path / "dashboards" / name).write_text(text)
    try:
        load_dashboards(replace(DOMAIN, folder=tmp_path), MARTS.values())
    except ContractError as wrong:
        return str(wrong)
    return ""


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (f"{{lines: total_revenue, by: region, {DAILY}}}", ""),
        (f"{{lines: avg_order_value, by: region, {DAILY}}}", ""),  # each line is one row of a day
        (f"{{bars: COUNT(*), by: stock_status, where: orders_7d > 0, {PRODUCTS}}}", ""),
        (f"{{number: revenue_today, {METRICS}}}", ""),
        (f"{{lines: avg_order_value, {DAILY}}}", r"lines: avg_order_value is no SUM and no COUNT .* SUM\(a\)"),
        (f"{{number: unique_customers, days: 7, {DAILY}}}", r"number: unique_customers is no SUM and no COUNT"),
        (f"{{lines: region, {DAILY}}}", r"lines: 'region' is no number; expected one of order_count"),
        (f"{{lines: orders_7d, {PRODUCTS}}}", r"lines: product_performance has no days; expected a mart with"),
        (f"{{lines: MAX(price), {DAILY}}}", r"lines: 'MAX\(price\)': no column price; expected some of order_date"),
        (f"{{lines: total_revenue + 1, {DAILY}}}", r"lines: .*expected an aggregate such as SUM\(x\)"),
        (f"{{bars: orders_7d, {PRODUCTS}}}", r"panels\.0: bars need `by`"),
        (f"{{bars: orders_7d, by: SUM(orders_7d), {PRODUCTS}}}", r"by: 'SUM\(orders_7d\)': expected no aggregate"),
        (f"{{number: revenue_today, before: revenue_yesterday, {METRICS}}}", "before and days belong together"),
        (f"{{number: orders_7d, {PRODUCTS}}}", "product_performance has several rows; expected a mart with one row"),
        (f"{{number: order_count, {DAILY}}}", "daily_sales_by_region has days; expected days, and no before"),
        (f"{{number: nothing, {METRICS}}}", "'nothing' is no number of key_metrics; expected one of orders_today"),
        (f"{{table: {{colour: C}}, {PRODUCTS}}}", r"table\.colour: no such column; expected some of product_id"),
        (f"{{table: {{category: C}}, order: colour, {PRODUCTS}}}", "order: no column 'colour'"),
        (f"{{number: revenue_today, lines: x, {METRICS}}}", "exactly one of number, lines, bars, table"),
        (f"{{number: revenue_today, by: as_of, {METRICS}}}", r"number takes before, days; found \['by'\]"),
        ("{number: x, mart: elsewhere, title: T}", "mart: no mart 'elsewhere'; expected one of daily_sales_by_region"),
        # What is written is put into a query, so it must be one expression over the mart and nothing else.
        (f"{{bars: COUNT(*), by: category, where: '1=1; DROP TABLE x', {PRODUCTS}}}", "expected one SQL expression"),
        (f"{{bars: COUNT(*), by: category, where: (SELECT 1) = 1, {PRODUCTS}}}", r"SELECT 1\)? is not allowed"),
        (f"{{bars: COUNT(*), by: 'category -- x', {PRODUCTS}}}", ""),
        (f"{{bars: COUNT(*), by: 'category) FROM ops.health', {PRODUCTS}}}", "not readable as an SQL expression"),
        (f"{{bars: COUNT(*), by: '''${{environment}}''', {PRODUCTS}}}", r"without \$ and ;"),
        (f"{{bars: 'ROW_NUMBER() OVER ()', by: category, {PRODUCTS}}}", "is not allowed"),
        (f"{{bars: '*', by: category, {PRODUCTS}}}", "expected one SQL expression|is not allowed"),
    ],
)
def test_a_panel(tmp_path: Path, panel: str, said: str) -> None:
    found = mistakes(tmp_path, f"title: D\nrows:\n- title: R\n  panels:\n  - {panel}\n")
    assert re.search(said, found) if said else not found, found
    assert not found or found.startswith(f"{tmp_path}/dashboards/d.yaml: rows.0.panels.0")


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ("count: {mart: product_performance, where: current_stock < 3, by: category}", ""),
        ("weekday: {mart: daily_sales_by_region, column: order_count}", ""),
        ("weekday: {mart: daily_sales_by_region, column: avg_order_value}", "column that can be added up: order_count"),
        ("weekday: {mart: key_metrics, column: revenue_today}", "key_metrics has no days"),
        ("count: {mart: product_performance, where: pieces < 3}", "no column pieces"),
        ("count: {mart: product_performance, where: current_stock < 3, by: colour}", "no column 'colour'"),
        ("count: {mart: elsewhere, where: x < 3}", "no mart 'elsewhere'"),
        ("severity: page", "an alert says exactly one of count, weekday"),
    ],
)
def test_an_alert(tmp_path: Path, alert: str, said: str) -> None:
    text = f"title: D\nrows: [{{title: R, panels: [{{number: revenue_today, {METRICS}}}]}}]\n"
    found = mistakes(tmp_path, f"{text}alerts:\n  one:\n    title: A\n    summary: S\n    runbook: B\n    {alert}\n")
    assert re.search(said, found) if said else not found, found


def test_a_title_stands_once_and_a_choice_is_a_dimension(tmp_path: Path) -> None:
    panel = f"{{number: revenue_today, {METRICS}}}"
    found = mistakes(tmp_path, f"title: D\nchoose: [category]\nrows: [{{title: R, panels: [{panel}, {panel}]}}]\n")
    assert "rows: several panels are called 'T'; expected each title once" in found
    assert "choose: 'category' is no column of a mart with days; expected some of ['region']" in found


def test_a_file_of_another_name_is_not_left_out_silently(tmp_path: Path) -> None:
    assert "d.yml: not read; expected dashboards <name>.yaml here" in mistakes(tmp_path, "title: D", name="d.yml")


@pytest.mark.parametrize("name", ["health", "pipeline-health", "mart-sales", "Sales", "sales 1"])
def test_a_name_that_is_taken_or_no_name_is_refused(tmp_path: Path, name: str) -> None:
    assert f"{name}.yaml: not a name for a dashboard; expected lower-case" in mistakes(tmp_path, "x: 1", f"{name}.yaml")


def test_the_shops_file_names_all_its_marts(tmp_path: Path) -> None:
    shutil.copytree(Path(domain_folder("ecommerce")) / "dashboards", tmp_path / "dashboards")
    (sales,) = load_dashboards(replace(DOMAIN, folder=tmp_path), MARTS.values()).values()
    assert set(sales.marts) == set(MARTS)
