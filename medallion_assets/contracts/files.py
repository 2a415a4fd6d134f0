"""Find the files of a domain's folder, and describe each file that looks like one of them but is not read.

Belongs here: names and endings of files. Does not belong here: what is in them.

Ignored are hidden files, copies that editors and tools leave (`~`, `.bak`, `.orig`, `.rej`, `.swp`, `#...#`),
folders that begin with an underscore, and notes (`.md`, `.txt`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_YAML: Final = frozenset({".yaml", ".yml"})
_COPIES: Final = (".bak", ".orig", ".rej", ".swp", ".tmp", "~", "#")
_NOTES: Final = frozenset({".md", ".txt", ".rst"})
_MART: Final = ("mart.yaml", "query.sql")
_FOLDERS: Final = frozenset({"tables", "marts", "dashboards", "live", "queries"})


def contract_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the contract files of a domain, sorted, and a mistake for each other file that seems to be one."""
    mistakes = list(_other_names(folder))
    paths = []
    for path in _entries(folder / "tables"):
        if path.is_dir():
            if path.suffix.lower() in _YAML or any(inner.suffix.lower() in _YAML for inner in path.rglob("*")):
                mistakes.append(f"{path}: a folder, which is not read; expected one file <table>.yaml for each table")
        elif path.suffix == ".yaml":
            paths.append(path)
        elif path.suffix.lower() in _YAML:
            mistakes.append(f"{path}: not read because of its ending; name it {path.stem}.yaml")
        else:
            mistakes.append(f"{path}: not read; expected contracts <table>.yaml here and nothing else")
    return paths, mistakes


def mart_folders(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the folders of a domain's marts, sorted, and a mistake for each file that no mart would read."""
    folders, mistakes = [], []
    for path in _entries(folder / "marts"):
        if not path.is_dir():
            mistakes.append(f"{path}: not read; expected a folder {path.stem}/ with mart.yaml and query.sql")
        elif not path.name.startswith("_"):
            folders.append(path)
    return folders, mistakes


def dashboard_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the dashboard files of a domain, sorted, and a mistake for each other file that seems to be one."""
    return _yaml_files(folder / "dashboards", "dashboards")


def counter_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files of a domain's live counters, sorted, and a mistake for each other file that seems to be one."""
    return _yaml_files(folder / "live", "counters")


def _yaml_files(folder: Path, what: str) -> tuple[list[Path], list[str]]:
    paths, mistakes = [], []
    for path in _entries(folder):
        if path.is_file() and path.suffix == ".yaml":
            paths.append(path)
        else:
            mistakes.append(f"{path}: not read; expected {what} <name>.yaml here and nothing else")
    return paths, mistakes


def query_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the SQL files of a domain's saved queries, sorted, and a mistake for each other file among them."""
    entries = _entries(folder / "queries")
    paths = [path for path in entries if path.is_file() and path.suffix == ".sql"]
    mistakes = []
    for path in entries:
        if path not in paths and not (path.is_file() and path.suffix == ".yaml" and path.with_suffix(".sql") in paths):
            mistakes.append(f"{path}: not read; expected <name>.sql and <name>.yaml here and nothing else")
    for path in paths:
        if not path.with_suffix(".yaml").is_file():
            mistakes.append(f"{path.with_suffix('.yaml')}: no such file; a saved query is <name>.sql and <name>.yaml")
    return [path for path in paths if path.with_suffix(".yaml").is_file()], mistakes


def unread_mart_files(folder: Path) -> list[str]:
    """Return a mistake for each file in a mart's folder that is not read, and for each that is missing."""
    mistakes = []
    for path in _entries(folder):
        if path.name in _MART or path.name.startswith("_"):
            continue
        wanted = next((name for name in _MART if path.stem.lower() == name.partition(".")[0]), None)
        what = f"name it {wanted}" if wanted else "expected mart.yaml and query.sql and nothing else"
        reason = "because of its ending" if wanted and path.stem == wanted.partition(".")[0] else "because of its name"
        mistakes.append(f"{path}: not read {reason}; {what}")
    for name in _MART:
        if not (folder / name).is_file():
            mistakes.append(f"{folder / name}: no such file; a mart is a folder with mart.yaml and query.sql")
    return mistakes


def _other_names(folder: Path) -> Iterator[str]:
    """Yield a mistake for each file or folder next to domain.yaml whose name is almost one that is read."""
    for path in _entries(folder):
        stem, is_yaml = path.stem.lower(), path.suffix.lower() in _YAML and path.is_file()
        if is_yaml and stem in {"domain", "workload"} and path.name != f"{stem}.yaml":
            yield f"{path}: not read because of its ending; name it {stem}.yaml"
        elif path.is_dir() and path.name.lower() in _FOLDERS and path.name != path.name.lower():
            yield f"{path}: not read because of its name; name it {path.name.lower()}"


def _entries(folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted by name, without ignored ones; none if there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "#", "__pycache__"))
        and not path.name.endswith(_COPIES)
        and not (path.suffix.lower() in _NOTES and path.is_file())
    )
