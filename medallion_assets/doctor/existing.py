"""What the account has already and the environment uses: network, bucket, keys, permissions boundary.

Belongs here: finding them in the templates, where they are named and not made, and asking whether they are there. Does
not belong here: existing tables (tables), user pools (sign_in), the certificate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, answered, code, ok, wrong

BUCKET_NAME: Final = "BucketName"
"""The output of the Lake stack with the bucket's name; text in the template if the bucket is not made."""

_VPC: Final = re.compile(r"vpc-[0-9a-f]+")
_SUBNET: Final = re.compile(r"subnet-[0-9a-f]+")
_KEY: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")
_FIX: Final = "correct it in the environment's file"


@dataclass(frozen=True, slots=True)
class Named:
    """What the templates name as text: ids of VPCs and subnets, ARNs of keys and of permissions boundaries."""

    vpcs: list[str]
    subnets: list[str]
    keys: list[str]
    boundaries: list[str]


def find_named(assembly: Assembly) -> Named:
    """Return what the templates name and do not make; what they make is a reference in them."""
    texts = sorted({text for resource in assembly.resources for text in _texts(resource.properties)})
    vpcs, subnets, keys = ([text for text in texts if pattern.fullmatch(text)] for pattern in (_VPC, _SUBNET, _KEY))
    bounds = (role.properties.get("PermissionsBoundary") for role in assembly.of_type("AWS::IAM::Role"))
    return Named(vpcs, subnets, keys, sorted({bound for bound in bounds if isinstance(bound, str)}))


def check_existing(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield one line for each thing that the environment uses and does not make."""
    named = find_named(assembly)
    for vpc in named.vpcs:
        yield from answered(f"network {vpc}", _check_vpc(vpc, account))
    for subnet in named.subnets:
        yield from answered(f"network {subnet}", _check_subnet(subnet, named.vpcs, account))
    for key in named.keys:
        yield from answered(f"key {key}", _check_key(key, account))
    for boundary in named.boundaries:
        yield from answered(f"boundary {boundary}", _check_boundary(boundary, account))
    if (bucket := assembly.outputs.get(BUCKET_NAME)) is not None:
        yield from answered(f"bucket {bucket}", _check_bucket(bucket, account))


def _check_vpc(vpc: str, account: Account) -> Iterator[Finding]:
    try:
        (found,) = account.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]
    except ClientError as refused:
        if code(refused) != "InvalidVpcID.NotFound":
            raise
        yield wrong(f"network {vpc}", f"there is none in {account.region}", _FIX)
        return
    yield ok(f"network {vpc}", str(found["CidrBlock"]))


def _check_subnet(subnet: str, vpcs: list[str], account: Account) -> Iterator[Finding]:
    subject = f"network {subnet}"
    try:
        (found,) = account.client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    except ClientError as refused:
        if code(refused) != "InvalidSubnetID.NotFound":
            raise
        yield wrong(subject, f"there is none in {account.region}", _FIX)
        return
    if found["VpcId"] in vpcs:
        yield ok(subject, f"in {found['AvailabilityZone']}, {found['AvailableIpAddressCount']} addresses are free")
    else:
        yield wrong(subject, f"it is in {found['VpcId']}; expected {' or '.join(vpcs)}", _FIX)


def _check_key(key: str, account: Account) -> Iterator[Finding]:
    subject = f"key {key}"
    try:
        state = account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    except ClientError as refused:
        if code(refused) != "NotFoundException":
            raise
        yield wrong(subject, "there is none", _FIX)
        return
    if state == "Enabled":
        yield ok(subject, state)
    else:
        yield wrong(subject, f"it is {state}", "enable it")


def _check_boundary(arn: str, account: Account) -> Iterator[Finding]:
    try:
        account.client("iam").get_policy(PolicyArn=arn)
    except ClientError as refused:
        if code(refused) != "NoSuchEntity":
            raise
        yield wrong(f"boundary {arn}", "there is no such policy", _FIX)
        return
    yield ok(f"boundary {arn}", "exists")


def _check_bucket(bucket: str, account: Account) -> Iterator[Finding]:
    try:
        account.client("s3").head_bucket(Bucket=bucket)
    except ClientError as refused:
        if code(refused) not in {"404", "403", "301"}:
            raise
        yield wrong(f"bucket {bucket}", "there is none in this account and region", _FIX)
        return
    yield ok(f"bucket {bucket}", "exists")


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for one in value.values():
                yield from _texts(one)
