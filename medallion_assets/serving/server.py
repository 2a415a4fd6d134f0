"""The server: the application on uvicorn.

Belongs here: how it listens. Does not belong here: the application (app).
"""

from __future__ import annotations

import logging

import uvicorn

from medallion_assets.serving.app import create_app
from medallion_assets.serving.limits import Limits
from medallion_assets.serving.service import Service
from medallion_assets.settings import Settings

LOCAL_HOSTS = ("127.0.0.1", "localhost")


def serve(settings: Settings, *, port: int, limits: Limits) -> None:
    """Serve on 127.0.0.1 until SIGINT or SIGTERM. Raises what opening the service raises."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with Service(settings, limits) as service:
        app = create_app(service, hosts=LOCAL_HOSTS)
        # Its own log has each request's query string, in which parameters of saved queries are; ours has none.
        uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None, timeout_graceful_shutdown=5)
