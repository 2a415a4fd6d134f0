"""The generated files are what the code makes."""

from __future__ import annotations

from grafana.files import FOLDER, generated


def test_the_files_are_what_the_code_makes() -> None:
    made = generated()
    there = {
        file.relative_to(FOLDER)
        for folder in ("dashboards", "provisioning")
        for file in (FOLDER / folder).rglob("*")
        if file.is_file()
    }
    assert there == set(made), "run make dashboards, and remove files that nothing generates"
    for path, text in made.items():
        assert (FOLDER / path).read_text(encoding="utf-8") == text, f"{path} differs: run make dashboards"
