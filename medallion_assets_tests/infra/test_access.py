"""Who may do what: every statement of every role, held against what the contracts say."""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from medallion_assets.bronze.compacted import FOLDER
from medallion_assets.contracts.dropped_files import OUTCOMES
from medallion_assets.contracts.loader import load_domain
from medallion_assets.reconciliation import scan
from medallion_assets_tests.infra.assembly import Assembly, Template

DOMAIN = load_domain("ecommerce")
SOURCES = sorted(DOMAIN.sources)
TABLES = sorted(DOMAIN.by_name)
MARTS = ["daily_sales_by_region", "key_metrics", "product_performance"]
UNNAMEABLE = {
    "athena:ListDataCatalogs",
    "athena:ListWorkGroups",
    "ec2:DescribeNetworkInterfaces",
    "ecs:DescribeTaskDefinition",
    "ecr:GetAuthorizationToken",
}
"""Actions that IAM knows no resource for; all that may stand beside a resource of only a star."""
WHOLE = {"QueryResultsBucket", "GivenUpBucket"}
"""Statements that let a service see whether a bucket is there."""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(template: Template, role: str) -> Iterator[tuple[str, str]]:
    """The (action, resource) pairs of the role whose logical id starts so; references as text."""
    for policy in template.policies():
        if any(entry["Ref"].startswith(role) for entry in policy["Roles"]):
            for statement in policy["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Allow"
                for action in listed(statement["Action"]):
                    yield from ((action, str(resource)) for resource in listed(statement["Resource"]))


def objects(template: Template, role: str, action: str) -> set[str]:
    """The prefixes below the lake's bucket for which an S3 action is allowed."""
    marker = "-lake-"
    return {
        resource.partition("/")[2]
        for found, resource in allowed(template, role)
        if found == action and marker in resource.partition("/")[0]
    }


def test_capture_puts_under_bronze_of_its_tables_and_does_nothing_else_with_s3(assembly: Assembly) -> None:
    capture = assembly["Capture"]
    places = {*(f"bronze/{table}/*" for table in SOURCES), "bronze/_dead_letters/*"}
    assert objects(capture, "Role", "s3:PutObject") == places
    s3 = {(action, resource) for action, resource in allowed(capture, "Role") if action.startswith("s3:")}
    elsewhere = {(action, resource.partition("-given-up-")[2]) for action, resource in s3 if "-lake-" not in resource}
    assert {action for action, resource in s3 if "-lake-" in resource} == {"s3:PutObject"}
    assert {(action, rest.partition("/")[2]) for action, rest in elsewhere} == {
        ("s3:PutObject", "aws/lambda/*"),
        ("s3:ListBucket", ""),
    }, "the bucket of what Lambda gives up"


def test_capture_reads_the_streams_of_its_tables_only(prod: Assembly) -> None:
    pairs = [(action, resource) for action, resource in allowed(prod["Capture"], "Role") if "dynamodb" in action]
    assert {action for action, _ in pairs} == {
        f"dynamodb:{verb}" for verb in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    }
    assert sorted({resource.split("/")[1] for _, resource in pairs}) == SOURCES
    assert all("/stream/2026-01-01" in resource for _, resource in pairs)


def test_runs_read_bronze_and_write_the_lake_of_contracts_and_marts(assembly: Assembly) -> None:
    stack, role = assembly["Orchestrator"], "Rolepipeline"
    copies = {f"bronze/{FOLDER}/{table}/*" for table in SOURCES}
    bronze = copies | {f"bronze/{folder}{table}/*" for table in SOURCES for folder in ("", "_gaps/")}
    bronze |= {"bronze/_heartbeat/*", "bronze/_dead_letters/*"}
    lake = {f"warehouse/{layer}/{table}/*" for layer in ("silver", "deleted", "quarantine") for table in TABLES}
    lake |= {f"warehouse/gold/{mart}/*" for mart in MARTS} | {"warehouse/ops/*"}
    noted = {f"bronze/_backfill/{table}/*" for table in SOURCES} | {"exports/*"}
    changes = {f"bronze/{table}/*" for table in SOURCES}
    assert objects(stack, role, "s3:GetObject") == bronze | lake | noted
    assert objects(stack, role, "s3:PutObject") == lake | copies | noted | changes
    assert objects(stack, role, "s3:DeleteObject") == lake | copies
    written = {
        resource.partition(":table/")[2]
        for action, resource in allowed(stack, role)
        if action == "glue:UpdateTable" and ":table/" in resource
    }
    assert written == {
        prefix.removeprefix("warehouse/").removesuffix("/*") for prefix in lake - {"warehouse/ops/*"}
    } | {"ops/*"}
    assert not [action for action, _ in allowed(stack, role) if action.split(":")[0] in {"iam", "ecs"}]
    assert not [action for action, _ in allowed(stack, role) if action.startswith("glue:Delete")]


@pytest.mark.parametrize("role", ["Rolepipeline", "Roleoperator"])
def test_who_reconciles_may_make_the_calls_that_reading_a_source_makes(assembly: Assembly, role: str) -> None:
    """The nightly reconciliation is a run; verify and repair are the operator's."""
    calls = set(re.findall(r"self\._client\.(\w+)", inspect.getsource(scan))) - {"meta"}
    needed = {f"dynamodb:{call.title().replace('_', '')}" for call in calls}
    found = {(action, arn) for action, arn in allowed(assembly["Orchestrator"], role) if action.startswith("dynamodb:")}
    exporting = {"dynamodb:ExportTableToPointInTime", "dynamodb:DescribeExport"}
    assert {action for action, _ in found} == needed | exporting
    for action in needed | {"dynamodb:ExportTableToPointInTime"}:
        assert {arn.partition(":table/")[2] for each, arn in found if each == action} == set(SOURCES)


@pytest.mark.parametrize("role", ["Rolepipeline", "Roleoperator"])
def test_who_backfills_may_write_changes_but_remove_none(assembly: Assembly, role: str) -> None:
    """A backfill is a run, or the operator's; a repair is the operator's."""
    stack = assembly["Orchestrator"]
    written = {f"bronze/{table}/*" for table in SOURCES}
    assert written <= objects(stack, role, "s3:PutObject")
    assert not written & objects(stack, role, "s3:DeleteObject")


@pytest.mark.parametrize("role", ["Rolepipeline", "Roleoperator"])
def test_who_backfills_may_have_tables_exported_and_note_what_is_done(assembly: Assembly, role: str) -> None:
    stack = assembly["Orchestrator"]
    noted = {f"bronze/_backfill/{table}/*" for table in SOURCES}
    for action in ("s3:GetObject", "s3:PutObject"):
        assert {*noted, "exports/*"} <= objects(stack, role, action)
    assert "exports/*" not in objects(stack, role, "s3:DeleteObject")
    seen = {place for action, place in allowed(stack, role) if action == "dynamodb:DescribeExport"}
    assert {place.partition(":table/")[2] for place in seen} == {f"{table}/export/*" for table in SOURCES}


def test_the_operator_may_make_the_calls_of_a_redrive_and_remove_nothing_else_of_bronze(assembly: Assembly) -> None:
    stack = assembly["Orchestrator"]
    removed = objects(stack, "Roleoperator", "s3:DeleteObject")
    assert {prefix for prefix in removed if prefix.startswith("bronze/")} == {"bronze/_dead_letters/*"}
    assert "bronze/_dead_letters/*" in objects(stack, "Roleoperator", "s3:PutObject")
    seen = {("s3:GetObject", "aws/lambda/*"), ("s3:ListBucket", "")}
    for role, expected in {"Roleoperator": seen | {("s3:DeleteObject", "aws/lambda/*")}, "Rolepipeline": seen}.items():
        found = {
            (action, resource.partition("/")[2])
            for action, resource in allowed(stack, role)
            if "-given-up-" in resource
        }
        assert found == expected, role


def test_the_operator_may_rebuild_the_tables_of_the_domain_and_a_run_may_not(assembly: Assembly) -> None:
    pairs = list(allowed(assembly["Orchestrator"], "Roleoperator"))
    dropped = {
        arn.partition(":table/")[2] for action, arn in pairs if action == "glue:DeleteTable" and ":table/" in arn
    }
    expected = {f"{layer}/{table}" for layer in ("silver", "deleted", "quarantine") for table in TABLES}
    beside = {f"{layer}/_rebuild_*" for layer in ("silver", "deleted", "quarantine", "gold")}
    assert dropped == expected | beside | {f"gold/{mart}" for mart in MARTS} | {"ops/*"}
    written = objects(assembly["Orchestrator"], "Roleoperator", "s3:PutObject")
    assert {f"warehouse/{one}/*" for one in beside} <= written
    assert not [arn for _, arn in allowed(assembly["Orchestrator"], "Rolepipeline") if "_rebuild_" in arn]


def test_only_who_evaluates_the_sensor_receives_arrivals_and_may_do_nothing_else_with_them(
    assemblies: dict[str, Assembly],
) -> None:
    stack = assemblies["dev"]["Orchestrator"]
    arn = "arn:aws:sqs:eu-central-1:111111111111:medallion-dev-arrivals"
    sqs = {pair for pair in allowed(stack, "Rolepipeline") if pair[0].startswith("sqs:")}
    assert sqs == {("sqs:ReceiveMessage", arn)}
    for other in ("Roleoperator", "Roledaemon", "Rolewebserver"):
        assert not [action for action, _ in allowed(stack, other) if action.startswith("sqs:")]
    assert not [
        action for action, _ in allowed(assemblies["prod"]["Orchestrator"], "Rolepipeline") if action.startswith("sqs:")
    ]


def test_grafana_reads_gold_and_health_and_nothing_else(assembly: Assembly) -> None:
    stack = assembly["Dashboards"]
    assert objects(stack, "Role", "s3:GetObject") == {"warehouse/gold/*", "warehouse/ops/*"}
    assert objects(stack, "Role", "s3:PutObject") == set()
    glue = {resource.split(":", 5)[5] for action, resource in allowed(stack, "Role") if action.startswith("glue:")}
    assert glue == {"catalog", "database/gold", "database/ops", "table/gold/*", "table/ops/*"}
    workgroup = stack.one("AWS::Athena::WorkGroup")["Name"]
    pairs = [(action, resource) for action, resource in allowed(stack, "Role") if action.startswith("athena:")]
    browsing = {"ListWorkGroups", "ListDataCatalogs", "GetDataCatalog", "ListDatabases", "GetDatabase"} | {
        "ListTableMetadata",
        "GetTableMetadata",
    }
    queries = {resource.split(":", 5)[5] for action, resource in pairs if action.partition(":")[2] not in browsing}
    assert queries == {f"workgroup/{workgroup}"}, "names are shown as far as Glue's permissions above go"
    assert {action.split(":")[0] for action, _ in allowed(stack, "Role")} == {"athena", "glue", "s3", "sns"}


def test_the_daemon_starts_runs_of_its_own_cluster_with_their_roles_only(assembly: Assembly) -> None:
    statements = {
        statement.get("Sid"): statement
        for statement in assembly["Orchestrator"].statements()
        if statement.get("Sid") in {"StartRuns", "PassRunRoles"}
    }
    assert "ArnEquals" in statements["StartRuns"]["Condition"]
    passed = statements["PassRunRoles"]
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    assert len(passed["Resource"]) == 2
    assert all("Fn::GetAtt" in resource for resource in passed["Resource"])


@pytest.mark.parametrize("role", ["Roledaemon", "Rolewebserver"])
def test_daemon_and_webserver_cannot_touch_the_lake(assembly: Assembly, role: str) -> None:
    pairs = list(allowed(assembly["Orchestrator"], role))
    assert pairs
    assert not [resource for _, resource in pairs if "-lake-" in resource]
    assert not [action for action, _ in pairs if action.startswith("glue:")]


def test_nobody_lists_a_bucket_beyond_the_prefixes_he_may_read(assembly: Assembly) -> None:
    """But for two buckets that a service looks at: Athena's results, and what Lambda gives up; each has one prefix."""
    for template in assembly.templates:
        for statement in template.statements():
            if "s3:ListBucket" in listed(statement["Action"]) and statement.get("Sid") not in WHOLE:
                prefixes = listed(statement["Condition"]["StringLike"]["s3:prefix"])
                assert all(prefix.endswith("/*") and prefix != "/*" for prefix in prefixes), (template.name, statement)


def test_a_star_stands_only_where_iam_knows_no_resource(assembly: Assembly) -> None:
    for template in assembly.templates:
        for statement in template.statements():
            if "*" in listed(statement["Resource"]):
                assert set(listed(statement["Action"])) <= UNNAMEABLE, (template.name, statement)
            for action in listed(statement["Action"]):
                assert not fnmatch.fnmatchcase("s3:DeleteBucket", action), "no action is a pattern"
                assert "*" not in action


def test_runs_take_files_of_the_tables_whose_contract_says_so_and_of_no_other(
    dev: Assembly, variants: dict[str, Assembly]
) -> None:
    def below_raw(template: Template) -> set[tuple[str, str]]:
        pairs = allowed(template, "Rolepipeline")
        return {(action, rest) for action, place in pairs if (rest := place.partition("-lake-")[2].partition("/")[2])}

    def variables(template: Template) -> set[str]:
        tasks = template.properties("AWS::ECS::TaskDefinition")
        named = (one for task in tasks for box in task["ContainerDefinitions"] for one in box.get("Environment", ()))
        return {str(one["Value"]) for one in named if one["Name"] == "MEDALLION_RAW"}

    before, after = dev["Orchestrator"], variants["open"]["Orchestrator"]
    assert not variables(before)
    (root,) = variables(after)
    assert root.endswith("/raw")
    added = {(action, place) for action, place in below_raw(after) if place.startswith("raw/")}
    assert added == {
        ("s3:GetObject", "raw/Orders/*"),
        ("s3:DeleteObject", "raw/Orders/*"),
        *(
            (action, f"raw/{outcome}/Orders/*")
            for outcome in OUTCOMES
            for action in ("s3:PutObject", "s3:AbortMultipartUpload")
        ),
    }
    assert not {place for _, place in below_raw(before) if place.startswith("raw/")}
    assert ("s3:PutObject", "bronze/Orders/*") in below_raw(after)
