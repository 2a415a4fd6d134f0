"""The contracts of a domain as a commit of its Git repository has them.

Belongs here: reading a commit. Does not belong here: comparing (changes).
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.errors import ContractError, SettingsError


def committed_domain(domain: Domain, revision: str) -> Domain:
    """Return the domain as it is in a commit; without tables if the commit does not have it.

    Raises SettingsError if the folder is in no repository or there is no such commit, and ContractError for contracts
    that cannot be read.
    """
    folder = domain.folder
    if not _git(folder, "rev-parse", "--is-inside-work-tree"):
        raise SettingsError(
            f"{folder} is in no Git repository, or git is not installed. Compare with the lake: `--lake`."
        )
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not commit:
        raise SettingsError(
            f"{revision!r} is no commit of the repository of {folder}. Expected a branch, a tag or a hash; in CI, "
            "fetch it first."
        )
    names = _git(folder, "ls-tree", "--name-only", commit.decode().strip()) or b""
    if "domain.yaml" not in names.decode().splitlines():
        return replace(domain, tables=())
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.name
        archive = _git(folder, "archive", "--format=tar", commit.decode().strip(), ".")
        with tarfile.open(fileobj=io.BytesIO(archive or b"")) as packed:
            packed.extractall(copy, filter="data")
        try:
            return load_domain(str(copy))
        except ContractError as wrong:
            text = str(wrong).replace(str(copy.resolve()), f"{revision}:{folder.name}")
            raise ContractError(f"The contracts of {revision} cannot be read:\n{text}") from wrong


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Return what git says in the folder; None if it refuses, or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the revision stands after --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
