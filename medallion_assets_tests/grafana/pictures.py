"""`make pictures`: draws each dashboard over a shop's lake with Grafana's own components, in headless Chromium.

Belongs here: queries, bundling, one screenshot per dashboard. What draws is `grafana/pictures/draw.tsx`. Needs npm and
Chromium; `make test` does not run it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from grafana.files import FOLDER
from medallion_assets.engines.embedded import Embedded
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.local.emulator import REGION
from medallion_assets.local.stackfile import running_stack
from medallion_assets.settings import Settings
from medallion_assets_tests.grafana import shop
from medallion_assets_tests.grafana.athena import Range, expand
from medallion_assets_tests.grafana.frames import frame

TOOL = FOLDER / "pictures"
IMAGES = FOLDER.parent / "docs" / "images"
RANGES = {"now-30d": timedelta(days=30), "now-6h": timedelta(hours=6)}
DEMO_RANGES = {"now-30d": timedelta(days=30), "now-6h": timedelta(minutes=15)}
"""By where a dashboard's range begins; a demo has not run for hours."""

CELL_HEIGHT, HEADER = 38, 64
"""Pixels, as in draw.tsx."""


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(prog="make pictures", description=__doc__)
    parser.add_argument("--of-demo", type=Path, help="the folder a demo runs in, instead of the tests' shop")
    parser.add_argument("names", nargs="*", help="names of dashboards; all if none is said")
    given = parser.parse_args()
    demo: Path | None = given.of_demo
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("make pictures needs Chromium, and found neither chromium nor google-chrome.")
    _bundle()
    _check_types()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _lake(demo, Path(folder)) as lake, Embedded(lake) as engine:
        engine.show_published()
        for file in sorted((FOLDER / "dashboards").glob("*.json")):
            if given.names and file.stem not in given.names:
                continue
            dashboard = json.loads(file.read_text(encoding="utf-8"))
            page = Path(folder) / f"{file.stem}.html"
            page.write_text(_page(engine, dashboard, shop.utc_now(), DEMO_RANGES if demo else RANGES), encoding="utf-8")
            _screenshot(chromium, page, IMAGES / f"{file.stem}.png", _height(dashboard))


def _lake(demo: Path | None, folder: Path) -> Lake:
    """The running demo's lake, or one made for the pictures."""
    if demo is not None:
        running = running_stack(demo / ".medallion")
        if running is None:
            sys.exit(f"No demo runs in {demo}: start one there with medallion demo.")
        os.environ.update(running)
        return Lake.open(Settings.load().lake())
    lake = Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION))
    shop.fill(lake, folder / "bronze", shop.utc_now())
    return lake


def _bundle() -> None:
    if not (TOOL / "node_modules" / "@grafana").is_dir():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=TOOL, check=True)
    subprocess.run(
        [
            *("npx", "esbuild", "draw.tsx", "--bundle", "--minify", "--outfile=node_modules/draw.js"),
            '--define:process.env.NODE_ENV="production"',
            # Their ES modules import the defaults of CommonJS ones as Node does not.
            *(f"--alias:@grafana/{name}=./node_modules/@grafana/{name}/dist/cjs/index.cjs" for name in ("ui", "data")),
            *("--loader:.ttf=empty", "--log-level=error"),
        ],
        cwd=TOOL,
        check=True,
    )


def _check_types() -> None:
    """Have TypeScript hold the dashboards against @grafana/schema; it prints what is wrong."""
    lines = [
        "import type { Dashboard } from '@grafana/schema';",
        "// In JSON a text stands for the member of a string enum.",
        "type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T",
        "  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;",
    ]
    for file in sorted((FOLDER / "dashboards").glob("*.json")):
        dashboard = json.loads(file.read_text(encoding="utf-8"))
        for variable in dashboard["templating"]["list"]:
            for name in ("auto", "auto_min", "auto_count"):  # the SDK writes them on all variables; one kind has them
                variable.pop(name, None)
        for annotation in dashboard["annotations"]["list"]:
            del annotation["target"]  # the types know the query of Grafana's own data source only
        lines.append(f"export const {file.stem.replace('-', '_')}: Plain<Dashboard> = {json.dumps(dashboard)};")
    check = TOOL / "node_modules" / "check.ts"
    check.write_text("\n".join(lines), encoding="utf-8")
    options = ("--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext")
    subprocess.run(["npx", "tsc", *options, "--target", "es2022", str(check)], cwd=TOOL, check=True)


def _page(engine: Embedded, dashboard: dict[str, Any], now: datetime, ranges: Mapping[str, timedelta]) -> str:
    start = now - ranges[dashboard["time"]["from"]]
    variables = {
        variable["name"]: engine.run(variable["query"]["rawSQL"], today=now.date())[0].to_pylist()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    frames = {
        panel["id"]: [
            frame(
                engine.run(expand(target["rawSQL"], Range(start, now), variables), today=now.date()),
                series=target["format"] == 0,
            )
            for target in panel["targets"]
        ]
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }
    shown = {
        "dashboard": dashboard,
        "frames": frames,
        "from": int(start.timestamp() * 1000),
        "to": int(now.timestamp() * 1000),
        "variables": [
            f"{variable['label']}: {'dev' if variable['type'] == 'datasource' else 'All'}"
            for variable in dashboard["templating"]["list"]
            if variable["type"] in {"datasource", "query"}
        ]
        + [f"{start:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC"],
    }
    data = json.dumps(shown, ensure_ascii=False).replace("</", "<\\/")
    script, style = ((TOOL / "node_modules" / name).as_uri() for name in ("draw.js", "draw.css"))
    return (
        f'<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="{style}"><div id="root"></div>'
        f'<script>window.shown = {data}</script><script src="{script}"></script>'
    )


def _height(dashboard: dict[str, Any]) -> int:
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    return int(rows) * CELL_HEIGHT + HEADER


def _screenshot(chromium: str, page: Path, image: Path, height: int) -> None:
    subprocess.run(
        [
            *(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--allow-file-access-from-files", "--virtual-time-budget=15000", f"--window-size=1600,{height}"),
            *(f"--screenshot={image}", page.as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )


if __name__ == "__main__":
    main()
