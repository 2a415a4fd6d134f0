"""The workflows to copy: no keys, pinned actions, one image through all stages, each stage behind its environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from medallion_assets_tests.infra.assembly import ENVIRONMENTS, PROJECT

FOLDER = PROJECT / "infra" / "github"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
DOCTOR = PROJECT / "medallion_assets" / "doctor"

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader))  # `on` is a key


@every_workflow
def test_there_are_no_keys_and_a_job_gets_a_token_of_aws_only_if_it_takes_a_role(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text and "access-key" not in text
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        takes_role = "uses" in job or any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        assert (job["permissions"].get("id-token") == "write") == takes_role, name


@every_workflow
def test_actions_are_pinned_to_a_commit_and_are_those_of_our_own_workflow(path: Path) -> None:
    ours = (PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    for action, comment in used:
        if action.startswith("./"):
            assert (FOLDER / Path(action).name).is_file()
            continue
        assert re.fullmatch(r"\S+@[0-9a-f]{40}", action) and re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), action
        assert action in ours or action.startswith("aws-actions/configure-aws-credentials@")


def test_one_image_is_promoted_through_the_stages_in_order() -> None:
    jobs = read(FOLDER / "deploy.yml")["jobs"]
    before = "image"
    for stage in ("dev", "stg", "prod"):
        job = jobs.pop(stage)
        assert before in job["needs"]
        assert job["with"] == {"environment": stage, "image": "${{ needs.image.outputs.image }}"}
        before = stage
    assert list(jobs) == ["image"]
    (deploy,) = read(FOLDER / "stage.yml")["jobs"].values()
    assert deploy["environment"] == "${{ inputs.environment }}"
    commands = [step["run"] for step in deploy["steps"] if "run" in step]
    assert [command.split()[0] for command in commands] == ["make", ".venv/bin/medallion", ".venv-infra/bin/python"]
    assert commands[0] == 'make synth ENV="$ENVIRONMENT" IMAGE="$IMAGE"'


@pytest.mark.parametrize("name", ["diff.yml", "drift.yml"])
def test_each_environment_is_compared(name: str) -> None:
    (job,) = read(FOLDER / name)["jobs"].values()
    compared = job["strategy"]["matrix"]["environment"]
    assert sorted(compared) == sorted(path.stem for path in ENVIRONMENTS.glob("*.yaml"))


def test_the_roles_may_ask_what_the_doctor_asks() -> None:
    """IAM's names of the actions, from the calls in the doctor's sources."""
    named = {"service-quotas": "servicequotas", "sso-admin": "sso"}
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCTOR.glob("*.py"))
    calls = set(re.findall(r'client\("([a-z0-9-]+)"\)\s*\.(?:get_paginator\(")?([a-z_]+)', text))
    calls |= set(re.findall(r'_described\(\s*"([a-z-]+)", "([a-z_]+)"', text))
    assert len(calls) > 15
    allowed = {action.lower() for action in re.findall(r"- ([a-z0-9-]+:[A-Z]\w+)", (FOLDER / "roles.yaml").read_text())}
    for service, operation in calls - {("sts", "get_caller_identity"), ("sts", "assume_role"), ("sts", "meta")}:
        action = f"{named.get(service, service)}:{operation.replace('_', '')}"
        assert action.replace("s3:headbucket", "s3:listbucket") in allowed, action
