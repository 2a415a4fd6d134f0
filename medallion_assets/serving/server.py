"""The server: the application on uvicorn.

Belongs here: how it listens. Does not belong here: the application (app).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import uvicorn
from starlette.routing import BaseRoute

from medallion_assets.capture.store import open_store
from medallion_assets.errors import SettingsError
from medallion_assets.serving.app import create_app
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.limits import Limits
from medallion_assets.serving.service import Service
from medallion_assets.settings import Settings

LOCAL_HOSTS = ("127.0.0.1", "localhost")


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    without_keys: bool,
    limits: Limits,
    more: Callable[[Service], Sequence[BaseRoute]] = lambda _: (),
) -> None:
    """Serve until SIGINT or SIGTERM. `more` makes the routes of other rooms.

    Raises SettingsError if no place of keys is set, unless it shall serve `without_keys` on this machine alone; and
    what opening the service raises.
    """
    if without_keys and host != LOCAL_HOSTS[0]:
        raise SettingsError(f"--open answers anyone who reaches {host}. Expected 127.0.0.1, or keys in MEDALLION_KEYS.")
    if settings.keys is None and not without_keys:
        raise SettingsError(
            "MEDALLION_KEYS is not set, so no key would work. Set where keys are kept (s3://bucket/prefix, or a "
            "directory) and make one with `medallion keys make`; or serve anyone on this machine alone with --open."
        )
    keys = None if without_keys or settings.keys is None else KeyRing(open_store(settings.keys))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with Service(settings, limits, keys) as service:
        # With a key a browser's page on another host gets nothing: it does not have it.
        app = create_app(service, hosts=LOCAL_HOSTS if keys is None else ["*"], more=more(service))
        # Its own log has each request's query string, in which parameters of saved queries are; ours has none.
        uvicorn.run(app, host=host, port=port, access_log=False, log_config=None, timeout_graceful_shutdown=5)
