"""Sessions of AWS whose clients are made quickly.

A new session reads the descriptions of each service that it makes a client of: 0.1 s of a core for S3 and Glue, in each
tick of a sensor and in each run. Here all sessions of a process read them once. Belongs here: that. Does not belong
here: which clients there are (glue, settings, engines).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import boto3
    from botocore.loaders import Loader

_loading = threading.Lock()
_loaders: list[Loader] = []


def open_session(region: str) -> boto3.Session:
    """Return a new session, with the credentials of the environment as it is now."""
    import boto3
    import botocore.session

    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=session, region_name=region)


def read_descriptions() -> None:
    """Read the descriptions of S3 and Glue, so that forks of this process have them. Makes no client."""
    for service in ("s3", "glue"):
        for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            _loader().load_service_model(service, kind)


def _loader() -> Loader:
    """Return the loader of all sessions: that of the first one, which knows where descriptions are."""
    import botocore.session

    with _loading:
        if not _loaders:
            _loaders.append(botocore.session.get_session().get_component("data_loader"))
        return _loaders[0]
