"""The account: whose it is, whether it is bootstrapped, whether its roles may deploy."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.bootstrap import check_bootstrap, check_region
from medallion_assets.doctor.finding import Level, answered
from medallion_assets.doctor.permissions import check_execution, check_role
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.cli.conftest import medallion
from medallion_assets_tests.doctor.environment import BOOTSTRAP, account_id, assembly_of, write_assembly

BUCKET = {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "Other"}}}}


def test_credentials_of_another_account_are_the_only_finding(
    aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_assembly(tmp_path / "prod", BUCKET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "123456789012")
    done = medallion("doctor", "--env", str(folder), "--json")
    document = json.loads(done.output)
    (only,) = document["findings"]
    assert only["level"] == "wrong" and "credentials are of account 123456789012" in only["seen"]
    assert (done.exit_code, document["wrong"], document["ok"]) == (1, 1, 0)


def test_an_environment_that_was_not_synthesised_is_a_mistake_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = medallion("doctor", "--env", "prod")
    assert done.exit_code == 2
    assert "run make synth ENV=prod" in done.output


@pytest.mark.slow  # the first request to a service that the local AWS does not know takes it seconds
def test_nothing_wrong_exits_0_and_says_what_was_not_asked(aws: Emulator, tmp_path: Path) -> None:
    """The local AWS has no Lake Formation and no such role, which is never reported as ok."""
    boto3.client("ssm").put_parameter(Name=BOOTSTRAP, Value="30", Type="String")
    done = medallion("doctor", "--env", str(write_assembly(tmp_path / "prod", BUCKET)))
    assert done.exit_code == 0, done.output
    assert "warning    endpoint: http://127.0.0.1" in done.output
    assert "not asked  Lake Formation: GetDataLakeSettings was refused" in done.output
    assert "not asked  mappings: none is deployed yet" in done.output
    assert done.output.endswith(" 0 wrong, 3 not asked.\n")


@pytest.mark.parametrize(
    ("version", "level", "seen"),
    [(None, Level.WRONG, "there is none"), ("5", Level.WRONG, "expected 6 or newer"), ("6", Level.OK, "version 6")],
)
def test_the_bootstrap_is_there_and_new_enough(
    aws: Emulator, tmp_path: Path, version: str | None, level: Level, seen: str
) -> None:
    if version is not None:
        boto3.client("ssm").put_parameter(Name=BOOTSTRAP, Value=version, Type="String")
    (found,) = check_bootstrap(assembly_of(tmp_path / "prod", BUCKET), Account(REGION))
    assert found.level is level and seen in found.seen
    assert (f"bootstrap aws://{account_id()}/{REGION}" in found.fix) == (level is Level.WRONG)


def test_the_region_is_enabled(aws: Emulator, tmp_path: Path) -> None:
    (found,) = check_region(assembly_of(tmp_path / "prod", BUCKET), Account(REGION))
    assert found.level is Level.OK


def test_the_roles_of_the_bootstrap_are_those_of_stack_and_files(aws: Emulator, tmp_path: Path) -> None:
    assembly = assembly_of(tmp_path / "prod", BUCKET)
    place = f"role-{account_id()}-{REGION}"
    assert [role.rpartition("/")[2] for role in assembly.deploying_roles] == [
        f"cdk-hnb659fds-{which}-{place}" for which in ("deploy", "file-publishing", "lookup")
    ]
    assert assembly.deploying_roles[0].startswith("arn:aws:iam::")
    (found,) = check_role(assembly.deploying_roles[0], Account(REGION))
    assert found.level is Level.OK


@pytest.mark.parametrize(("allowed", "level"), [("s3:*", Level.OK), ("sqs:*", Level.WRONG)])
def test_cloudformations_role_may_make_what_the_templates_have(
    aws: Emulator, tmp_path: Path, allowed: str, level: Level
) -> None:
    assembly, iam = assembly_of(tmp_path / "prod", BUCKET), boto3.client("iam")
    (found,) = check_execution(assembly, Account(REGION))
    assert found.level is Level.NOT_ASKED
    role = assembly.executing_role.rpartition("/")[2]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="may", PolicyDocument=document)
    (found,) = check_execution(assembly, Account(REGION))
    assert found.level is level
    assert ("it may not s3:CreateBucket" in found.seen) == (level is Level.WRONG)


def test_what_nobody_answers_is_not_asked(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assembly = assembly_of(tmp_path / "prod", BUCKET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (found,) = answered("bootstrap", check_bootstrap(assembly, Account(REGION)))
    assert found.level is Level.NOT_ASKED and "127.0.0.1:9" in found.seen
    assert medallion("doctor", "--env", str(tmp_path / "prod")).exit_code == 3
