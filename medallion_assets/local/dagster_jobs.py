"""Starting a job of the stack's Dagster through its page.

Belongs here: the request and its answer. Does not belong here: what jobs do (defs), when one is started (cli).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Final

from medallion_assets.errors import LocalStackError

LOCATION: Final = "medallion_assets"
"""The code location of the stack."""

_SECONDS: Final = 60.0

_LAUNCH: Final = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}
"""


def start_job(url: str, job: str) -> str:
    """Start a run of a job of Dagster at `url`; return its id. The run goes on by itself. Raises LocalStackError."""
    selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "pipelineName": job}
    body = {"query": _LAUNCH, "variables": {"params": {"selector": selector, "mode": "default", "runConfigData": "{}"}}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/graphql", json.dumps(body).encode(), headers)  # noqa: S310 - our own page
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the same
            launched = json.load(answer)["data"]["launchPipelineExecution"]
    except (urllib.error.URLError, TimeoutError) as error:
        raise LocalStackError(f"Dagster did not start the job {job}: {error}. Start it on {url}.") from error
    if "run" not in launched:
        raise LocalStackError(
            f"Dagster did not start the job {job}: {launched.get('message', launched['__typename'])}. "
            f"Start it on {url}."
        )
    return str(launched["run"]["runId"])
