"""What the documents name exists: paths, commands with their options, make targets, and what they link to.

Belongs here: names. Does not belong here: whether a page is true; links inside docs/, which `make docs` checks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.core import TyperGroup

from medallion_assets.cli.main import app

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [
    *sorted(ROOT.glob("*.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "cli.md"),
]
COMMANDS: Final = typer.main.get_command(app)

_PATH: Final = re.compile(
    r"`((?:\.github|medallion_assets|medallion_assets_tests|infra|grafana|docs|requirements)/[^`\s]*)`"
)
_MAKE: Final = re.compile(r"\bmake ([a-z][a-z-]+)")
_LINK: Final = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
_COMMAND: Final = re.compile(r"(?:`|^\$ |\"|bin/)(medallion [a-z][^`|\n]*)", flags=re.MULTILINE)

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))


@documents
def test_paths_exist(document: Path) -> None:
    for path in _PATH.findall(document.read_text(encoding="utf-8")):
        if "<" not in path and "node_modules" not in path:
            assert any(ROOT.glob(path.rstrip("/"))), f"{document.name} names {path}, which does not exist"


@documents
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for code in _code(document):
        for target in _MAKE.findall(code):
            assert target in targets, f"{document.name} says `make {target}`; the Makefile has no such target"


@documents
def test_commands_and_options_exist(document: Path) -> None:
    for written in _COMMAND.findall(document.read_text(encoding="utf-8")):
        words = shlex.split(written.replace("…", "...").split("#")[0].rstrip("\\"), posix=False)[1:]
        command = COMMANDS
        while isinstance(command, TyperGroup) and words and re.fullmatch(r"[a-z-]+", words[0]):
            name = words.pop(0)
            assert name in command.commands, f"{document.name} says `{written}`; there is no command {name}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in words:
            option = word.split("=")[0]
            assert not option.startswith("--") or option in known, (
                f"{document.name} says `{written}`; no option {option}"
            )


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_of_the_root_documents_lead_somewhere(document: Path) -> None:
    for target in _LINK.findall(document.read_text(encoding="utf-8")):
        assert "://" in target or (ROOT / target).exists(), f"{document.name} links to {target}, which does not exist"


def _code(document: Path) -> Iterator[str]:
    """Yield the code of a document: its fenced blocks, and what stands between backticks in its prose."""
    for part, text in enumerate(document.read_text(encoding="utf-8").split("```")):
        yield from [text] if part % 2 else re.findall(r"`([^`\n]+)`", text)
