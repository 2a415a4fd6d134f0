"""The generated files are what the code makes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.__main__ import main
from grafana.environment import COMMITTED, Environment
from grafana.files import DATA_SOURCE, FOLDER, TRINO, TRINO_PLUGIN, generated, local
from grafana.mart_dashboard import short_uid
from grafana.provisioning import MOUNTED
from infra import settings
from medallion_assets.contracts.loader import domain_folder
from medallion_assets.errors import SettingsError
from medallion_assets_tests.fixtures import FLEET


def test_the_files_are_what_the_code_makes() -> None:
    made = generated(Environment.load(COMMITTED))
    there = {
        file.relative_to(FOLDER)
        for folder in ("dashboards", "provisioning")
        for file in (FOLDER / folder).rglob("*")
        if file.is_file()
    }
    assert there == set(made), "run make dashboards, and remove files that nothing generates"
    for path, text in made.items():
        assert (FOLDER / path).read_text(encoding="utf-8") == text, f"{path} differs: run make dashboards"


def test_the_files_for_the_local_grafana_name_nothing_of_aws() -> None:
    compose = yaml.safe_load((FOLDER.parent / "infra/local/compose.yaml").read_text(encoding="utf-8"))
    files = local(generated(Environment.load(COMMITTED)))
    text = "".join(files.values())
    assert "athena" not in text.lower()
    assert "arn:aws" not in text
    (source,) = yaml.safe_load(files[DATA_SOURCE])["datasources"]
    assert (source["type"], source["url"]) == (TRINO_PLUGIN, TRINO)
    assert compose["services"]["grafana"]["environment"]["GF_INSTALL_PLUGINS"] == TRINO_PLUGIN
    trino = (FOLDER.parent / "infra/local/trino/config.properties").read_text(encoding="utf-8")
    assert f"discovery.uri={TRINO}\n" in trino
    mounted = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert MOUNTED in mounted
    assert all(service["network_mode"] == "host" for service in compose["services"].values())


def test_another_environments_files_name_its_own_account_and_no_others() -> None:
    prod = Environment.load("prod")
    text = "".join(generated(prod).values())
    assert prod.topic in text
    assert f"assumeRoleArn: {prod.role}" in text
    assert "dev" not in {word for word in text.replace("-", " ").split() if word.startswith("dev")}
    assert Environment.load(COMMITTED).topic not in text


def test_the_files_are_those_of_the_environments_domain(tmp_path: Path) -> None:
    files = generated(replace(Environment.load(COMMITTED), domain=FLEET))
    assert {path.stem for path in files if path.parts[0] == "dashboards"} == {
        *("pipeline-health", "data-quality"),
        "mart-daily_distance",
    }
    text = "".join(files.values())
    assert "silver/trips" in text and "gold/daily_distance" in text
    assert not [name for name in ("orders", "customers", "daily_sales_by_region", "Shop") if name in text]
    copy = shutil.copytree(domain_folder("ecommerce"), tmp_path / "copied-shop")
    assert Path("dashboards/sales.json") in generated(replace(Environment.load(COMMITTED), domain=str(copy)))


def test_another_domains_files_are_written_by_its_folder(tmp_path: Path) -> None:
    assert main(["--domain", FLEET, "--out", str(tmp_path)]) == 0
    board = json.loads((tmp_path / "dashboards/mart-daily_distance.json").read_text())
    titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
    assert titles[3:] == ["Trips, 7 days", "Distance km, 7 days", "Trips by depot", "Distance km by depot"]
    rules = yaml.safe_load((tmp_path / "provisioning/alerting/rules.yaml").read_text())["groups"]
    (own,) = next(group["rules"] for group in rules if group["name"] == "Marts")
    assert own["title"] == "Trips of daily distance is far from the same weekday"


def test_an_alert_with_the_name_of_another_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(domain_folder("ecommerce"), tmp_path / "shop")
    file = copy / "dashboards/sales.yaml"
    file.write_text(file.read_text().replace("stock_critical:", "dead_letters:"))
    with pytest.raises(SettingsError, match="Several alerts are called dead-letters; expected each name once"):
        generated(replace(Environment.load(COMMITTED), domain=str(copy)))


def test_a_uid_that_grafana_would_refuse_is_cut_and_stays_its_own() -> None:
    long = "medallion-" + "revenue_of_every_machine_per_day"
    uids = {short_uid(f"{long}_{end}") for end in "ab"} | {short_uid("medallion-sales")}
    assert len(uids) == 3 and "medallion-sales" in uids
    assert max(map(len, uids)) == 40


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--environment", "nowhere"], "No environment 'nowhere'; expected one of dev, prod, stg"),
        (["--environment", "../x"], "No environment '../x'; expected one of dev, prod, stg"),
        (["--environment", "broken"], r"broken.yaml: not readable as YAML: .*line 2"),
        (["--environment", "typo"], r"typo.yaml: regoin: unknown key"),
        (["--environment", "lost"], r"No domain './nowhere'"),
        (["--out", "file"], r"cannot be written: .*; choose another folder by --out"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    there = shutil.copytree(settings.FOLDER, tmp_path / "environments")
    dev = (there / "dev.yaml").read_text()
    (there / "broken.yaml").write_text("environment: broken\n  account: [\n")
    (there / "typo.yaml").write_text(dev.replace("region:", "regoin:"))
    lost = dev.replace("environment: dev", "environment: lost").replace("domain: ecommerce", "domain: ./nowhere")
    (there / "lost.yaml").write_text(lost.replace("111111111111", "999999999999"))
    (tmp_path / "file").write_text("")
    for name in {"broken", "typo", "lost"} - {arguments[1]}:
        (there / f"{name}.yaml").unlink()
    monkeypatch.setattr("grafana.environment.FOLDER", there)
    out = [str(tmp_path / "file")] if arguments[0] == "--out" else [arguments[1], "--out", str(tmp_path / "out")]
    assert main([arguments[0], *out]) == 1
    said = capsys.readouterr().err
    assert re.search(told, said), said
    assert "Traceback" not in said


@pytest.mark.parametrize("file", sorted((FOLDER / "dashboards").glob("*.json")), ids=lambda file: file.stem)
def test_grafanas_own_types_know_every_field_of_a_dashboard(file: Path) -> None:
    """Read by the types generated for 11.6 and written again it is the same: a field they do not know would be gone.

    They check no values; TypeScript does, when pictures are made.
    """
    content = json.loads(file.read_text(encoding="utf-8"))

    def again(content: Any) -> Any:
        return json.loads(json.dumps(Dashboard.from_json(content), cls=JSONEncoder))

    for annotation in content["annotations"]["list"]:
        # The types know the query of an annotation as Grafana's own data source has it; that it runs is tested.
        del annotation["target"]
    assert again(content) == content
    assert again({**content, "panles": []}) == content, "an unknown field is seen"


def test_the_sql_names_databases_with_their_prefix() -> None:
    committed = Environment.load(COMMITTED)
    before, after = generated(committed), generated(replace(committed, database_prefix="shop_"))
    read = re.compile(r"\b(?:shop_)?(?:silver|gold|ops|quarantine)\.(?=\w)")
    for path, text in before.items():
        named = set(read.findall("\n".join(sql_in(text))))
        assert set(read.findall("\n".join(sql_in(after[path])))) == {f"shop_{name}" for name in named}
    assert before.keys() == after.keys()


def sql_in(text: str) -> list[str]:
    """Every text in a generated file that is a query."""

    def walk(value: object) -> list[str]:
        match value:
            case dict():
                return [found for each in value.values() for found in walk(each)]
            case list():
                return [found for each in value for found in walk(each)]
            case str() if "SELECT" in value:
                return [value]
            case _:
                return []

    return walk(yaml.safe_load(text))
