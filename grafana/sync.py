"""Sends the generated files to a running Grafana through its HTTP API: `python -m grafana.sync --url https://...`.

For a Grafana that reads no files, such as Amazon Managed Grafana. Sending again changes what differs and nothing else.
Belongs here: which call brings which file in, and in which order. Does not belong here: what is in the files (files).
https://grafana.com/docs/grafana/v11.6/developers/http_api/ and, for plugins,
https://docs.aws.amazon.com/grafana/latest/userguide/v12-Grafana-API-Plugin.html
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import yaml

from grafana.environment import COMMITTED, Environment
from grafana.files import DATA_SOURCE, generated
from grafana.panels import OLDEST_PLUGIN
from medallion_assets.errors import MedallionError, SettingsError

TOKEN: Final = "GRAFANA_TOKEN"  # noqa: S105 - the variable's name
"""The environment variable with the token of a service account that is an admin."""

_ALERTING: Final = Path("provisioning/alerting")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_UNTOUCHED: Final = "grafana-default-email"
"""The contact point that the notification policies of a new Grafana name."""


class GrafanaRefused(MedallionError):
    """Grafana did not take what was sent; the text has the call and the answer."""


class GrafanaApi:
    """One Grafana at `url`. Raises SettingsError for an address that would send the token in the clear."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        if address.scheme != "https" and address.hostname not in {"127.0.0.1", "localhost"}:
            raise SettingsError(f"{url}: expected the https:// address of a Grafana; the token goes with every call")
        self._url = url.rstrip("/")
        self._token = token

    def send(self, files: Mapping[Path, str]) -> Iterator[str]:
        """Bring the files in, and say what is done. Raises GrafanaRefused at the first call that fails."""
        content = {
            path: json.loads(text) if path.suffix == ".json" else yaml.safe_load(text) for path, text in files.items()
        }
        policies = [dict(policy) for policy in content[_ALERTING / "policies.yaml"]["policies"]]
        for policy in policies:
            self._check_policies(policy["receiver"])
        for source in content[DATA_SOURCE]["datasources"]:
            yield from self._data_source(source)
        (provider,) = content[Path("provisioning/dashboards/medallion.yaml")]["providers"]
        folder = provider["folderUid"]
        yield from self._folder(folder, provider["folder"])
        for path in sorted(path for path in content if path.parts[0] == "dashboards"):
            dashboard = content[path]
            self._call("POST", "/api/dashboards/db", {"dashboard": dashboard, "folderUid": folder, "overwrite": True})
            yield f"dashboard {dashboard['title']}"
        for point in content[_ALERTING / "contact-points.yaml"]["contactPoints"]:
            yield from self._contact_point(point)
        for policy in policies:
            self._call("PUT", "/api/v1/provisioning/policies", {k: v for k, v in policy.items() if k != "orgId"})
            yield "notification policies"
        for group in content[_ALERTING / "rules.yaml"]["groups"]:
            yield from self._rule_group(folder, group)

    def _check_policies(self, ours: str) -> None:
        """The policies are one tree, which is replaced: never somebody else's, or another environment's."""
        receiver = (self._call("GET", "/api/v1/provisioning/policies") or {}).get("receiver")
        if receiver not in {None, _UNTOUCHED, ours}:
            raise SettingsError(
                f"{self._url}: its notification policies go to {receiver!r}, so they are not ours to replace; expected "
                f"{_UNTOUCHED!r} or {ours!r}. Use a workspace of its own, or add a policy for the rules' label "
                "`environment` by hand and bring the rest in from the files"
            )

    def _data_source(self, source: Mapping[str, Any]) -> Iterator[str]:
        plugin, uid = source["type"], source["uid"]
        installed = self._call("GET", f"/api/plugins/{plugin}/settings")
        if installed is None:
            self._call("POST", f"/api/plugins/{plugin}/install", {})
            yield f"plugin {plugin}"
        else:
            self._check_version(plugin, installed)
        wanted = {name: value for name, value in source.items() if name != "editable"}
        if self._call("GET", f"/api/datasources/uid/{uid}") is None:
            self._call("POST", "/api/datasources", wanted)
        else:
            self._call("PUT", f"/api/datasources/uid/{uid}", wanted)
        yield f"data source {source['name']}"

    def _check_version(self, plugin: str, installed: Mapping[str, Any]) -> None:
        found = str(installed.get("info", {}).get("version", ""))
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", found)
        oldest = ".".join(map(str, OLDEST_PLUGIN))
        if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_PLUGIN:
            raise SettingsError(
                f"{self._url}: its plugin {plugin} has the version {found or 'unknown'}; expected {oldest} or newer, "
                "which reads times with six digits of a second. Update it under Administration, Plugins"
            )

    def _folder(self, uid: str, title: str) -> Iterator[str]:
        if self._call("GET", f"/api/folders/{uid}") is None:
            self._call("POST", "/api/folders", {"uid": uid, "title": title})
        yield f"folder {title}"

    def _contact_point(self, point: Mapping[str, Any]) -> Iterator[str]:
        there = {each["uid"] for each in self._call("GET", "/api/v1/provisioning/contact-points") or []}
        for receiver in point["receivers"]:
            wanted = {**receiver, "name": point["name"]}
            if receiver["uid"] in there:
                self._call("PUT", f"/api/v1/provisioning/contact-points/{receiver['uid']}", wanted)
            else:
                self._call("POST", "/api/v1/provisioning/contact-points", wanted)
            yield f"contact point {point['name']}"

    def _rule_group(self, folder: str, group: Mapping[str, Any]) -> Iterator[str]:
        name, interval = group["name"], group["interval"]
        rules = [{**rule, "orgID": group["orgId"], "folderUID": folder, "ruleGroup": name} for rule in group["rules"]]
        self._call(
            "PUT",
            f"/api/v1/provisioning/folder/{folder}/rule-groups/{quote(name)}",
            # A file says 5m, the API takes seconds.
            {
                "title": name,
                "folderUid": folder,
                "interval": int(interval[:-1]) * _SECONDS[interval[-1]],
                "rules": rules,
            },
        )
        yield from (f"alert rule {rule['title']}" for rule in rules)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """What Grafana answers; None for a GET of what is not there."""
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
                text = answer.read()
        except urllib.error.HTTPError as error:
            if method == "GET" and error.code == HTTPStatus.NOT_FOUND:
                return None
            answer_text = error.read().decode(errors="replace")[:500]
            raise GrafanaRefused(f"{method} {self._url}{path}: {error.code} {error.reason}: {answer_text}") from error
        except urllib.error.URLError as error:
            raise GrafanaRefused(f"{method} {self._url}{path}: {error.reason}") from error
        return json.loads(text) if text else {}


def main(arguments: Sequence[str]) -> int:
    """Send an environment's files. Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m grafana.sync", description=__doc__)
    parser.add_argument("--environment", default=COMMITTED, help="the name of a file in infra/environments")
    parser.add_argument("--url", required=True, help=f"where Grafana is; its token is read from {TOKEN}")
    given = parser.parse_args(arguments)
    try:
        token = os.environ.get(TOKEN, "")
        if not token:
            raise SettingsError(f"{TOKEN} is not set: expected the token of a service account that is an admin")
        for done in GrafanaApi(given.url, token).send(generated(Environment.load(given.environment))):
            print(done)  # noqa: T201 - how far it is
    except MedallionError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
