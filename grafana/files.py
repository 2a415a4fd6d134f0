"""The generated files: which there are and what is in them. What they say is the dashboards' and the alerts'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.health import health
from grafana.quality import quality
from grafana.sales import sales
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts

FOLDER: Final = Path(__file__).parent


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard of the shipped domain as Grafana's JSON, by file name without its ending."""
    domain = load_domain("ecommerce")
    marts = {mart.name: mart for mart in load_marts(domain)}
    assets = [
        *(f"{layer}/{contract.lake_name}" for layer in ("bronze", "silver") for contract in domain.tables),
        *(f"gold/{name}" for name in marts),
    ]
    made = {"sales": sales(marts), "pipeline-health": health(assets), "data-quality": quality(assets)}
    return {name: json.loads(json.dumps(each, cls=JSONEncoder)) for name, each in made.items()}


def generated() -> dict[Path, str]:
    """Every generated file below this folder with its text."""
    return {
        Path("dashboards") / f"{name}.json": json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, content in dashboards().items()
    }
