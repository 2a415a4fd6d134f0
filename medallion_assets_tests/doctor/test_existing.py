"""What an environment uses and does not make is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.existing import BUCKET_NAME, check_existing
from medallion_assets.doctor.finding import Level
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.doctor.environment import account_id, assembly_of, levels


def uses(vpc: str, subnet: str, key: str, boundary: str) -> dict[str, Any]:
    network = {"AwsvpcConfiguration": {"Subnets": [subnet]}}
    return {
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"VpcId": vpc}},
        "Service": {"Type": "AWS::ECS::Service", "Properties": {"NetworkConfiguration": network}},
        "Policy": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Statement": [{"Resource": key}]}}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"PermissionsBoundary": boundary}},
    }


def test_what_is_there(aws: Emulator, tmp_path: Path) -> None:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    key = boto3.client("kms").create_key()["KeyMetadata"]
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    bounds = {"Version": "2012-10-17", "Statement": [statement]}
    boundary = boto3.client("iam").create_policy(PolicyName="bounds", PolicyDocument=json.dumps(bounds))["Policy"][
        "Arn"
    ]
    bucket = f"the-lake-{account_id()}"
    boto3.client("s3").create_bucket(Bucket=bucket)

    assembly = assembly_of(tmp_path / "test", uses(vpc, subnet, key["Arn"], boundary), {BUCKET_NAME: bucket})
    found = list(check_existing(assembly, Account(REGION)))
    assert len(found) == 5 and {one.level for one in found} == {Level.OK}

    (default, *_) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    elsewhere = assembly_of(tmp_path / "test", uses(default["VpcId"], subnet, key["Arn"], boundary))
    boto3.client("kms").disable_key(KeyId=key["KeyId"])
    assert {
        subject
        for subject, level in levels(list(check_existing(elsewhere, Account(REGION)))).items()
        if level is Level.WRONG
    } == {
        f"network {subnet}",
        f"key {key['Arn']}",
    }


def test_what_is_not_there(aws: Emulator, tmp_path: Path) -> None:
    key = f"arn:aws:kms:{REGION}:{account_id()}:key/00000000-0000-0000-0000-000000000006"
    boundary = f"arn:aws:iam::{account_id()}:policy/bounds"
    named = uses("vpc-0123456789abcdef0", "subnet-0123456789abcdef0", key, boundary)
    assembly = assembly_of(tmp_path / "test", named, {BUCKET_NAME: f"nowhere-{account_id()}"})
    found = list(check_existing(assembly, Account(REGION)))
    assert len(found) == 5 and {one.level for one in found} == {Level.WRONG}
