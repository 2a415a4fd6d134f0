"""The emulator's virtual environment: installed on first use, kept in the user's cache, shared by all projects.

Belongs here: where it is, and installing it once with the user's own pip or uv, so from the user's own package index.
Does not belong here: running the emulator (`emulator`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from medallion_assets.errors import LocalStackError
from medallion_assets.local.user_cache import cache_folder, hold_alone

REQUIREMENTS = Path(__file__).with_name("emulator.txt")
"""The emulator and all it needs, pinned with hashes. `make lock` writes it from requirements/emulator.in."""

_COMPLETE = "complete"
_ADVICE = "or set MEDALLION_EMULATOR to the path of a `ministack` executable."


def emulator_command() -> Path:
    """Return the emulator's executable: the one MEDALLION_EMULATOR names, or the one in the cache.

    If the cache has none, install it and report the progress on stderr. It is safe in several processes at once: one
    installs, the others wait. Raises LocalStackError if MEDALLION_EMULATOR names no file or if installing fails.
    """
    if named := os.environ.get("MEDALLION_EMULATOR"):
        if not Path(named).exists():
            raise LocalStackError(f"MEDALLION_EMULATOR is {named!r}, and there is no such file. Correct or unset it.")
        return Path(named)
    folder = environment_folder()
    if not _is_complete(folder):
        with hold_alone(folder, lambda: _report("Another process is installing the local AWS; waiting for it ...")):
            if not _is_complete(folder):
                _install(folder)
    return _executable(folder)


def environment_folder() -> Path:
    """Return the environment's folder in the cache. Its name changes with the pins, the Python and the platform."""
    identity = [REQUIREMENTS.read_text("utf-8"), str(sys.implementation.cache_tag), sysconfig.get_platform()]
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]
    return cache_folder() / f"emulator-{digest}"


def _executable(folder: Path) -> Path:
    return folder / "bin" / "ministack"


def _is_complete(folder: Path) -> bool:
    """Return whether the last step of installing was reached, and the Python it was installed with is still there."""
    return (folder / _COMPLETE).exists() and (folder / "bin" / "python").exists()


def _install(folder: Path) -> None:
    installer = _installer(folder / "bin" / "python")
    _report(f"Installing the local AWS ({_pin()}, about 50 MB) into {folder}. This happens once.")
    venv.create(folder, clear=True, symlinks=True)
    site_settings = Path(sys.prefix) / "pip.conf"
    if site_settings.exists():  # an index that is configured for this environment alone
        shutil.copy(site_settings, folder)
    # Modules on PYTHONPATH would count as installed.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # The installer's progress is for the person who waits, so both of its outputs go to our stderr.
    done = subprocess.run(  # noqa: S603 - pip or uv, with arguments of our own
        [*installer, "--require-hashes", "-r", str(REQUIREMENTS)], stdout=2, stderr=2, env=env, check=False
    )
    if done.returncode != 0:
        raise LocalStackError(
            f"The local AWS ({_pin()}) was not installed: {Path(installer[0]).name} ended with code {done.returncode}, "
            f"and its lines above say why. Correct that and run this again, {_ADVICE}"
        )
    (folder / _COMPLETE).touch()


def _installer(python: Path) -> Sequence[str]:
    """Return the command that installs for `python`: this environment's pip; uv where there is none, as uv does it."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", str(python)]
    raise LocalStackError(
        f"The local AWS ({_pin()}) cannot be installed: this environment has no pip, and no uv is on the PATH. "
        f"Install one of them, {_ADVICE}"
    )


def _pin() -> str:
    """Return the emulator's name and version, as pinned."""
    pins = REQUIREMENTS.read_text("utf-8").splitlines()
    return next(line.split()[0] for line in pins if line.startswith("ministack==")).replace("==", " ")


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
