"""The stacks in an account that already has things (EXISTING, and the user pool of `open`), which are used."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from medallion_assets_tests.infra.assembly import PROJECT, TOOLS, Assembly, Template
from medallion_assets_tests.infra.conftest import EXISTING, IMAGE, POOL

ORCHESTRATOR: Any = EXISTING["orchestrator"]
SOURCES: Any = EXISTING["sources"]
WHO_READS_TABLES = ("Rolepipeline", "Roleoperator")


@pytest.fixture
def existing(variants: dict[str, Assembly]) -> Assembly:
    return variants["existing"]


def resources(assembly: Assembly, kind: str) -> Iterator[dict[str, Any]]:
    for template in assembly.templates:
        yield from template.properties(kind)


def containers(assembly: Assembly) -> dict[str, dict[str, Any]]:
    tasks = assembly["Orchestrator"].properties("AWS::ECS::TaskDefinition")
    return {one["Name"]: one for task in tasks for one in task["ContainerDefinitions"]}


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {one["Name"]: one["Value"] for one in container["Environment"]}


def statements(template: Template, sid: str) -> dict[str, dict[str, Any]]:
    """The statement with this sid of each role that has it, by the role's logical id."""
    found: dict[str, dict[str, Any]] = {}
    for policy in template.policies():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement.get("Sid") == sid:
                found |= {role["Ref"]: statement for role in policy["Roles"]}
    return found


def test_cloudformation_takes_what_is_written(existing: Assembly, variants: dict[str, Assembly]) -> None:
    """`make check` lints the shipped environments, which have none of these settings."""
    rules = PROJECT / "infra" / "checks" / "cfn-lint.yaml"
    files = [template.folder / f"{template.name}.template.json" for template in existing.templates]
    files.append(variants["open"].folder / "Orchestrator.template.json")
    done = subprocess.run(
        [TOOLS / "cfn-lint", "--config-file", rules, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_vpc_that_exists_is_used_and_nothing_is_put_into_it_but_what_runs(existing: Assembly) -> None:
    stack, network = existing["Orchestrator"], ORCHESTRATOR["network"]
    for kind in ("VPC", "Subnet", "NatGateway", "InternetGateway", "VPCEndpoint", "FlowLog", "RouteTable"):
        assert not stack.resources(f"AWS::EC2::{kind}"), kind
    assert {group["VpcId"] for group in stack.properties("AWS::EC2::SecurityGroup")} == {network["vpc_id"]}
    for service in stack.properties("AWS::ECS::Service"):
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"] == network["private_subnets"]
    assert stack.one("AWS::ElasticLoadBalancingV2::LoadBalancer")["Subnets"] == network["private_subnets"]
    assert stack.one("AWS::RDS::DBSubnetGroup")["SubnetIds"] == network["database_subnets"]


def test_a_bucket_that_exists_is_used_and_who_owns_it_adds_the_notification(existing: Assembly) -> None:
    lake, bucket = existing["Lake"], EXISTING["lake_bucket"]
    assert bucket not in [one["BucketName"] for one in resources(existing, "AWS::S3::Bucket")]
    places = {one["TableInput"]["StorageDescriptor"]["Location"] for one in lake.properties("AWS::Glue::Table")}
    assert f"s3://{bucket}/bronze/Orders/" in places
    assert variables(containers(existing)["run"])["MEDALLION_WAREHOUSE"] == f"s3://{bucket}/warehouse"
    _, allow = lake.one("AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    assert allow["Condition"]["ArnEquals"] == {"aws:SourceArn": f"arn:aws-cn:s3:::{bucket}"}
    written = statements(existing["Capture"], "WriteBronze").values()
    assert all(resource.startswith(f"arn:aws-cn:s3:::{bucket}/") for one in written for resource in one["Resource"])


def test_buckets_with_data_have_the_key_and_only_who_opens_them_may_use_it(existing: Assembly) -> None:
    keys = {}
    for bucket in resources(existing, "AWS::S3::Bucket"):
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        what = bucket["BucketName"].removeprefix("medallion-existing-").rpartition("-333333333333-")[0]
        keys[what] = rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
    key = EXISTING["kms_key_arn"]
    assert keys == {"given-up": key, "athena": key, "logs": None, "dagster": None}
    for workgroup in resources(existing, "AWS::Athena::WorkGroup"):
        result = workgroup["WorkGroupConfiguration"]["ResultConfiguration"]["EncryptionConfiguration"]
        assert result == {"EncryptionOption": "SSE_KMS", "KmsKey": key}
    users = {stack: statements(existing[stack], "UseDataKey") for stack in ("Capture", "Orchestrator", "Dashboards")}
    assert [len(found) for found in users.values()] == [1, 2, 1]
    assert all(role.startswith(WHO_READS_TABLES) for role in users["Orchestrator"])
    for statement in (one for found in users.values() for one in found.values()):
        assert (statement["Action"], statement["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey"], key)
        assert statement["Condition"] == {"StringEquals": {"kms:ViaService": "s3.cn-north-1.amazonaws.com.cn"}}


def test_who_reads_tables_or_streams_may_decrypt_them_through_dynamodb(existing: Assembly) -> None:
    capture = statements(existing["Capture"], "DecryptTables")
    readers = statements(existing["Orchestrator"], "DecryptTables")
    assert len(capture) == 1 and len(readers) == 2
    assert all(role.startswith(WHO_READS_TABLES) for role in readers)
    for statement in (*capture.values(), *readers.values()):
        assert [statement["Action"], statement["Resource"]] == ["kms:Decrypt", *SOURCES["kms_keys"]]
        assert statement["Condition"] == {"StringEquals": {"kms:ViaService": "dynamodb.cn-north-1.amazonaws.com.cn"}}


def test_a_table_with_another_name_is_read_under_it_and_is_the_contracts_in_bronze(existing: Assembly) -> None:
    known = {name for name, one in containers(existing).items() if "MEDALLION_SOURCE_TABLES" in variables(one)}
    assert known == {"code", "run", "operator"}
    function = existing["Capture"].one("AWS::Lambda::Function")["Environment"]["Variables"]
    for given in (function, *(variables(containers(existing)[name]) for name in known)):
        assert given["MEDALLION_SOURCE_TABLES"] == "Orders=prod-Orders"
    for statement in statements(existing["Orchestrator"], "ReadTables").values():
        assert {arn.partition(":table/")[2] for arn in statement["Resource"]} == {
            "Customers",
            "prod-Orders",
            "Products",
        }
    written = " ".join(next(iter(statements(existing["Capture"], "WriteBronze").values()))["Resource"])
    assert "/bronze/Orders/*" in written and "prod-Orders" not in written
    names = {alarm["AlarmName"] for alarm in existing["Capture"].properties("AWS::CloudWatch::Alarm")}
    assert "medallion-existing-capture-polling-Orders" in names


def test_every_database_and_every_grant_on_one_has_the_prefix(existing: Assembly) -> None:
    lake = existing["Lake"]
    databases = [one["DatabaseInput"]["Name"] for one in lake.properties("AWS::Glue::Database")]
    assert sorted(databases) == [
        f"shop_{layer}" for layer in ("bronze", "deleted", "gold", "history", "ops", "quarantine", "silver")
    ]
    assert {one["DatabaseName"] for one in lake.properties("AWS::Glue::Table")} == {"shop_bronze"}
    assert variables(containers(existing)["run"])["MEDALLION_DATABASE_PREFIX"] == "shop_"
    named = [
        resource.partition(":333333333333:")[2].partition("/")[2]
        for template in existing.templates
        for statement in template.statements()
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
        if isinstance(resource, str) and ":glue:" in resource
    ]
    assert {name for name in named if not name.startswith("shop_")} == {""}, "the catalog has no name"
    assert len(set(named)) > 6


def test_where_iam_alone_opens_no_table_lake_formation_does(existing: Assembly, dev: Assembly) -> None:
    kind, granted = "AWS::LakeFormation::PrincipalPermissions", dict[tuple[str, str], set[str]]()
    for one in resources(existing, kind):
        (role,) = one["Principal"]["DataLakePrincipalIdentifier"].values()
        ((what, resource),) = one["Resource"].items()
        name = resource.get("Name") or f"{resource['DatabaseName']}/*"
        assert what == "Database" or "TableWildcard" in resource
        granted[role[0][: len("Roleoperator")], name] = set(one["Permissions"])
    layers, read = ("silver", "deleted", "history", "quarantine", "gold", "ops"), {"DESCRIBE", "SELECT"}
    for role, more in (("Rolepipeline", set[str]()), ("Roleoperator", {"DROP"})):
        for layer in layers:
            assert granted.pop((role, f"shop_{layer}")) == {"DESCRIBE", "CREATE_TABLE"}
            assert granted.pop((role, f"shop_{layer}/*")) == read | {"INSERT", "DELETE", "ALTER"} | more
    grafana = {name: permissions for (_, name), permissions in granted.items()}
    assert grafana == {"shop_gold": {"DESCRIBE"}, "shop_gold/*": read, "shop_ops": {"DESCRIBE"}, "shop_ops/*": read}
    assert not list(resources(dev, kind))


def test_an_image_that_is_built_is_pulled_by_every_task_and_none_is_built(existing: Assembly) -> None:
    for container in containers(existing).values():
        parts = container["Image"]["Fn::Join"][1]
        assert "".join("amazonaws.com.cn" if isinstance(part, dict) else part for part in parts) == IMAGE
    manifest = json.loads((existing.folder / "Orchestrator.assets.json").read_text())
    assert not manifest.get("dockerImages")
    pulling = [one for one in existing["Orchestrator"].statements() if "ecr:BatchGetImage" in one["Action"]]
    assert len(pulling) == 5
    assert {one["Resource"] for one in pulling} == {"arn:aws-cn:ecr:cn-north-1:333333333333:repository/data/medallion"}


def test_people_sign_in_with_a_provider_that_exists(existing: Assembly) -> None:
    stack, provider = existing["Orchestrator"], ORCHESTRATOR["sign_in"]
    sign_in, forward = stack.one("AWS::ElasticLoadBalancingV2::Listener")["DefaultActions"]
    assert (sign_in["Type"], forward["Type"]) == ("authenticate-oidc", "forward")
    config = sign_in["AuthenticateOidcConfig"]
    assert (config["Issuer"], config["ClientId"]) == (provider["issuer"], provider["client_id"])
    assert config["ClientSecret"] == f"{{{{resolve:secretsmanager:{provider['client_secret_arn']}:SecretString:::}}}}"
    assert config["SessionTimeout"] == str(12 * 3600)
    assert not stack.resources("AWS::Cognito::UserPool") and not stack.resources("AWS::Cognito::UserPoolClient")


def test_people_sign_in_with_a_user_pool_that_exists(variants: dict[str, Assembly]) -> None:
    stack = variants["open"]["Orchestrator"]
    sign_in = stack.one("AWS::ElasticLoadBalancingV2::Listener")["DefaultActions"][0]
    config = sign_in["AuthenticateCognitoConfig"]
    assert (config["UserPoolArn"], config["UserPoolDomain"]) == (POOL, "people")
    assert not stack.resources("AWS::Cognito::UserPool")
    client = stack.one("AWS::Cognito::UserPoolClient")
    assert (client["UserPoolId"], client["GenerateSecret"]) == (POOL.rpartition("/")[2], True)
    assert client["CallbackURLs"] == ["https://dagster.dev.example.com/oauth2/idpresponse"]


def test_every_role_has_the_path_and_the_boundary(existing: Assembly, variants: dict[str, Assembly]) -> None:
    roles = list(resources(existing, "AWS::IAM::Role"))
    assert len(roles) > 10
    assert {role["Path"] for role in roles} == {EXISTING["role_path"]}
    assert {role["PermissionsBoundary"] for role in roles} == {EXISTING["permissions_boundary_arn"]}
    for role in resources(variants["dev"], "AWS::IAM::Role"):
        assert "Path" not in role and "PermissionsBoundary" not in role


def test_the_qualifier_of_the_bootstrap_is_in_every_place_of_it(existing: Assembly) -> None:
    manifest = (existing.folder / "manifest.json").read_text()
    assert "cdk-platform-deploy-role" in manifest and "hnb659fds" not in manifest
    for template in existing.templates:
        assert template.body["Parameters"]["BootstrapVersion"]["Default"] == "/cdk-bootstrap/platform/version"


def test_free_tags_are_on_everything_beside_our_own(existing: Assembly) -> None:
    for kind in ("AWS::S3::Bucket", "AWS::ECS::Service", "AWS::Lambda::Function", "AWS::IAM::Role"):
        for one in resources(existing, kind):
            tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
            assert tags["cost-center"] == "4711" and tags["environment"] == "existing"
