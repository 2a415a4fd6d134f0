"""What a fresh interpreter loads. Which room may import which is in pyproject.toml, kept by `lint-imports`."""

from __future__ import annotations

import subprocess
import sys


def test_the_lambda_path_loads_none_of_the_heavy_libraries() -> None:
    heavy = {"dagster", "pyiceberg", "duckdb", "pyarrow", "boto3", "pydantic", "opentelemetry"}
    code = f"import sys, medallion_assets.capture.handler; print(sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout.strip() == "[]"
