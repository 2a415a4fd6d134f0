"""`medallion contracts diff` against a commit and against the lake, and its exit codes."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.silver.changes import Bench, record

CONTRACT = """\
table: Orders
owner: team:tests
key: {hash: Id}
columns:
  Id: string
  Amount: decimal(10,2)
  Note: string
  Place: struct<City:string>
"""


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """The contract of a domain in a folder of a repository, committed."""
    path = tmp_path / "shop" / "tables" / "orders.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(CONTRACT)
    (tmp_path / "shop" / "domain.yaml").write_text("since: 2026-01-01\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return path


def differences(*arguments: str, code: int) -> list[dict[str, Any]]:
    done = medallion("contracts", "diff", "shop", "--json", *arguments)
    assert done.exit_code == code, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["changes"]
    return found


def test_against_a_commit(contract: Path) -> None:
    assert differences(code=0) == []
    contract.write_text(CONTRACT.replace("(10,2)", "(12,2)") + "  New: date\n")
    assert [(one["kind"], one["column"]) for one in differences(code=0)] == [("widen", "amount"), ("add", "new")]
    git("commit", "-q", "-a", "-m", "second")
    assert differences(code=0) == [] and len(differences("--against", "HEAD~1", code=0)) == 2
    contract.write_text(CONTRACT.replace("  Note: string\n", ""))
    done = medallion("contracts", "diff", "shop", "--against", "HEAD~1")
    assert done.exit_code == 1
    assert "Decide: orders.note, remove: Move the column from `columns` to `retired`." in done.stdout
    contract.write_text(CONTRACT.replace("table: Orders", "table: Orders\nname: sales"))
    (moved,) = differences("--against", "HEAD~1", code=1)
    assert (moved["kind"], moved["before"], moved["after"]) == ("other name", "orders", "sales")
    contract.write_text(CONTRACT.replace("Orders", "Sales"))
    found = differences("--against", "HEAD~1", code=1)
    assert {(one["table"], one["kind"]) for one in found} == {("sales", "new table"), ("orders", "no contract")}


def test_what_cannot_be_compared_is_one_sentence(contract: Path, tmp_path: Path) -> None:
    done = medallion("contracts", "diff", "shop", "--against", "nowhere")
    assert done.exit_code == 2 and "'nowhere' is no commit of the repository of" in done.stderr
    done = medallion("contracts", "diff", "shop", "--against", "--all")
    assert done.exit_code == 2 and "'--all' is no commit" in done.stderr
    contract.write_text(CONTRACT.replace("decimal(10,2)", "number"))
    git("commit", "-q", "-a", "-m", "broken")
    contract.write_text(CONTRACT)
    done = medallion("contracts", "diff", "shop")
    assert done.exit_code == 2 and "The contracts of HEAD cannot be read:\nHEAD:shop/tables/orders.yaml" in done.stderr
    (tmp_path / ".git").rename(tmp_path / "git")
    done = medallion("contracts", "diff", "shop")
    assert done.exit_code == 2 and "is in no Git repository" in done.stderr


def test_a_domain_that_is_not_committed_has_only_new_tables(contract: Path) -> None:
    git("rm", "-q", "--cached", "-r", ".")
    git("commit", "-q", "-m", "without")
    assert [one["kind"] for one in differences(code=0)] == ["new table"]


def test_against_the_lake(contract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"BRONZE": tmp_path / "bronze", "WAREHOUSE": tmp_path / "lake", "CATALOG": "sqlite", "DOMAIN": "shop"}
    for name, value in places.items():
        monkeypatch.setenv(f"MEDALLION_{name}", str(value))
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert [one["kind"] for one in differences("--lake", code=0)] == ["new table"]
    settings = LakeSettings(warehouse=str(tmp_path / "lake"), catalog="sqlite", region="eu-central-1")
    with Lake.open(settings) as lake:
        bench = Bench(lake, open_store(str(tmp_path / "bronze")), load_domain("shop"))
        bench.put(*(record("Orders", n, {"Id": {"S": str(n)}}, {"Amount": {"N": "1"}}) for n in range(1, 4)))
        more: dict[str, Any] = {
            "Coupon": {"S": "SPRING"},
            "note": {"M": {"Author": {"S": "Ada"}}},
            "ApiKey": {"S": "k"},
        }
        bench.put(record("Orders", 4, {"Id": {"S": "3"}}, more))
        assert bench.merge_pending("orders", now=datetime(2026, 3, 1, 13, tzinfo=UTC))[0].published
    assert differences("--lake", code=0) == []
    undeclared = json.loads(medallion("contracts", "diff", "shop", "--lake", "--json").stdout)["undeclared"]
    assert {one["attribute"]: (one["rows"], one["tags"], one["line"]) for one in undeclared} == {
        "Coupon": (1, ["S"], "Coupon: string"),
        "note": (1, ["M"], "note: {type: 'struct<Author:string>', rename: note_2}"),
        "ApiKey": (1, ["S"], 'drop: ["ApiKey"]  # looks like a secret'),
    }
    shown = medallion("contracts", "diff", "shop", "--lake").stdout
    assert "Coupon: string" in shown and "SPRING" not in shown and "Ada" not in shown
    contract.write_text(CONTRACT.replace("City:string", "City:string,Zip:string").replace("(10,2)", "(12,2)"))
    assert [one["kind"] for one in differences("--lake", code=0)] == ["widen", "widen"]
    contract.write_text(CONTRACT.replace("decimal(10,2)", "string"))
    (retyped,) = differences("--lake", code=1)
    assert (retyped["kind"], retyped["cost"], retyped["rows"]) == ("retype", "rebuild", 3)
    assert "rebuild of 3 rows" in medallion("contracts", "diff", "shop", "--lake").stdout
