"""Write a new project: a domain that runs as it is, its tests, and the files that Dagster, editors and CI need.

Belongs here: which files a project has, and where each comes from. Does not belong here: the text of the files
(`templates`), the command (`cli`).
"""

from __future__ import annotations

import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

import medallion_assets.contracts
import medallion_assets.local
from medallion_assets.contracts.loader import EXAMPLE_DOMAIN, domain_folder, load_domain
from medallion_assets.errors import ProjectExists
from medallion_assets.gold.spec import load_marts

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
"""Names that can be the name of a folder, of a Python distribution and of a team."""

_TEMPLATES: Final = Path(__file__).with_name("templates")
_PROJECT: Final = {
    "README.md": "README.md",
    "pyproject.toml.in": "pyproject.toml",
    "gitignore": ".gitignore",
    "env.example": ".env.example",
    "ci.yml": ".github/workflows/ci.yml",
    "workspace.yaml": "workspace.yaml",
    "tests/test_domain.py": "tests/test_domain.py",
}
"""The templates that every project gets, and the file that each becomes."""

_OTHERS: Final = {
    Path(medallion_assets.local.__file__).with_name("dagster.yaml"): "dagster.yaml",
    **{
        Path(medallion_assets.contracts.__file__).with_name(f"{kind}.schema.json"): f"schemas/{kind}.schema.json"
        for kind in ("contract", "mart", "workload", "dashboard")
    },
}
"""Files of the package itself that every project gets a copy of."""

_DOMAIN: Final = (
    "domain.yaml",
    "tables/*.yaml",
    "marts/*/mart.yaml",
    "marts/*/query.sql",
    "dashboards/*.yaml",
    "workload.yaml",
)
_SCHEMA_LINE: Final = re.compile(r"(?<=\$schema=)\S*/(?=(?:contract|mart|workload|dashboard)\.schema\.json)")


def write_project(parent: Path, name: str, *, source: str = EXAMPLE_DOMAIN) -> list[str]:
    """Write the project `name` as a folder below `parent`; return the paths of its files, relative to that folder.

    The domain is a copy of `source`: the name of a shipped domain, or a folder. Either all files are written, or none.
    Raises ProjectExists if the folder is not empty, ContractError or MartError if `source` is no domain, and
    ValueError if `name` is not like NAME.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name for a project: expected lower-case letters and digits, starting with a letter, "
            "with single - or _ between them"
        )
    target = parent / name
    _refuse_existing(target)
    origin = domain_folder(source)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as temporary:
        folder = Path(temporary) / name
        _copy_domain(origin, folder)
        _write_surroundings(folder, name)
        if origin == domain_folder(EXAMPLE_DOMAIN):
            _copy(_TEMPLATES / "example" / "test_daily_orders.py", folder / "tests" / "test_daily_orders.py")
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        _refuse_existing(target)
        folder.rename(target)
    return files


def _refuse_existing(target: Path) -> None:
    """Raise ProjectExists unless `target` does not exist or is an empty folder."""
    if target.is_dir() and not target.is_symlink():
        found = sorted(entry.name for entry in target.iterdir())
        if not found:
            return
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ProjectExists(
            f"The folder {target} is not empty: it holds {', '.join(found[:3])}{more}. Nothing was written."
        )
    if target.exists() or target.is_symlink():
        raise ProjectExists(f"{target} is there already, and it is no folder. Nothing was written.")


def _copy_domain(origin: Path, folder: Path) -> None:
    for path in sorted(path for pattern in _DOMAIN for path in origin.glob(pattern)):
        relative = path.relative_to(origin)
        schemas = "../" * (len(relative.parts) - 1) + "schemas/"
        _write(folder / relative, _SCHEMA_LINE.sub(schemas, path.read_text("utf-8")))


def _write_surroundings(folder: Path, name: str) -> None:
    domain = load_domain(str(folder))
    shown = [f"gold.{mart.name}" for mart in load_marts(domain)] or [f"silver.{table}" for table in domain.by_name]
    values = {"name": name, "requires": _requires(), "query": f"SELECT * FROM {shown[0]} LIMIT 10"}
    for template, file in _PROJECT.items():
        text = (_TEMPLATES / "project" / template).read_text("utf-8")
        for token, value in values.items():
            text = text.replace(f"@{token}@", value)
        _write(folder / file, text)
    for path, file in _OTHERS.items():
        _copy(path, folder / file)


def _copy(path: Path, to: Path) -> None:
    _write(to, path.read_text("utf-8"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _requires() -> str:
    """Return the versions of this package that a new project requires: from this minor version to before the next."""
    major, minor, *_ = version("medallion-assets").split(".")
    return f">={major}.{minor},<{major}.{int(minor) + 1}"
