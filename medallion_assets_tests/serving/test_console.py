"""`/console` in a real browser: tables, a SELECT, completion, history, and code that runs as it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from medallion_assets_tests.fixtures.browser import browser
from medallion_assets_tests.serving.conftest import Served

pytestmark = pytest.mark.slow

__all__ = ["browser"]

SQL = "SELECT order_id, 'it''s \"ö\"' AS text FROM silver.orders ORDER BY 1 LIMIT 2"


def _run_code(page: Page, language: str, folder: Path) -> str:
    """Run a snippet as somebody pastes it into a file or a shell; return what it prints."""
    code = page.locator(f'pre[data-language="{language}"]').text_content() or ""
    names = {"curl": "ask.sh", "Python": "ask.py", "JavaScript": "ask.mjs"}
    file = folder / names[language]
    file.write_text(code, encoding="utf-8")
    program = {"curl": "sh", "Python": sys.executable, "JavaScript": "node"}[language]
    return subprocess.run([program, str(file)], capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_select_is_completed_run_kept_and_shown_as_code(served: Served, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1366, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{served.client.base_url}/console")
    page.locator('[data-table="silver.orders"] summary').click()
    expect(page.locator('[data-table="silver.orders"] li').first).to_contain_text("order_id varchar")
    editor = page.locator("#sql")
    editor.fill("SELECT count(*) FROM silver.ord")
    editor.press("Tab")
    expect(editor).to_have_value("SELECT count(*) FROM silver.orders")
    editor.press("Control+Enter")
    expect(page.locator("#result td")).to_have_text("40")
    expect(page.locator("#about")).to_contain_text("1 rows in")
    editor.fill("SELECT 9007199254740993 AS more_than_a_double")
    page.locator("#run").click()
    expect(page.locator("#result td")).to_have_text("9007199254740993")
    editor.fill("SELECT nothing FROM silver.orders")
    page.locator("#run").click()
    expect(page.locator("#about")).to_contain_text("nothing")
    editor.fill(SQL)
    page.locator("#run").click()
    expect(page.locator("#result tbody tr")).to_have_count(2)
    expected = served.ask(SQL).json()["rows"]
    assert expected[0][1] == 'it\'s "ö"'
    page.get_by_text("Use in code").click()
    for language in ("curl", "Python", *(["JavaScript"] if shutil.which("node") else [])):
        assert json.loads(_run_code(page, language, tmp_path))["rows"] == expected, language
    if go := shutil.which("go"):
        (tmp_path / "ask.go").write_text(page.locator('pre[data-language="Go"]').text_content() or "", "utf-8")
        ran = subprocess.run([go, "run", str(tmp_path / "ask.go")], capture_output=True, check=True, timeout=120)
        assert json.loads(ran.stdout)["rows"] == expected
    page.reload()
    expect(editor).to_have_value(SQL)
    page.get_by_text("History").click()
    expect(page.locator("#history li")).to_have_count(3)
    assert Axe().run(page).response["violations"] == []
    page.close()
    assert errors == []
