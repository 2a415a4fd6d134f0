"""The roles of Dagster's tasks: one per principal, each with what its calls need.

Belongs here: who may do what with tasks and runs. Does not belong here: what may be done with the lake (access), the
tasks themselves (services).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import access, lake_formation
from infra.constructs.compute_logs import ComputeLogs
from infra.settings import AthenaEngine, Environment
from medallion_assets.contracts.loader import Domain

_TASK_IDS: Final = "tasks are named by their ids; the cluster is this environment's own"


def pipeline_role(scope: Construct, settings: Environment, domain: Domain, logs: ComputeLogs) -> iam.Role:
    """Return the role of the code server and of runs."""
    role = _role(scope, settings, "pipeline", "Code server and runs: read Bronze and the tables, write the lake")
    access.grant_to(
        role,
        *access.read_bronze(settings, domain),
        *access.compact_bronze(settings, domain),
        *access.take_files(settings, domain),
        *access.backfill(settings, domain),
        *access.write_backfilled(settings, domain),
        *access.read_given_up(settings),
        *access.receive_arrivals(settings),
        *access.write_lake(settings, domain),
        *access.read_tables(settings, domain),
        *access.decrypt_tables(settings),
        *access.use_data_key(settings),
        *logs.write(),
        *(access.compute_in_athena(settings) if isinstance(settings.engine, AthenaEngine) else ()),
    )
    lake_formation.grant_tables(settings, role, list(access.tables(domain)), lake_formation.WRITE)
    return role


def operator_role(scope: Construct, settings: Environment, domain: Domain) -> iam.Role:
    """Return the role of the commands that a person runs."""
    role = _role(scope, settings, "operator", "Commands by hand: what runs may, repair, backfill, redrive, rebuild")
    access.grant_to(
        role,
        *access.read_bronze(settings, domain),
        *access.write_bronze(settings, domain),
        *access.backfill(settings, domain),
        *access.redrive(settings),
        *access.write_lake(settings, domain),
        *access.rebuild_lake(settings, domain),
        *access.read_tables(settings, domain),
        *access.decrypt_tables(settings),
        *access.use_data_key(settings),
        *(access.compute_in_athena(settings) if isinstance(settings.engine, AthenaEngine) else ()),
    )
    lake_formation.grant_tables(settings, role, list(access.tables(domain)), lake_formation.REBUILD)
    return role


def daemon_role(
    scope: Construct, settings: Environment, *, run: ecs.FargateTaskDefinition, cluster: ecs.ICluster
) -> iam.Role:
    """Return the role that starts, watches and stops runs of the task definition `run` in the cluster."""
    role = _role(scope, settings, "daemon", "Daemon: starts, watches and stops runs")
    family = settings.arn("ecs", f"task-definition/{settings.prefix}-run")
    run_roles = [run.task_role.role_arn, run.obtain_execution_role().role_arn]
    access.grant_to(
        role,
        *_see_tasks(settings),
        access.grant(
            "StartRuns",
            ["ecs:RunTask"],
            [f"{family}:*"],
            "a deployment makes a new revision, which the daemon starts",
            {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}},
        ),
        access.grant(
            "TagRuns",
            ["ecs:TagResource"],
            [_tasks_arn(settings)],
            _TASK_IDS,
            {"StringEquals": {"ecs:CreateAction": "RunTask"}},
        ),
        access.grant(
            "OwnNetwork",
            ["ec2:DescribeNetworkInterfaces"],
            ["*"],
            "IAM knows no resource for this action; the launcher asks for the groups of the daemon's own interface",
        ),
        access.grant(
            "PassRunRoles",
            ["iam:PassRole"],
            run_roles,
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
        access.grant(
            "LogsOfFailedRuns",
            ["logs:GetLogEvents"],
            [settings.arn("logs", f"log-group:/{settings.prefix}/run:log-stream:*")],
            "a stream's name holds the task's id",
        ),
    )
    return role


def webserver_role(scope: Construct, settings: Environment, logs: ComputeLogs) -> iam.Role:
    """Return the role that shows compute logs and stops runs."""
    role = _role(scope, settings, "webserver", "Webserver: shows compute logs, stops runs")
    access.grant_to(role, *_see_tasks(settings), *logs.read())
    return role


def viewer_role(scope: Construct, settings: Environment, logs: ComputeLogs) -> iam.Role:
    """Return the role that shows compute logs; its page stops nothing, so it may not."""
    role = _role(scope, settings, "viewer", "Viewers' webserver: shows compute logs")
    access.grant_to(role, _definitions(), *logs.read())
    return role


def _role(scope: Construct, settings: Environment, name: str, description: str) -> iam.Role:
    # In the stack itself: a role keeps its logical id when what uses it moves to another construct.
    return iam.Role(
        Stack.of(scope),
        f"Role{name}",
        role_name=f"{settings.prefix}-{name}",
        assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
        description=description,
    )


def _see_tasks(settings: Environment) -> list[access.Grant]:
    """Return what the run launcher needs in every process that makes one: describe tasks and stop runs."""
    return [
        access.grant("Tasks", ["ecs:DescribeTasks", "ecs:StopTask"], [_tasks_arn(settings)], _TASK_IDS),
        _definitions(),
    ]


def _definitions() -> access.Grant:
    return access.grant("Definitions", ["ecs:DescribeTaskDefinition"], ["*"], "IAM knows no resource for this action")


def _tasks_arn(settings: Environment) -> str:
    return settings.arn("ecs", f"task/{settings.prefix}/*")
