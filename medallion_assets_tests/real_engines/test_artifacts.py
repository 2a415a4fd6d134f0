"""A file that is not the pinned one is refused and removed. No Maven is needed: a script takes its place."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from medallion_assets_tests.real_engines.artifacts import Artifact, DownloadFailed, fetch

CONTENT = b"some classes"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a Maven that brings CONTENT whatever it is asked for and counts its calls."""
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text(
        "#!/bin/sh\n"
        'for each in "$@"; do case $each in -Dmaven.repo.local=*) to=${each#*=}/org/some/lib/1 ;; esac; done\n'
        f"mkdir -p $to && printf '{CONTENT.decode()}' > $to/lib-1.jar && echo call >> {tmp_path}/calls\n"
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}:/usr/bin:/bin")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_file_is_downloaded_once(cache: Path) -> None:
    artifact = Artifact("org.some", "lib", "1", "jar", hashlib.sha256(CONTENT).hexdigest())
    assert fetch(artifact).read_bytes() == fetch(artifact).read_bytes() == CONTENT
    assert (cache / "calls").read_text() == "call\n"


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(cache: Path) -> None:
    artifact = Artifact("org.some", "lib", "1", "jar", hashlib.sha256(b"other classes").hexdigest())
    with pytest.raises(DownloadFailed, match=r"lib:1:jar has the SHA-256 \w+, not "):
        fetch(artifact)
    assert not list(cache.glob("cache/**/*.jar"))


def test_a_failed_download_says_which(cache: Path) -> None:
    (cache / "bin" / "mvn").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(DownloadFailed, match="lib:1:jar: it ended with code 3"):
        fetch(Artifact("org.some", "lib", "1", "jar", ""))
