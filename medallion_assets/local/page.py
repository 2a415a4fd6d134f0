"""The page with the numbers of a running pipeline, served on this machine.

Belongs here: the process that serves it. Does not belong here: what it serves (serving, site), which other processes
there are (pipeline).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from medallion_assets.local.pipeline import Pipeline
from medallion_assets.local.processes import Child, free_port, port_is_open

_START_SECONDS: Final = 60.0
_MEDALLION: Final = "from medallion_assets.cli.main import main; main()"


@contextmanager
def run_page(pipeline: Pipeline) -> Iterator[str]:
    """Run `medallion serve` on a free port of 127.0.0.1 while inside; yield its URL, which has the page.

    It asks for no key, as everything of a local pipeline. Raises LocalStackError if it does not start.
    """
    port = free_port()
    command = [sys.executable, "-c", _MEDALLION, "serve", "--open", "--port", str(port)]
    with Child("the server of the page", command, log=pipeline.folder / "serve.log") as child:
        child.wait_until(lambda: port_is_open(port), seconds=_START_SECONDS)
        yield f"http://127.0.0.1:{port}"
