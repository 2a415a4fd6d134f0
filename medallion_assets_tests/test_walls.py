"""Which room may import which, and which libraries only some may. Imports inside functions and for types count, too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import medallion_assets

PACKAGE = Path(medallion_assets.__file__).parent
PURE = {"silver", "gold", "quality", "engines"}
BELOW = {"contracts", "capture", "lake"}
ALL = BELOW | PURE | {"ledger"}

ROOMS = {
    "contracts": set(),
    "capture": {"contracts"},
    "lake": {"contracts"},
    **dict.fromkeys(PURE, BELOW | PURE),
    "ledger": BELOW | {"silver"},
    "gold": ALL,
    "quality": ALL,
    "scheduling": BELOW | PURE,
    "health": ALL | {"repair"},
    "repair": ALL,
    "defs": ALL | {"settings", "definitions", "scheduling", "health", "repair"},
    "definitions": BELOW | PURE | {"defs"},
    "simulation": ALL | {"scheduling", "repair"},
    "cost": {"contracts"},
    "settings": {"lake"},
    "local": ALL | {"settings", "repair"},
    "cli": ALL | {"settings", "local", "scheduling", "simulation", "repair", "cost"},
    "serving": ALL | {"settings"},
}
"""What each room may import of the others; `errors` is everybody's."""

ONLY_IN = {
    "dagster": {"defs", "definitions"},
    "pyiceberg": {"lake", "ledger", "health", "local", "simulation", *PURE},
    "duckdb": {"lake", "ledger", "simulation", *PURE},
    "pyarrow": {"contracts", "lake", "ledger", "health", "local", "cli", "defs", "simulation", "repair", *PURE},
    "sqlglot": {"engines", "gold", "defs"},
    "arro3": {"capture"},
}
"""Libraries that only these rooms may import. The Lambda path (capture) has none of those that weigh."""

FILES = sorted(PACKAGE.rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(file: Path) -> None:
    here = room(file)
    if here in {"__init__", "errors"}:
        assert not [name for name in imports(file) if not name.startswith("__future__")]
        return
    for name in imports(file):
        library, _, rest = name.partition(".")
        if library == "medallion_assets":
            there = rest.partition(".")[0]
            assert there in ROOMS[here] | {here, "errors"} or not rest, f"{here} imports {name}"
        assert here in ONLY_IN.get(library, {here}), f"{here} imports {library}"


def test_the_scan_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("def f():\n    from dagster import asset\n")
    assert list(imports(file)) == ["dagster.asset"]


def test_silver_takes_no_capturing_from_capture() -> None:
    """What Bronze objects are called, where they lie, how they look and how far one has read; not how they are made."""
    for file in FILES:
        if room(file) in PURE:
            taken = {name.split(".")[2] for name in imports(file) if name.startswith("medallion_assets.capture.")}
            told = {"polled"} if room(file) == "quality" else set()
            assert taken <= {"naming", "store", "position", "envelope"} | told, file
        elif room(file) == "ledger":
            taken = {name.split(".")[2] for name in imports(file) if name.startswith("medallion_assets.capture.")}
            assert taken <= {"naming", "store", "position", "claim", "gaps", "polled"}, file


def test_the_lambda_path_loads_none_of_the_heavy_libraries() -> None:
    heavy = {"dagster", "pyiceberg", "duckdb", "pyarrow", "boto3", "pydantic"}
    code = f"import sys, medallion_assets.capture.handler; print(sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout.strip() == "[]"
