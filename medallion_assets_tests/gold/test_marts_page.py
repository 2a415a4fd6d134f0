"""The examples of docs/marts.md load and compute what the page says."""

from __future__ import annotations

import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

from medallion_assets.contracts.loader import EXAMPLE_DOMAIN, domain_folder
from medallion_assets.testing import open_pipeline
from medallion_assets_tests.fixtures.chain import write_mart

PAGE = Path(__file__).parents[2] / "docs" / "marts.md"


def test_the_marts_over_the_example_domain_of_the_page(tmp_path: Path) -> None:
    _, section = PAGE.read_text("utf-8").split("## Marts over marts\n")
    blocks = re.findall(r"```(?:sql|yaml)\n(.*?)```", section, re.DOTALL)[:4]
    domain = Path(shutil.copytree(domain_folder(EXAMPLE_DOMAIN), tmp_path / "example"))
    write_mart(domain, "monthly_orders", *blocks[:2])
    write_mart(domain, "daily_average", *blocks[2:])
    with open_pipeline(domain, tmp_path) as pipeline:
        for number, (day, amount) in enumerate(
            [("2026-03-01", "1.00"), ("2026-03-01", "2.01"), ("2026-03-31", "3.00")]
        ):
            order = {"CustomerID": "c1", "Amount": Decimal(amount), "OrderedAt": f"{day}T10:00:00Z"}
            pipeline.put("Orders", {"OrderID": f"o{number}", **order})
        pipeline.run()
        assert pipeline.query("SELECT month, order_count, revenue FROM gold.monthly_orders") == [
            {"month": date(2026, 3, 1), "order_count": 3, "revenue": Decimal("6.01")}
        ]
        pipeline.delete("Orders", {"OrderID": "o2"})
        pipeline.run()
        assert pipeline.query("SELECT order_date, average FROM gold.daily_average") == [
            {"order_date": date(2026, 3, 1), "average": Decimal("1.51")}
        ]
