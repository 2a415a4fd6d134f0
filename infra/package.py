"""The capture function's package: our capture room and pinned wheels in one zip, built without Docker.

Belongs here: what goes into the zip, and that the same sources give the same bytes. Does not belong here: how the
function is configured (stacks.capture). Wheels are taken for the function's own platform, whatever this machine is;
nothing is compiled.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import medallion_assets
from infra.settings import Capture
from medallion_assets.errors import SettingsError

HANDLER: Final = "medallion_assets.capture.handler.handler"
UNPACKED_LIMIT_BYTES: Final = 250 * 1024 * 1024
"""What a function may unpack to (Lambda's quota)."""

_PACKAGE: Final = Path(medallion_assets.__file__).parent
_REQUIREMENTS: Final = _PACKAGE.parent / "requirements"
_PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
# botocore brings the descriptions of 400 services; the function calls one.
_SERVICES: Final = {"s3"}
_NOT_NEEDED: Final = (".pyi", ".pyc", ".a", ".h")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def build_package(capture: Capture, folder: Path, *, traces: bool) -> Path:
    """Build the zip below `folder` and return it. The wheels are kept there until the pins change.

    `traces` says whether OpenTelemetry is in it.

    Raises SettingsError when the wheels cannot be had.
    """
    pins = _REQUIREMENTS / ("function-telemetry.txt" if traces else "function.txt")
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    wheels = folder / f"wheels-{capture.architecture}-{capture.python}-{digest}"
    if not wheels.is_dir():
        _install(capture, pins, wheels)
    target = folder / f"capture-{capture.architecture}-{capture.python}{'-traces' if traces else ''}.zip"
    files = {path.relative_to(wheels): path for path in wheels.rglob("*") if path.is_file() and _needed(path, wheels)}
    ours = [_PACKAGE / "__init__.py", _PACKAGE / "errors.py"]
    ours += [path for room in ("capture", "telemetry") for path in (_PACKAGE / room).glob("*.py")]
    files |= {path.relative_to(_PACKAGE.parent): path for path in ours}
    unpacked = sum(path.stat().st_size for path in files.values())
    if unpacked > UNPACKED_LIMIT_BYTES:
        raise SettingsError(
            f"{target.name} unpacks to {unpacked:,} bytes; a function may have {UNPACKED_LIMIT_BYTES:,}"
        )
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name.as_posix(), date_time=_EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())
    partial.replace(target)
    return target


def _install(capture: Capture, pins: Path, target: Path) -> None:
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    platform = ["--python-platform", _PLATFORMS[capture.architecture], "--python-version", capture.python]
    command = [str(Path(sys.prefix) / "bin" / "uv"), "pip", "install", "-q", "--no-config", "--target", str(partial)]
    done = subprocess.run(  # noqa: S603 - uv, with arguments of our own
        [*command, *platform, "--only-binary", ":all:", "--require-hashes", "-r", str(pins)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SettingsError(f"The wheels of {pins.name} for {capture.architecture} cannot be had:\n{done.stderr}")
    partial.replace(target)


def _needed(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    if path.suffix in _NOT_NEEDED or "__pycache__" in parts or parts[0] == "bin":
        return False
    if parts[:2] == ("boto3", "data") or parts[:2] == ("boto3", "examples"):
        return False  # boto3's resources; the function uses a client
    return not (parts[:2] == ("botocore", "data") and len(parts) > 3 and parts[2] not in _SERVICES)
