"""The DynamoDB tables that exist already: what capture reads is what the contract describes.

Belongs here: a table's key, stream and encryption, compared with the mapping that would be deployed. Does not belong
here: tables that the environment makes itself (names), the mapping that is deployed (mappings).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly, Resource
from medallion_assets.doctor.finding import Finding, code, not_asked, ok, warning, wrong

KEY = "Key"
"""In the metadata of a mapping: the key that the contract says, as DynamoDB's AttributeDefinitions, hash key first."""

_VIEW = "NEW_AND_OLD_IMAGES"


def existing_tables(assembly: Assembly) -> dict[str, Resource]:
    """Return the mappings of the tables that exist already, by the ARN of the stream that the settings name."""
    return {
        mapping.properties["EventSourceArn"]: mapping
        for mapping in assembly.of_type("AWS::Lambda::EventSourceMapping")
        if isinstance(arn := mapping.properties["EventSourceArn"], str) and ":table/" in arn
    }


def check_table(stream: str, mapping: Resource, assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield whether a table exists, and whether its key, stream and encryption are as the environment needs them."""
    arn = stream.partition("/stream/")[0]
    name = arn.partition(":table/")[2]
    subject = f"table {name}"
    if arn.split(":")[4] != assembly.account:
        yield not_asked(subject, f"it is in account {arn.split(':')[4]}", "run the doctor there, too")
        return
    table = account.table(arn)
    if table is None:
        yield wrong(subject, f"there is none in {assembly.region}", "correct `sources` in the environment's file")
        return
    if table["TableStatus"] != "ACTIVE":
        yield warning(subject, f"its status is {table['TableStatus']}", "wait until it is ACTIVE")
    yield _check_key(subject, mapping.metadata.get(KEY), table)
    yield _check_stream(name, stream, table)
    yield from _check_encryption(subject, table, assembly, account)


def _check_key(subject: str, expected: list[dict[str, str]] | None, table: dict[str, Any]) -> Finding:
    subject = f"{subject}: key"
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    schema = sorted(table["KeySchema"], key=lambda part: str(part["KeyType"]))  # HASH before RANGE
    found = [{"AttributeName": part["AttributeName"], "AttributeType": types[part["AttributeName"]]} for part in schema]
    if expected is None:
        return not_asked(subject, "the template does not say the contract's key", "run make synth again")
    if found != expected:
        return wrong(
            subject, f"it is {_key(found)}; the contract says {_key(expected)}", "correct `key` in the contract"
        )
    return ok(subject, f"{_key(found)}, as the contract says")


def _key(parts: list[dict[str, str]]) -> str:
    return " + ".join(f"{part['AttributeName']} ({part['AttributeType']})" for part in parts)


def _check_stream(name: str, expected: str, table: dict[str, Any]) -> Finding:
    subject, stream = f"table {name}: stream", table.get("StreamSpecification", {})
    switch = f"aws dynamodb update-table --table-name {name} --stream-specification"
    on = f"{switch} StreamEnabled=true,StreamViewType={_VIEW}"
    if not stream.get("StreamEnabled"):
        return wrong(subject, "it is off", f"{on}; then write its ARN into `sources.streams`")
    if stream["StreamViewType"] != _VIEW:
        return wrong(
            subject,
            f"it sends {stream['StreamViewType']}; expected {_VIEW}",
            f"who else reads it has to agree: {switch} StreamEnabled=false, then {on}; the ARN changes",
        )
    if table["LatestStreamArn"] != expected:
        return wrong(
            subject,
            f"the table's stream is {table['LatestStreamArn']}; the settings name {expected}, which nobody writes to",
            "write the table's stream into `sources.streams`; changes since it was replaced are a gap: run a repair",
        )
    return ok(subject, f"on, with {_VIEW}, as the settings name it")


def _check_encryption(subject: str, table: dict[str, Any], assembly: Assembly, account: Account) -> Iterator[Finding]:
    subject, key = f"{subject}: encryption", table.get("SSEDescription", {}).get("KMSMasterKeyArn")
    if key is None:
        yield ok(subject, "with DynamoDB's own key")
        return
    try:
        manager = account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyManager"]
    except ClientError as refused:
        if code(refused) != "NotFoundException":
            raise
        yield wrong(subject, f"its key {key} does not exist", "restore the key: the table cannot be read")
        return
    if manager == "AWS":
        yield ok(subject, "with the account's key of DynamoDB")
    elif any(key in json.dumps(policy.properties) for policy in assembly.of_type("AWS::IAM::Policy")):
        yield ok(subject, f"with {key}, which the environment's roles may use")
    else:
        yield wrong(
            subject,
            f"with a key of the customer, {key}, which no role of the environment may use",
            "add it to `sources.kms_keys`, so that capture, runs and operator get kms:Decrypt",
        )
