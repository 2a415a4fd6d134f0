"""The Java on this machine: which JDKs there are, and the newest that an engine runs on.

`python -m medallion_assets_tests.real_engines.java` says in one line what is missing for these tests, and ends with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SPARK: frozenset[int] = frozenset({8, 11, 17})
"""The versions of Java that Spark 3.5 runs on."""
TRINO: frozenset[int] = frozenset(range(24, 100))
"""The versions of Java that Trino 476 runs on."""

_FOLDERS = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
)


class Java(NamedTuple):
    """A Java home, and its version: 8, 17, 25."""

    version: int
    home: Path

    @property
    def executable(self) -> Path:
        """The command `java`."""
        return self.home / "bin" / "java"


class JavaMissing(Exception):
    """No Java that the engine runs on was found."""


def find_java(versions: frozenset[int], engine: str, env: Mapping[str, str] = os.environ) -> Java:
    """Return the newest Java on this machine that is one of `versions`. Raises JavaMissing."""
    found = set(list_java(env))
    fitting = [java for java in found if java.version in versions]
    if not fitting:
        seen = ", ".join(str(version) for version in sorted({java.version for java in found})) or "none"
        raise JavaMissing(
            f"{engine} needs Java {_describe(versions)}; found: {seen}. Install one, or set JAVA_HOME to it."
        )
    return max(fitting)


def list_java(env: Mapping[str, str] = os.environ) -> Iterator[Java]:
    """Return every Java named by a variable JAVA_HOME or JAVA_HOME_*, on the PATH, or in a usual folder."""
    homes = [Path(value) for name, value in sorted(env.items()) if name == "JAVA_HOME" or name.startswith("JAVA_HOME_")]
    if command := shutil.which("java", path=env.get("PATH", "")):
        homes.append(Path(command).resolve().parent.parent)
    for pattern in _FOLDERS:
        folder = Path(pattern).expanduser()
        anchor = Path(folder.anchor)
        homes += sorted(anchor.glob(str(folder.relative_to(anchor))))
    for home in homes:
        if (home / "bin" / "java").exists() and (version := _version(home)):
            yield Java(version, home.resolve())


def _version(home: Path) -> int | None:
    """Return the version that the file `release` of a Java home tells: 8 of "1.8.0_412", 25 of "25.0.3"."""
    release = home / "release"
    if not release.is_file():
        return None
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(errors="replace"), re.MULTILINE)
    return int(match[1]) if match else None


def _describe(versions: frozenset[int]) -> str:
    if versions == TRINO:
        return f"{min(versions)} or newer"
    return " or ".join(str(version) for version in sorted(versions))


def missing(env: Mapping[str, str] = os.environ) -> str | None:
    """Return what these tests need and this machine lacks, as a sentence, or None."""
    try:
        find_java(SPARK, "Spark 3.5", env)
        find_java(TRINO, "Trino 476", env)
    except JavaMissing as why:
        return str(why)
    if not shutil.which("mvn", path=env.get("PATH", "")):
        return "Maven, which downloads the engines, was not found: there is no `mvn` on the PATH. Install it."
    return None


if __name__ == "__main__":
    if sentence := missing():
        sys.exit(sentence)
