"""The image's folder and Dagster's configuration in it. Building the image needs Docker, which is not at hand here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.s3 import S3ComputeLogManager

from infra.image import lay_out
from medallion_assets.contracts.loader import load_domain
from medallion_assets_tests.infra.assembly import PROJECT, Assembly

DOCKER = PROJECT / "infra" / "docker"
THERE: dict[str, Any] = yaml.safe_load((DOCKER / "dagster.yaml").read_text())
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
HERE: dict[str, Any] = yaml.safe_load((PROJECT / "dagster.yaml").read_text())


def test_the_folder_holds_what_the_dockerfile_copies_and_no_caches(tmp_path: Path) -> None:
    folder = lay_out(load_domain("ecommerce"), tmp_path / "image")
    for line in (folder / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (folder / source).exists(), line
    assert not list(folder.rglob("__pycache__"))
    assert load_domain(str(folder / "domain")).tables == load_domain("ecommerce").tables


def test_the_image_has_the_runtimes_versions() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9.-]+==\S+)", (PROJECT / "requirements" / name).read_text(), re.M))

    assert pins("runtime.txt") < pins("image.txt")
    assert {"dagster-aws", "dagster-postgres", "dagster-webserver", "psycopg2-binary", "setuptools", "trino"} <= {
        pin.partition("==")[0] for pin in pins("image.txt") - pins("runtime.txt")
    }
    assert pins("function.txt") - {pin for pin in pins("function.txt") if pin.startswith("typing-extensions")} <= pins(
        "runtime.txt"
    )


def test_dagster_takes_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_LOGS_BUCKET", "logs")
    (tmp_path / "dagster.yaml").write_text((DOCKER / "dagster.yaml").read_text())
    config, _ = dagster_instance_config(str(tmp_path))
    database = config["storage"]["postgres"]["postgres_db"]
    assert database["params"] == {"sslmode": "verify-full"}
    authorities = re.search(r"PGSSLROOTCERT=(\S+)", DOCKERFILE)
    assert authorities and f"global-bundle.pem {authorities[1]}\n" in DOCKERFILE
    _, _, driver = database["scheme"].partition("+")
    assert f"\n{driver}-binary==" in (PROJECT / "requirements" / "image.txt").read_text()
    for component, written in ((EcsRunLauncher, THERE["run_launcher"]), (S3ComputeLogManager, THERE["compute_logs"])):
        assert component.__name__ == written["class"]
        asked = component.config_type()  # type: ignore[no-untyped-call]
        found = process_config(resolve_to_config_type(asked), written["config"])
        assert found.success, found.errors


def test_what_is_not_about_aws_is_as_in_the_projects_own_file() -> None:
    ours = {"storage", "local_artifact_storage", "run_launcher", "compute_logs", "run_monitoring"}
    assert {key: value for key, value in THERE.items() if key not in ours} == {
        key: value for key, value in HERE.items() if key not in ours
    }


def test_every_variable_it_reads_is_set_in_the_containers_that_read_it(assembly: Assembly) -> None:
    text = (DOCKER / "dagster.yaml").read_text() + (DOCKER / "workspace.yaml").read_text()
    read = set(re.findall(r"\{env: (\w+)\}", text))
    launching = {"DAGSTER_RUN_TASK_DEFINITION", "DAGSTER_CODE_HOST"}
    for task in assembly["Orchestrator"].properties("AWS::ECS::TaskDefinition"):
        (container,) = task["ContainerDefinitions"]
        known = {entry["Name"] for entry in (*container["Environment"], *container["Secrets"])}
        starts_runs = container["Name"] in {"daemon", "webserver"}
        assert read - known == (set() if starts_runs else launching)
