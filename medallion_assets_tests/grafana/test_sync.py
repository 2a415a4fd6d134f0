"""Sending the files to a Grafana: a stub on this machine that keeps what it is told, as Grafana's API says it does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from grafana.environment import COMMITTED, Environment
from grafana.files import generated
from grafana.panels import PLUGIN
from grafana.sync import TOKEN, GrafanaApi, GrafanaRefused, main
from medallion_assets.errors import SettingsError

FILES = generated(Environment.load(COMMITTED))
SECRET = "the-token"


class Grafana(ThreadingHTTPServer):
    """What of Grafana is called: objects by path, with the paths' own rules; `calls` are those that may change some."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept: dict[str, Any] = {"/api/v1/provisioning/policies": {"receiver": "grafana-default-email"}}
        self.points: dict[str, Any] = {}
        self.calls: list[tuple[str, str]] = []
        self.refuses: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method != "GET":
            self.calls.append((method, path))
        if path == self.refuses:
            return 400, {"message": "invalid alert rule"}
        if path.startswith("/api/v1/provisioning/contact-points"):
            return self._contact_points(method, path, body)
        if method == "GET":
            return (200, self.kept[path]) if path in self.kept else (404, {"message": "not found"})
        where = {
            "/api/datasources": lambda: f"/api/datasources/uid/{body['uid']}",
            "/api/folders": lambda: f"/api/folders/{body['uid']}",
            "/api/dashboards/db": lambda: f"/api/dashboards/uid/{body['dashboard']['uid']}",
        }.get(path)
        if method == "POST" and (install := re.fullmatch("(/api/plugins/.*)/install", path)):
            self.kept[install[1] + "/settings"] = {"info": {"version": "2.18.0"}}
            return 200, None
        if method == "POST" and where is not None:
            return self._create(where(), path, body)
        if method == "PUT" and (path in self.kept or "/rule-groups/" in path):
            self.kept[path] = body
            return 202, {}
        return 404, {"message": f"no {method} {path}"}

    def _create(self, kept_at: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/api/dashboards/db":
            if f"/api/folders/{body['folderUid']}" not in self.kept:
                return 400, {"message": "folder not found"}
            if kept_at in self.kept and not body["overwrite"]:
                return 412, {"message": "a dashboard with the same uid is there"}
        elif kept_at in self.kept:
            return 409, {"message": "is there already"}
        self.kept[kept_at] = body
        return 200, {}

    def _contact_points(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        uid = path.rpartition("/")[2]
        if method == "GET":
            return 200, list(self.points.values())
        if method == "PUT" and uid not in self.points:
            return 404, {"message": "not found"}
        if method == "POST" and body["uid"] in self.points:
            return 500, {"message": "is there already"}
        self.points[body["uid"]] = body
        return 202, {}


class Handler(BaseHTTPRequestHandler):
    server: Grafana

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        if self.headers["Authorization"] != f"Bearer {SECRET}":
            status, answer = 401, {"message": "Invalid API key"}
        else:
            status, answer = self.server.answer(self.command, self.path, body)
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with Grafana() as stub:
        thread = Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield stub
        stub.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("version", "new_enough"), [("2.17.4", False), ("2.9.9", False), ("2.17.5", True), ("3.0.0", True)]
)
def test_a_plugin_that_misreads_times_is_refused(grafana: Grafana, version: str, new_enough: bool) -> None:
    grafana.kept[f"/api/plugins/{PLUGIN}/settings"] = {"info": {"version": version}}
    api = GrafanaApi(grafana.url, SECRET)
    if new_enough:
        assert list(api.send(FILES))
    else:
        with pytest.raises(SettingsError, match=rf"{PLUGIN} has the version {version}; expected 2\.17\.5 or newer"):
            list(api.send(FILES))
        assert not grafana.calls, "nothing is sent"


def test_everything_is_brought_in_and_what_refers_to_what_is_there(grafana: Grafana) -> None:
    done = list(GrafanaApi(grafana.url, SECRET).send(FILES))
    source = grafana.kept["/api/datasources/uid/medallion-dev"]
    assert (source["type"], source["jsonData"]["workgroup"]) == (PLUGIN, "medallion-dev-grafana")
    assert f"/api/plugins/{PLUGIN}/settings" in grafana.kept
    sent = {uid: grafana.kept[f"/api/dashboards/uid/{uid}"] for uid in ("medallion-sales", "medallion-health")}
    for file, text in FILES.items():
        if file.parts[0] == "dashboards":
            dashboard = json.loads(text)
            assert grafana.kept[f"/api/dashboards/uid/{dashboard['uid']}"]["dashboard"] == dashboard
    assert all(each["folderUid"] == "medallion-dev" for each in sent.values())
    assert grafana.points["medallion-dev-sns"]["settings"]["topic_arn"] == Environment.load(COMMITTED).topic
    policies = grafana.kept["/api/v1/provisioning/policies"]
    assert policies["receiver"] == "medallion-dev" == grafana.points["medallion-dev-sns"]["name"]
    assert "orgId" not in policies
    groups = {path: body for path, body in grafana.kept.items() if "/rule-groups/" in path}
    assert set(groups) == {f"/api/v1/provisioning/folder/medallion-dev/rule-groups/{n}" for n in ("Pipeline", "Marts")}
    rules = [rule for group in groups.values() for rule in group["rules"]]
    assert len(rules) == 10
    for path, group in groups.items():
        assert group["interval"] == 300
        for rule in group["rules"]:
            assert (rule["folderUID"], rule["ruleGroup"]) == ("medallion-dev", path.rpartition("/")[2])
            assert rule["uid"].startswith("medallion-dev-")
    assert {f"alert rule {rule['title']}" for rule in rules} < set(done)


def test_sending_again_changes_nothing_and_installs_nothing(grafana: Grafana) -> None:
    api = GrafanaApi(grafana.url, SECRET)
    list(api.send(FILES))
    before, points = dict(grafana.kept), dict(grafana.points)
    grafana.calls.clear()
    list(api.send(FILES))
    assert (grafana.kept, grafana.points) == (before, points)
    assert {path for method, path in grafana.calls if method == "POST"} == {"/api/dashboards/db"}


@pytest.mark.parametrize("other", ["the-team", "medallion-prod"])
def test_policies_of_somebody_else_are_left_alone_and_nothing_is_sent(grafana: Grafana, other: str) -> None:
    grafana.kept["/api/v1/provisioning/policies"] = {"receiver": other}
    with pytest.raises(SettingsError, match=f"go to {other!r}, so they are not ours to replace"):
        list(GrafanaApi(grafana.url, SECRET).send(FILES))
    assert not grafana.calls


def test_what_grafana_refuses_is_told_with_its_own_words(grafana: Grafana) -> None:
    grafana.refuses = "/api/v1/provisioning/folder/medallion-dev/rule-groups/Marts"
    with pytest.raises(GrafanaRefused, match=r"PUT http://.*/rule-groups/Marts: 400 .*invalid alert rule"):
        list(GrafanaApi(grafana.url, SECRET).send(FILES))


def test_the_token_is_sent_to_https_or_this_machine_only() -> None:
    with pytest.raises(SettingsError, match="expected the https:// address"):
        GrafanaApi("http://grafana.example.com", SECRET)


def test_the_command_reads_the_token_from_the_environment(
    grafana: Grafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert main(["--url", grafana.url]) == 1
    assert f"{TOKEN} is not set" in capsys.readouterr().err
    monkeypatch.setenv(TOKEN, "another")
    assert main(["--url", grafana.url]) == 1
    refused = capsys.readouterr()
    assert "401" in refused.err
    assert "another" not in refused.err
    monkeypatch.setenv(TOKEN, SECRET)
    assert main(["--url", grafana.url, "--environment", "dev"]) == 0
    assert "dashboard Sales\n" in capsys.readouterr().out
