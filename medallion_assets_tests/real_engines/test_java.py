"""Which Java is taken, and what is said where none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from medallion_assets_tests.real_engines.java import SPARK, TRINO, Java, JavaMissing, find_java, list_java, missing


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only Javas are those in one folder."""
    monkeypatch.setattr("medallion_assets_tests.real_engines.java._FOLDERS", (f"{tmp_path}/jvm/*",))
    return tmp_path


def install(home: Path, version: str) -> None:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')


def test_the_newest_java_that_fits_is_taken(homes: Path) -> None:
    for name, version in (("a", "1.8.0_412"), ("b", "17.0.15"), ("c", "21"), ("d", "24.0.1"), ("e", "25.0.3")):
        install(homes / "jvm" / name, version)
    assert find_java(SPARK, "Spark 3.5", {}) == Java(17, homes / "jvm" / "b")
    assert find_java(TRINO, "Trino 476", {}) == Java(25, homes / "jvm" / "e")


def test_java_is_found_by_variable_and_on_the_path(homes: Path) -> None:
    for name, version in (("one", "11.0.2"), ("two", "17.0.1"), ("three", "25")):
        install(homes / name, version)
    env = {"JAVA_HOME": f"{homes}/one", "JAVA_HOME_17_X64": f"{homes}/two", "PATH": f"{homes}/three/bin"}
    assert {java.version for java in list_java(env)} == {11, 17, 25}


def test_what_is_no_java_home_is_passed_over(homes: Path) -> None:
    (homes / "jvm" / "empty").mkdir(parents=True)
    install(homes / "jvm" / "unknown", "early-access")
    assert list(list_java({"JAVA_HOME": f"{homes}/nowhere", "PATH": ""})) == []


def test_what_is_missing_is_said_in_one_line(homes: Path) -> None:
    assert (
        missing({"PATH": ""}) == "Spark 3.5 needs Java 8 or 11 or 17; found: none. Install one, or set JAVA_HOME to it."
    )
    install(homes / "jvm" / "a", "17.0.15")
    with pytest.raises(JavaMissing, match="Trino 476 needs Java 24 or newer; found: 17"):
        find_java(TRINO, "Trino 476", {"PATH": ""})
    install(homes / "jvm" / "b", "25")
    sentence = missing({"PATH": ""})
    assert sentence is not None and "`mvn`" in sentence
