"""The folder that the image is built from: what the Dockerfile copies, and nothing else of the checkout.

Belongs here: laying it out, the same bytes for the same sources. Does not belong here: building it; the CDK's command
does that when it deploys, and needs Docker then.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import medallion_assets
from medallion_assets.contracts.loader import Domain

_PACKAGE: Final = Path(medallion_assets.__file__).parent
_PROJECT: Final = _PACKAGE.parent
_DOCKER: Final = Path(__file__).parent / "docker"
_CACHES: Final = shutil.ignore_patterns("__pycache__", ".*")


def lay_out(domain: Domain, folder: Path) -> Path:
    """Make `folder` anew with the Dockerfile, the package, its pins and the domain, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_DOCKER, folder, ignore=_CACHES)
    shutil.copytree(_PACKAGE, folder / "medallion_assets", ignore=_CACHES)
    shutil.copytree(domain.folder, folder / "domain", ignore=_CACHES)
    for described in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(_PROJECT / described, folder)
    (folder / "requirements").mkdir()
    for pins in ("image.txt", "uv.txt"):
        shutil.copy(_PROJECT / "requirements" / pins, folder / "requirements")
    return folder
