"""What comes from Maven Central: pinned by version and SHA-256, downloaded once by Maven into the user's cache.

Maven itself downloads, so the user's settings.xml (mirror, proxy, credentials) is in force, and it compares each file
with the repository's checksum. Belongs here: which files, and getting them. Does not belong here: running them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from medallion_assets.local.user_cache import cache_folder, hold_alone

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get"


class DownloadFailed(Exception):
    """Maven did not bring a file, or brought another one than the pinned one."""


@dataclass(frozen=True)
class Artifact:
    """One file of Maven Central."""

    group: str
    name: str
    version: str
    type: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its file name in a Maven repository."""
        return f"{self.name}-{self.version}.{self.type}"


TRINO_SERVER = Artifact(
    "io.trino", "trino-server", "476", "tar.gz", "cfd5accde17e8ebd251eeeb78aed1f490e77bb3a164d95a0f454bf8a7c1cbd3f"
)
SQLITE_JDBC = Artifact(
    "org.xerial", "sqlite-jdbc", "3.51.3.0", "jar", "3684ac5e9bd893cbe68eb0ac1708343f66be829b1d2b5ab317e783d05acd5aef"
)
ICEBERG_SPARK = Artifact(
    "org.apache.iceberg",
    "iceberg-spark-runtime-3.5_2.12",
    "1.12.0",
    "jar",
    "8dd8c90e54ed1a20f2461309d047a255ee56382eb7c0a46162b27a4936fd86dc",
)


def fetch(artifact: Artifact) -> Path:
    """Return the artifact's file, downloaded on first use. Safe in several processes. Raises DownloadFailed."""
    kept = cache_folder() / "maven" / artifact.file_name
    if not kept.exists():
        with hold_alone(kept, lambda: _report(f"Another process is downloading {kept.name}; waiting for it ...")):
            if not kept.exists():
                _download(artifact).replace(kept)
    return kept


def trino_home() -> Path:
    """Return Trino's folder: its server, its Iceberg plugin with SQLite's JDBC driver, and no other plugin.

    The archive of 820 MB unpacks to 896 MB, of which Iceberg needs a fifth; neither is kept. Raises DownloadFailed.
    """
    home = cache_folder() / f"trino-{TRINO_SERVER.version}-sqlite-{SQLITE_JDBC.version}"
    if not home.exists():
        with hold_alone(home, lambda: _report("Another process is installing Trino; waiting for it ...")):
            if not home.exists():
                _unpack_trino(_download(TRINO_SERVER), home)
    return home


def _unpack_trino(archive: Path, home: Path) -> None:
    _report(f"Unpacking {archive.name} into {home}. This happens once.")
    folder = home.with_name(f"{home.name}.unpacking")
    shutil.rmtree(folder, ignore_errors=True)
    # Files that several plugins have are hard links to the first of them, so all is unpacked before a plugin goes.
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    [server] = folder.iterdir()
    for plugin in (server / "plugin").iterdir():
        if plugin.name != "iceberg":
            shutil.rmtree(plugin)
    shutil.copy(fetch(SQLITE_JDBC), server / "plugin" / "iceberg")
    server.replace(home)
    shutil.rmtree(folder)
    archive.unlink()


def _download(artifact: Artifact) -> Path:
    """Return the artifact's file in a Maven repository of our own, which is in the user's cache."""
    maven = shutil.which("mvn")
    if maven is None:
        raise DownloadFailed("Maven, which downloads the engines, was not found: there is no `mvn` on the PATH.")
    repository = cache_folder() / "maven" / "repository"
    repository.mkdir(parents=True, exist_ok=True)
    coordinates = f"{artifact.group}:{artifact.name}:{artifact.version}:{artifact.type}"
    _report(f"Downloading {coordinates} with Maven. This happens once.")
    done = subprocess.run(
        [
            *(maven, "--batch-mode", "--quiet", "--strict-checksums", f"-Dmaven.repo.local={repository}", _PLUGIN),
            *(f"-Dartifact={coordinates}", "-Dtransitive=false"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        cwd=repository,  # a folder without a pom.xml
        check=False,
    )
    if done.returncode != 0:
        raise DownloadFailed(f"Maven did not bring {coordinates}: it ended with code {done.returncode}; see above.")
    file = repository.joinpath(*artifact.group.split("."), artifact.name, artifact.version, artifact.file_name)
    with file.open("rb") as content:
        seen = hashlib.file_digest(content, "sha256").hexdigest()
    if seen != artifact.sha256:
        file.unlink()
        raise DownloadFailed(
            f"{coordinates} has the SHA-256 {seen}, not {artifact.sha256} as pinned in {Path(__file__).name}. The file "
            "was removed. Find out who changed it before you change the pin."
        )
    return file


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
