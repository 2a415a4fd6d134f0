"""The files of the page: what the browser loads before it asks for numbers.

Belongs here: their names, types and how long they may be kept. Does not belong here: the numbers (write).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    "": "text/plain; charset=utf-8",
}

FOR_EVER: Final = "public, max-age=31536000, immutable"
"""What never changes may be kept by everybody."""
ASK_AGAIN: Final = "no-cache"
"""It may be kept, and is asked for each time by its ETag."""


@dataclass(frozen=True)
class SiteFile:
    """A file's content, its media type, and the value of its header Cache-Control."""

    content: bytes
    media_type: str
    cache_control: str


def site_file(path: str, content: bytes, *, changes: bool) -> SiteFile:
    """Return a file with the headers of its path; `changes` says whether its content may be another one later."""
    return SiteFile(content, _TYPES[Path(path).suffix], ASK_AGAIN if changes else FOR_EVER)


@cache
def page_files() -> Mapping[str, SiteFile]:
    """Return the page's files by path, in the order in which they are written.

    All but index.html are in a folder that is named by their content. The last one is a copy of index.html there: where
    it is, all others are.
    """
    contents = {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in sorted(_FOLDER.rglob("*")) if path.is_file()
    }
    index = contents.pop("index.html").decode()
    parts = [index.encode(), *(name.encode() + content for name, content in contents.items())]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    assets = f"page/{digest}"
    files = {f"{assets}/{name}": site_file(name, content, changes=False) for name, content in contents.items()}
    content = index.replace("{assets}", assets).encode()
    files["index.html"] = site_file("index.html", content, changes=True)
    return files | {f"{assets}/index.html": site_file("index.html", content, changes=False)}
