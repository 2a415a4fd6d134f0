"""A template as far as it is the infrastructure's own: without what follows from the package's code, or is a tool's."""

from __future__ import annotations

import json
import re
from typing import Any

from medallion_assets_tests.infra.assembly import Template

_HASH = re.compile(r"[0-9a-f]{64}|(?<=CurrentVersion[0-9A-F]{8})[0-9a-f]{32}")


def stable(template: Template) -> dict[str, Any]:
    """The resources by logical id; hashes of files and images masked, metadata left out."""
    resources = json.loads(_HASH.sub("<hash>", json.dumps(template.body["Resources"])))
    for resource in resources.values():
        resource.pop("Metadata", None)
    return dict(resources)
