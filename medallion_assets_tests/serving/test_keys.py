"""Keys: what is kept of them, what they may read, and when they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from medallion_assets.capture.file_store import FileStore
from medallion_assets.errors import SettingsError
from medallion_assets.serving import keys as module
from medallion_assets.serving.keys import KeyRing
from medallion_assets.serving.server import serve
from medallion_assets.serving.service import Service
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.serving.conftest import LIMITS, Served, run_server

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(FileStore(tmp_path / "keys"))


@pytest.fixture
def client(served: Served, ring: KeyRing) -> Iterator[httpx.Client]:
    with (
        Service(served.service.settings, LIMITS, ring) as service,
        run_server(service) as url,
        httpx.Client(base_url=url) as opened,
    ):
        yield opened


def with_key(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_the_secret_is_kept_nowhere_and_a_wrong_one_is_not_recognised(ring: KeyRing, tmp_path: Path) -> None:
    key, text = ring.make("a", reads=["gold"], queries=[], now=NOW, lasts=None)
    assert ring.recognise(text, now=NOW) == key
    secret = text.rpartition(key.id)[2].removeprefix("_")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.json"))
    assert key.hash.encode() in kept and secret.encode() not in kept
    other, _ = ring.make("b", reads=["*"], queries=[], now=NOW, lasts=None)
    for wrong in (text[:-1] + ("a" if text[-1] != "a" else "b"), text.replace(key.id, other.id), "", "mk_", text + "x"):
        assert ring.recognise(wrong, now=NOW) is None


def test_a_key_ends_by_time_by_replacement_and_by_revocation(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", -1.0)
    short, short_text = ring.make("short", reads=["*"], queries=[], now=NOW, lasts=HOUR)
    assert ring.recognise(short_text, now=NOW + HOUR / 2) == short
    assert ring.recognise(short_text, now=NOW + HOUR) is None

    old, old_text = ring.make("old", reads=["gold"], queries=["q"], now=NOW, lasts=None)
    new, new_text = ring.replace(old.id, now=NOW, overlap=HOUR, lasts=None)
    assert (new.name, new.reads, new.queries) == (old.name, old.reads, old.queries)
    assert ring.recognise(old_text, now=NOW + HOUR / 2) is not None
    assert ring.recognise(old_text, now=NOW + HOUR) is None
    assert ring.recognise(new_text, now=NOW + HOUR) == new
    ring.revoke(new.id, now=NOW + HOUR)
    assert ring.recognise(new_text, now=NOW + HOUR) is None
    with pytest.raises(SettingsError, match="no key 'nothing'"):
        ring.revoke("nothing", now=NOW)


def test_a_key_reads_its_scope_and_nothing_else(client: httpx.Client, ring: KeyRing) -> None:
    _, text = ring.make("a", reads=["gold", "silver.orders"], queries=[], now=datetime.now(UTC), lasts=None)
    headers = with_key(text)

    def status(sql: str) -> int:
        return client.post("/v1/sql", json={"sql": sql}, headers=headers).status_code

    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {text}"}):
        refused = client.post("/v1/sql", json={"sql": "SELECT 1 AS a"}, headers=wrong)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/v1/tables").status_code == 401
    assert client.get("/v1/health").status_code == 200
    assert status("SELECT count(*) AS n FROM gold.key_metrics") == 200
    assert status("SELECT count(*) AS n FROM silver.orders") == 200
    hidden = [
        "SELECT count(*) AS n FROM silver.customers",
        "SELECT count(*) AS n FROM silver.orders o JOIN silver.customers c ON true",
        "WITH x AS (SELECT * FROM silver.customers) SELECT count(*) AS n FROM x",
        "SELECT (SELECT count(*) FROM silver.customers) AS n FROM silver.orders",
        "SELECT 1 AS a FROM silver.orders WHERE EXISTS (SELECT 1 FROM silver.customers)",
        "SELECT count(*) AS n FROM silver.customers FOR DATE '2026-01-31'",
        "SELECT count(*) AS n FROM silver.orders UNION ALL SELECT count(*) FROM silver.customers",
        'SELECT count(*) AS n FROM "silver"."customers"',
        "SELECT count(*) AS n FROM Silver.Customers",
        "WITH orders AS (SELECT 1 AS a) SELECT count(*) AS n FROM silver.customers",
    ]
    assert [status(sql) for sql in hidden] == [400] * len(hidden)
    names = {table["name"] for table in client.get("/v1/tables", headers=headers).json()["tables"]}
    assert "silver.orders" in names and "silver.customers" not in names
    assert client.get("/v1/tables/silver.customers", headers=headers).status_code == 404


def test_a_server_without_keys_is_for_this_machine_alone(served: Served) -> None:
    settings = served.service.settings
    with pytest.raises(SettingsError, match="MEDALLION_KEYS is not set"):
        serve(settings, host="127.0.0.1", port=1, without_keys=False, limits=LIMITS)
    with pytest.raises(SettingsError, match="--open answers anyone"):
        serve(settings, host="0.0.0.0", port=1, without_keys=True, limits=LIMITS)


def test_the_command_makes_lists_replaces_and_revokes(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = served.service.settings
    for name in ("domain", "bronze", "warehouse", "catalog"):
        monkeypatch.setenv(f"MEDALLION_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("AWS_REGION", settings.region)
    monkeypatch.setenv("MEDALLION_KEYS", str(tmp_path / "keys"))
    made = medallion("keys", "make", "dashboard", "--read", "gold", "--days", "90")
    assert made.exit_code == 0 and made.stdout.startswith("mk_")
    key_id = made.stdout.split("_")[1]
    replaced = medallion("keys", "replace", key_id, "--overlap-hours", "0")
    assert medallion("keys", "revoke", replaced.stdout.split("_")[1]).exit_code == 0
    assert '"works": true' not in medallion("keys", "list", "--json").stdout
    assert "hash" not in medallion("keys", "list", "--json").stdout
    assert key_id in medallion("keys", "list").stdout
    assert medallion("keys", "make", "nothing").exit_code == 2
    assert medallion("keys", "make", "wrong", "--read", "a b").exit_code == 2
