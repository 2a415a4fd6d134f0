"""Quotas that a first deployment meets: the account has room for what the templates add.

Belongs here: what is needed, what is in use, and AWS's limit. Does not belong here: quotas that no environment reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly, Resource
from medallion_assets.doctor.finding import Finding, answered, code, ok, warning, wrong

_CONCURRENCY_OF_NEW_ACCOUNTS: Final = 50
"""A new account may have 10: one shard of each of a few tables, and nothing left for anything else."""


def check_quotas(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield one line for each quota."""
    for kind, counted in _COUNTED.items():
        if resources := assembly.of_type(kind):
            yield from answered(counted.subject, _check_count(counted, resources, account))
    yield from answered("quota Fargate vCPU", _check_fargate(assembly, account))
    yield from answered("quota Lambda concurrency", _check_concurrency(assembly, account))


@dataclass(frozen=True, slots=True)
class _Counted:
    """A quota of a number of things in the region, by its codes; `in_use` asks EC2 how many there are."""

    subject: str
    service: str
    quota: str
    in_use: Callable[[Any], int]


def _check_count(counted: _Counted, resources: list[Resource], account: Account) -> Iterator[Finding]:
    missing = sum(account.physical_id(resource) is None for resource in resources)
    used = counted.in_use(account.client("ec2"))
    limit = _limit(account, counted.service, counted.quota)
    seen = f"{used} of {limit:g} in use, {missing} more needed"
    if used + missing <= limit:
        yield ok(counted.subject, seen)
    else:
        yield wrong(counted.subject, seen, _raise(counted.service, counted.quota, used + missing))


def _check_fargate(assembly: Assembly, account: Account) -> Iterator[Finding]:
    tasks = assembly.of_type("AWS::ECS::TaskDefinition")
    if not tasks:
        return
    service, quota = "fargate", "L-3032A538"
    needed = sum(int(task.properties["Cpu"]) for task in tasks) / 1024
    limit = _limit(account, service, quota)
    seen = f"{limit:g}; {needed:g} needed by one task of each kind, what others use is not counted"
    if needed <= limit:
        yield ok("quota Fargate vCPU", seen)
    else:
        yield wrong("quota Fargate vCPU", seen, _raise(service, quota, needed))


def _check_concurrency(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield whether each shard of each stream can have its instance of the function; a table has a shard or more."""
    subject, tables = "quota Lambda concurrency", len(assembly.of_type("AWS::Lambda::EventSourceMapping"))
    limit = account.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    fix = _raise("lambda", "L-B99A9384", 1_000)
    seen = f"{limit} not reserved; {tables} tables need one for each of their shards"
    if limit < tables:
        yield wrong(subject, seen, fix)
    elif limit < _CONCURRENCY_OF_NEW_ACCOUNTS:
        yield warning(subject, seen, fix)
    else:
        yield ok(subject, seen)


def _limit(account: Account, service: str, quota: str) -> float:
    """Return the value that applies to the account: its own, or AWS's default. Raises ClientError."""
    client, which = account.client("service-quotas"), {"ServiceCode": service, "QuotaCode": quota}
    try:
        return float(client.get_service_quota(**which)["Quota"]["Value"])
    except ClientError as refused:
        if code(refused) != "NoSuchResourceException":
            raise
        return float(client.get_aws_default_service_quota(**which)["Quota"]["Value"])


def _raise(service: str, quota: str, value: float) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {quota} "
        f"--desired-value {value:g}"
    )


def _nat_gateways(ec2: Any) -> int:
    """Return the most that any zone has: the quota is a zone's."""
    pages = ec2.get_paginator("describe_nat_gateways").paginate(
        Filter=[{"Name": "state", "Values": ["pending", "available", "deleting"]}]
    )
    subnets = [gateway["SubnetId"] for page in pages for gateway in page["NatGateways"]]
    if not subnets:
        return 0
    found = ec2.describe_subnets(SubnetIds=sorted(set(subnets)))["Subnets"]
    zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in found}
    used = [zones[subnet] for subnet in subnets]
    return max(used.count(zone) for zone in used)


_COUNTED: Final = {
    "AWS::EC2::VPC": _Counted(
        "quota VPCs",
        "vpc",
        "L-F678F1CE",
        lambda ec2: sum(len(page["Vpcs"]) for page in ec2.get_paginator("describe_vpcs").paginate()),
    ),
    "AWS::EC2::EIP": _Counted(
        "quota elastic IPs",
        "ec2",
        "L-0263D0A3",
        lambda ec2: len(ec2.describe_addresses()["Addresses"]),
    ),
    "AWS::EC2::NatGateway": _Counted("quota NAT gateways of a zone", "vpc", "L-FE5A380F", _nat_gateways),
}
"""The quota that a type of resource is counted against."""
