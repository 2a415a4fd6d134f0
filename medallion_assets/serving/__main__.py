"""The server of the local stack, a process of its own: `python -m medallion_assets.serving --port 8080`.

Belongs here: the settings of the environment and a port. Does not belong here: what a user may choose (cli).
"""

from __future__ import annotations

import argparse

from medallion_assets.serving.limits import Limits
from medallion_assets.serving.server import LOCAL_HOSTS, serve
from medallion_assets.settings import Settings

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="medallion_assets.serving", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    serve(Settings.load(), host=LOCAL_HOSTS[0], port=port, without_keys=True, limits=Limits(memory_mb=512))
