"""The packages of our functions: rooms that they need and pinned wheels in one zip each, built without Docker.

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
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Final

import medallion_assets
from infra.settings import Capture
from medallion_assets.contracts.loader import Domain
from medallion_assets.errors import SettingsError
from medallion_assets.ingest.policy import FILE as POLICY

HANDLER: Final = "medallion_assets.capture.handler.handler"
UNPACKED_LIMIT_BYTES: Final = 250 * 1024 * 1024
"""What a function may unpack to (Lambda's quota)."""

_PACKAGE: Final = Path(medallion_assets.__file__).parent
_REQUIREMENTS: Final = _PACKAGE.parent / "requirements"
_PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
_NOT_NEEDED: Final = (".pyi", ".pyc", ".a", ".h")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_INGEST: Final = (
    "reconciliation/reference_*.py",
    "reconciliation/__init__.py",
    "dropped/__init__.py",
    "dropped/item.py",
)


def build_package(capture: Capture, folder: Path, *, traces: bool) -> Path:
    """Build the zip of the capture function below `folder` and return it. The wheels are kept until the pins change.

    `traces` says whether OpenTelemetry is in it.

    Raises SettingsError when the wheels cannot be had.
    """
    pins = _REQUIREMENTS / ("function-telemetry.txt" if traces else "function.txt")
    files = _files("capture/*.py", "telemetry/*.py")
    return _build(capture, folder, f"capture{'-traces' if traces else ''}", pins, files, services={"s3"})


def build_ingest_package(capture: Capture, domain: Domain, folder: Path) -> Path:
    """Build the zip of the functions of the ingest API, with a domain, below `folder` and return it.

    The domain is among the shipped ones there, so its name is enough for MEDALLION_DOMAIN. Raises SettingsError.
    """
    files = _files("capture/*.py", "telemetry/*.py", "contracts/*.py", "ingest/*.py", *_INGEST)
    for path in (domain.folder / "domain.yaml", domain.folder / POLICY, *(domain.folder / "tables").glob("*.yaml")):
        files[Path("medallion_assets", "domains", domain.name, path.relative_to(domain.folder))] = path
    pins = _REQUIREMENTS / "function-ingest.txt"
    return _build(capture, folder, f"ingest-{domain.name}", pins, files, services={"dynamodb", "sns", "sqs"})


def _files(*patterns: str) -> dict[Path, Path]:
    """Return files of our package, by their place in the zip."""
    ours = [
        _PACKAGE / "__init__.py",
        _PACKAGE / "errors.py",
        *(path for one in patterns for path in _PACKAGE.glob(one)),
    ]
    return {path.relative_to(_PACKAGE.parent): path for path in ours}


def _build(
    capture: Capture, folder: Path, name: str, pins: Path, ours: Mapping[Path, Path], *, services: Set[str]
) -> Path:
    """Build the zip of wheels and our files. botocore brings the descriptions of 400 services; `services` stay."""
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    wheels = folder / f"wheels-{capture.architecture}-{capture.python}-{digest}"
    if not wheels.is_dir():
        _install(capture, pins, wheels)
    target = folder / f"{name}-{capture.architecture}-{capture.python}.zip"
    files = {
        path.relative_to(wheels): path
        for path in wheels.rglob("*")
        if path.is_file() and _needed(path, wheels, services)
    }
    files |= ours
    unpacked = sum(path.stat().st_size for path in files.values())
    if unpacked > UNPACKED_LIMIT_BYTES:
        raise SettingsError(
            f"{target.name} unpacks to {unpacked:,} bytes; a function may have {UNPACKED_LIMIT_BYTES:,}"
        )
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name_ in sorted(files):
            entry = zipfile.ZipInfo(name_.as_posix(), date_time=_EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name_].read_bytes())
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


def _needed(path: Path, root: Path, services: Set[str]) -> bool:
    parts = path.relative_to(root).parts
    if path.suffix in _NOT_NEEDED or "__pycache__" in parts or parts[0] == "bin":
        return False
    if parts[:2] == ("boto3", "data") or parts[:2] == ("boto3", "examples"):
        return False  # boto3's resources; the function uses a client
    return not (parts[:2] == ("botocore", "data") and len(parts) > 3 and parts[2] not in services)
