"""What the Orchestrator stack promises, in every environment, held against its template."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from typing import Any

import dagster._daemon.sensor
import pytest
import yaml
from dagster_aws.ecs import EcsRunLauncher

from medallion_assets.engines.engine import AthenaSettings, TrinoSettings
from medallion_assets.settings import VARIABLES, DomainSettings
from medallion_assets_tests.infra.assembly import PROJECT, Assembly
from medallion_assets_tests.infra.conftest import TRINO, VIEWERS

ACCOUNT = "111111111111"


def containers(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = {}
    for task in assembly["Orchestrator"].properties("AWS::ECS::TaskDefinition"):
        (container,) = task["ContainerDefinitions"]
        found[container["Name"]] = container
    return found


def groups(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = assembly["Orchestrator"].properties("AWS::EC2::SecurityGroup")
    return {group["GroupName"].rpartition("-")[2]: group for group in found}


def test_the_page_is_inside_the_vpc_behind_https_and_a_sign_in(assembly: Assembly) -> None:
    stack = assembly["Orchestrator"]
    assert stack.one("AWS::ElasticLoadBalancingV2::LoadBalancer")["Scheme"] == "internal"
    listener = stack.one("AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["SslPolicy"].startswith("ELBSecurityPolicy-TLS13")
    assert [action["Type"] for action in listener["DefaultActions"]] == ["authenticate-cognito", "forward"]
    cidr = stack.one("AWS::EC2::VPC")["CidrBlock"]
    (ingress,) = groups(assembly)["balancer"]["SecurityGroupIngress"]
    assert (ingress["CidrIp"], ingress["FromPort"]) == (cidr, 443)


def test_nobody_signs_up_and_everybody_has_a_second_factor(assembly: Assembly) -> None:
    users = assembly["Orchestrator"].one("AWS::Cognito::UserPool")
    assert users["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert users["MfaConfiguration"] == "ON"
    assert users["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]


@pytest.mark.parametrize("name", ["webserver", "code", "daemon"])
def test_services_have_no_public_address_and_one_task(assembly: Assembly, name: str) -> None:
    services = {one["ServiceName"]: one for one in assembly["Orchestrator"].properties("AWS::ECS::Service")}
    assert len(services) == 3
    service = services[name]
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    assert service["DesiredCount"] == 1
    assert service["LaunchType"] == "FARGATE", "the launcher fails on a capacity provider's task"
    most = service["DeploymentConfiguration"]["MaximumPercent"]
    assert most == (200 if name == "webserver" else 100), "never two daemons"


def test_viewers_have_a_read_only_page_and_a_sign_in_of_their_own(
    variants: dict[str, Assembly], assembly: Assembly
) -> None:
    """Dagster knows no roles: who may open its page may start, stop and delete runs there."""
    assert not assembly["Orchestrator"].resources("AWS::ElasticLoadBalancingV2::ListenerRule")
    stack = variants["athena"]["Orchestrator"]
    commands = {name: container["Command"] for name, container in containers(variants["athena"]).items()}
    assert "--read-only" in commands["viewer"] and "--read-only" not in commands["webserver"]
    rule = stack.one("AWS::ElasticLoadBalancingV2::ListenerRule")
    (condition,) = rule["Conditions"]
    assert condition["HostHeaderConfig"] == {"Values": [VIEWERS["hostname"]]}
    sign_in, forward = rule["Actions"]
    viewers = {one["ServiceName"]: one for one in stack.properties("AWS::ECS::Service")}["viewer"]
    assert forward["TargetGroupArn"] == viewers["LoadBalancers"][0]["TargetGroupArn"]
    people, _ = stack.one("AWS::ElasticLoadBalancingV2::Listener")["DefaultActions"]
    pools = [one["AuthenticateCognitoConfig"]["UserPoolArn"] for one in (people, sign_in)]
    assert str(pools[0]) != str(pools[1])
    made = {one["UserPoolName"].rpartition("-")[2]: one for one in stack.properties("AWS::Cognito::UserPool")}
    assert set(made) == {"dagster", "viewers"} and made["viewers"]["MfaConfiguration"] == "ON"
    clients = {tuple(one["CallbackURLs"]) for one in stack.properties("AWS::Cognito::UserPoolClient")}
    assert (f"https://{VIEWERS['hostname']}/oauth2/idpresponse",) in clients and len(clients) == 2
    (more,) = stack.properties("AWS::ElasticLoadBalancingV2::ListenerCertificate")
    assert more["Certificates"] == [{"CertificateArn": VIEWERS["certificate_arn"]}]
    (role,) = [name for name in stack.resources("AWS::IAM::Role") if name.startswith("Roleviewer")]
    policies = [one for one in stack.policies() if {"Ref": role} in one["Roles"]]
    assert policies and "StopTask" not in str(policies)


def test_passwords_come_from_the_secret_and_are_nowhere_else(assembly: Assembly) -> None:
    for name, container in containers(assembly).items():
        assert {secret["Name"] for secret in container["Secrets"]} == {"DAGSTER_DB_USER", "DAGSTER_DB_PASSWORD"}, name
        assert not [entry for entry in container["Environment"] if "PASSWORD" in entry["Name"]]
    secret = assembly["Orchestrator"].one("AWS::SecretsManager::Secret")
    assert "GenerateSecretString" in secret
    assert "SecretString" not in secret


def test_code_server_and_runs_know_the_lake_and_the_others_do_not(assembly: Assembly) -> None:
    for name, container in containers(assembly).items():
        known = {entry["Name"] for entry in container["Environment"]}
        ours = {"MEDALLION_BRONZE", "MEDALLION_WAREHOUSE", "MEDALLION_CATALOG"}
        assert (ours <= known) == (name in {"code", "run", "operator"})
        assert ("DAGSTER_RUN_TASK_DEFINITION" in known) == (name in {"daemon", "webserver"})


class Ecs:
    """ECS with the revisions of one task definition, of which a deployment leaves the newest alone."""

    def __init__(self) -> None:
        self.revisions: list[str] = []
        self.started: list[str] = []

    def deploy(self) -> str:
        """Register a revision, deregister the others, and return what CloudFormation's Ref gives."""
        number = len(self.started) + 41
        self.revisions = [f"arn:aws:ecs:eu-central-1:{ACCOUNT}:task-definition/medallion-dev-run:{number}"]
        return self.revisions[0]

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:
        (found,) = [one for one in self.revisions if taskDefinition in {one, one.partition("/")[2].partition(":")[0]}]
        return {"taskDefinition": {"taskDefinitionArn": found, "containerDefinitions": [{"name": "run"}]}}

    def run_task(self, **task: Any) -> dict[str, Any]:
        assert task["taskDefinition"] in self.revisions, "TaskDefinition is inactive"
        self.started.append(task["taskDefinition"])
        return {"tasks": [{"taskArn": "arn:task", "clusterArn": "arn:cluster"}]}


def test_a_deployment_that_changes_the_run_task_starts_the_launchers_anew(assembly: Assembly) -> None:
    """The launcher keeps the revision that it finds when it starts. So the revision is in its service's own task."""
    tasks = assembly["Orchestrator"].resources("AWS::ECS::TaskDefinition")
    (run,) = [name for name, task in tasks.items() if task["Properties"]["Family"].endswith("-run")]
    for name in ("daemon", "webserver"):
        told = {entry["Name"]: entry["Value"] for entry in containers(assembly)[name]["Environment"]}
        assert told["DAGSTER_RUN_TASK_DEFINITION"] == {"Ref": run}


def test_the_launcher_starts_the_revision_it_is_told_and_none_that_a_deployment_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the test before rests on, in the launcher's own code."""
    ecs = Ecs()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr("boto3.client", lambda service, **options: ecs)
    monkeypatch.setenv("DAGSTER_RUN_TASK_DEFINITION", ecs.deploy())
    configured = yaml.safe_load((PROJECT / "infra" / "docker" / "dagster.yaml").read_text())["run_launcher"]["config"]

    def start(launcher: EcsRunLauncher) -> None:
        ecs.run_task(taskDefinition=launcher.task_definition)

    before = EcsRunLauncher(**configured)
    start(before)
    monkeypatch.setenv("DAGSTER_RUN_TASK_DEFINITION", ecs.deploy())
    with pytest.raises(AssertionError, match="inactive"):
        start(before)
    start(EcsRunLauncher(**configured))
    assert len(set(ecs.started)) == 2


@pytest.mark.parametrize("name", ["run", "code", "operator"])
def test_duckdb_gets_half_of_the_containers_memory_and_the_tasks_disk(assembly: Assembly, name: str) -> None:
    tasks = assembly["Orchestrator"].properties("AWS::ECS::TaskDefinition")
    (task,) = [one for one in tasks if one["ContainerDefinitions"][0]["Name"] == name]
    (container,) = task["ContainerDefinitions"]
    assert container["Memory"] == int(task["Memory"]), "else the container sees the memory of its host"
    given = {entry["Name"]: entry["Value"] for entry in container["Environment"]}
    assert int(given["MEDALLION_DUCKDB_MEMORY_MB"]) == container["Memory"] // 2
    assert given["MEDALLION_SPILL_FOLDER"] == "/tmp"


def test_the_disk_of_runs_is_a_setting(variants: dict[str, Assembly], dev: Assembly) -> None:
    def disks(assembly: Assembly) -> dict[str, int]:
        tasks = assembly["Orchestrator"].properties("AWS::ECS::TaskDefinition")
        return {
            task["ContainerDefinitions"][0]["Name"]: task["EphemeralStorage"]["SizeInGiB"]
            for task in tasks
            if "EphemeralStorage" in task
        }

    assert disks(dev) == {}
    assert disks(variants["open"]) == {"run": 100, "operator": 100}


def test_health_checks_ask_once_a_minute_without_importing_dagster(assembly: Assembly) -> None:
    for name in ("code", "daemon"):
        check = containers(assembly)[name]["HealthCheck"]
        assert check["Command"][:3] == ["CMD", "python", "/opt/dagster/home/probe.py"]
        assert check["Command"][3] == name and check["Interval"] == 60
    imported = (
        "import sys; from infra.docker import probe; probe.main('code', '1'); "
        "print([name for name in sys.modules if name.startswith('dagster')])"
    )
    done = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.strip() == "[]"


def test_containers_write_to_tmp_and_nowhere_else(assembly: Assembly) -> None:
    for task in assembly["Orchestrator"].properties("AWS::ECS::TaskDefinition"):
        (container,), (volume,) = task["ContainerDefinitions"], task["Volumes"]
        assert container["ReadonlyRootFilesystem"] is True
        (mounted,) = container["MountPoints"]
        assert mounted == {"ContainerPath": "/tmp", "ReadOnly": False, "SourceVolume": volume["Name"]}
        assert "Host" not in volume, "the task's own disk"


def test_what_is_in_no_group_of_ours_reaches_nothing(assembly: Assembly) -> None:
    stack = assembly["Orchestrator"]
    (vpc,) = stack.resources("AWS::EC2::VPC")
    assert stack.one("Custom::VpcRestrictDefaultSG")["DefaultSecurityGroupId"] == {
        "Fn::GetAtt": [vpc, "DefaultSecurityGroup"]
    }


def test_a_sign_in_lasts_a_working_day(assembly: Assembly) -> None:
    sign_in, _ = assembly["Orchestrator"].one("AWS::ElasticLoadBalancingV2::Listener")["DefaultActions"]
    assert sign_in["AuthenticateCognitoConfig"]["SessionTimeout"] == str(12 * 3600)


def test_the_database_is_encrypted_isolated_and_backed_up(assemblies: dict[str, Assembly]) -> None:
    for name, assembly in assemblies.items():
        database = assembly["Orchestrator"].one("AWS::RDS::DBInstance")
        assert database["StorageEncrypted"] is True
        assert database["PubliclyAccessible"] is False
        assert database["BackupRetentionPeriod"] >= 1
        assert database["MultiAZ"] is (name == "prod")
        opened = assembly["Orchestrator"].properties("AWS::EC2::SecurityGroupIngress")
        doors = [rule for rule in opened if rule["FromPort"] == 5432]
        assert len(doors) == 3
        assert all("SourceSecurityGroupId" in rule and "CidrIp" not in rule for rule in doors)
        assert "SecurityGroupIngress" not in groups(assembly)["database"]


def test_traffic_with_s3_and_dynamodb_stays_off_the_nat_and_refused_traffic_is_logged(assembly: Assembly) -> None:
    stack = assembly["Orchestrator"]
    endpoints = stack.properties("AWS::EC2::VPCEndpoint")
    assert {one["VpcEndpointType"] for one in endpoints} == {"Gateway"}
    assert sorted(re.findall(r"\.(s3|dynamodb)'", str(endpoints))) == ["dynamodb", "s3"]
    private = [name for name in stack.resources("AWS::EC2::RouteTable") if "private" in name]
    assert private and all(name in str(endpoint["RouteTableIds"]) for endpoint in endpoints for name in private)
    assert stack.one("AWS::EC2::FlowLog")["TrafficType"] == "REJECT"


def test_only_named_ranges_reach_a_page_on_the_internet(variants: dict[str, Assembly]) -> None:
    assembly = variants["open"]
    assert assembly["Orchestrator"].one("AWS::ElasticLoadBalancingV2::LoadBalancer")["Scheme"] == "internet-facing"
    (ingress,) = groups(assembly)["balancer"]["SecurityGroupIngress"]
    assert ingress["CidrIp"] == "203.0.113.0/24"


def test_without_an_engine_runs_compute_with_duckdb(assembly: Assembly) -> None:
    for container in containers(assembly).values():
        assert not [entry for entry in container["Environment"] if "ENGINE" in entry["Name"]]


def test_only_the_code_server_knows_the_queue_of_arrivals(assemblies: dict[str, Assembly]) -> None:
    for environment in ("dev", "prod"):
        known = {
            name: variable["Value"]
            for name, container in containers(assemblies[environment]).items()
            for variable in container["Environment"]
            if variable["Name"] == "MEDALLION_ARRIVALS_QUEUE"
        }
        url = "https://sqs.eu-central-1.amazonaws.com/111111111111/medallion-dev-arrivals"
        assert known == ({"code": url} if environment == "dev" else {})


def test_only_runs_know_the_engine_of_the_marts(variants: dict[str, Assembly]) -> None:
    """They are what `settings.py` needs for it."""
    for engine in ("athena", "trino"):
        for name, container in containers(variants[engine]).items():
            given = {entry["Name"]: entry["Value"] for entry in container["Environment"]}
            assert (given.get("MEDALLION_ENGINE") == engine) == (name == "run")
    run = containers(variants["athena"])["run"]
    given = {entry["Name"]: entry["Value"] for entry in run["Environment"]}
    chosen = DomainSettings.model_validate({field: given[name] for field, name in VARIABLES.items() if name in given})
    assert isinstance(chosen.distributed_engine(), AthenaSettings)
    assert chosen.athena_output == f"s3://medallion-athena-athena-{ACCOUNT}-eu-central-1/{chosen.athena_workgroup}"
    run = containers(variants["trino"])["run"]
    given = {entry["Name"]: entry["Value"] for entry in run["Environment"]} | {"MEDALLION_TRINO_PASSWORD": "secret"}
    chosen = DomainSettings.model_validate({field: given[name] for field, name in VARIABLES.items() if name in given})
    assert isinstance(chosen.distributed_engine(), TrinoSettings)


def test_the_password_of_trino_is_a_secret_of_the_run_alone(variants: dict[str, Assembly]) -> None:
    stack = variants["trino"]["Orchestrator"]
    for name, container in containers(variants["trino"]).items():
        secrets = {one["Name"]: one["ValueFrom"] for one in container["Secrets"]}
        assert secrets.get("MEDALLION_TRINO_PASSWORD") == (TRINO["password_secret_arn"] if name == "run" else None)
    reading = [
        policy["Roles"] for policy in stack.policies() if TRINO["password_secret_arn"] in str(policy["PolicyDocument"])
    ]
    assert len(reading) == 1 and "Taskrun" in str(reading)


def test_runs_may_use_the_workgroup_of_the_marts_and_no_other(variants: dict[str, Assembly]) -> None:
    assembly = variants["athena"]
    workgroups = {one["Name"]: one for one in assembly["Lake"].properties("AWS::Athena::WorkGroup")}
    configuration = workgroups["medallion-athena-marts"]["WorkGroupConfiguration"]
    assert configuration["BytesScannedCutoffPerQuery"] == 100 * 1024**3
    statements = {one["Sid"]: one for one in assembly["Orchestrator"].statements() if "Sid" in one}
    assert statements["Query"]["Resource"].endswith(":workgroup/medallion-athena-marts")
    results = f"arn:aws:s3:::medallion-athena-athena-{ACCOUNT}-eu-central-1/medallion-athena-marts/*"
    written = statements["QueryResults"]
    assert {"s3:GetObject", "s3:PutObject"} <= set(written["Action"]) and written["Resource"] == results
    deleted = statements["DeleteResults"]
    assert (deleted["Action"], deleted["Resource"]) == ("s3:DeleteObject", results)
    assert not [one for one in variants["trino"]["Orchestrator"].statements() if one.get("Sid") == "Query"]


def test_what_stands_still_pages(assembly: Assembly) -> None:
    """A service, a daemon and a database that are gone send no metric: silence is an alarm."""
    stack = assembly["Orchestrator"]
    found = {one["AlarmName"].partition("-dagster-")[2]: one for one in stack.properties("AWS::CloudWatch::Alarm")}
    silent = {name for name, alarm in found.items() if alarm["TreatMissingData"] == "breaching"}
    services = {one["ServiceName"] for one in stack.properties("AWS::ECS::Service")}
    assert silent == {*(f"no-{service}" for service in services), "daemon-idle", "database-storage"}
    assert set(found) == silent | {"database-cpu", "unhealthy-page"}
    for service in services:
        alarm = found[f"no-{service}"]
        of = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        assert of == {"ClusterName": stack.one("AWS::ECS::Cluster")["ClusterName"], "ServiceName": service}
        assert (alarm["MetricName"], alarm["Threshold"]) == ("RunningTaskCount", 1)
    for alarm in found.values():
        (action,) = alarm["AlarmActions"]
        assert action.endswith(assembly["Capture"].one("AWS::SNS::Topic")["TopicName"])
        assert alarm["OKActions"] == [action]


def test_one_dashboard_shows_every_alarm_and_what_is_measured(assembly: Assembly) -> None:
    (shown,) = assembly["Orchestrator"].properties("AWS::CloudWatch::Dashboard")
    parts = shown["DashboardBody"]["Fn::Join"][1]
    body = json.loads("".join(part if isinstance(part, str) else "reference" for part in parts))
    status, *graphs = body["widgets"]
    alarms = [
        alarm for stack in ("Capture", "Orchestrator") for alarm in assembly[stack].properties("AWS::CloudWatch::Alarm")
    ]
    assert {arn.rpartition(":alarm:")[2] for arn in status["properties"]["alarms"]} == {
        alarm["AlarmName"] for alarm in alarms
    }
    names = {metric[1] for graph in graphs for metric in graph["properties"]["metrics"]}
    assert {"IteratorAge", "DeadLetters", "RunningTaskCount", "TaskCount", "FreeStorageSpace"} <= names
    functions = {
        metric[3] for graph in graphs for metric in graph["properties"]["metrics"] if metric[2] == "FunctionName"
    }
    assert functions == {assembly["Capture"].one("AWS::Lambda::Function")["FunctionName"]}


def test_the_daemons_heartbeat_is_a_line_that_dagster_logs(assembly: Assembly) -> None:
    stack = assembly["Orchestrator"]
    counted = stack.one("AWS::Logs::MetricFilter")
    assert counted["LogGroupName"] in {group["LogGroupName"] for group in stack.properties("AWS::Logs::LogGroup")}
    line = counted["FilterPattern"].strip('"')
    assert line in inspect.getsource(dagster._daemon.sensor), "Dagster's daemon logs another line at a tick"
