"""Trustworthy, near-real-time analytics on DynamoDB: streams to exact Iceberg tables and audited marts.

What a code location needs can be imported from here: `build_defs`, `DomainComponent` and `MedallionResource`. They are
loaded when they are asked for, so that the capture function, which has no Dagster, can import the package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from medallion_assets.defs.build import build_defs
    from medallion_assets.defs.component import DomainComponent
    from medallion_assets.defs.resources import MedallionResource

__all__ = ["DomainComponent", "MedallionResource", "build_defs"]

_HOMES: Final = {
    "DomainComponent": "medallion_assets.defs.component",
    "MedallionResource": "medallion_assets.defs.resources",
    "build_defs": "medallion_assets.defs.build",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return also what is not loaded yet: `dg list components` looks for components among these names."""
    return [*globals(), *_HOMES]
