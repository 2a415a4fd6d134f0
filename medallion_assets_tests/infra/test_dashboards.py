"""What the Dashboards stack promises; who may read what is in test_access."""

from __future__ import annotations

import pytest

from grafana.environment import Environment
from medallion_assets_tests.infra.assembly import Assembly


def test_grafana_is_managed_or_the_existing_one_is_let_in(assemblies: dict[str, Assembly]) -> None:
    for name, assembly in assemblies.items():
        stack = assembly["Dashboards"]
        (trusted,) = stack.one("AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"]
        if name == "prod":
            assert not stack.resources("AWS::Grafana::Workspace")
            assert trusted["Principal"] == {"AWS": "arn:aws:iam::333333333333:role/grafana"}
        else:
            workspace = stack.one("AWS::Grafana::Workspace")
            assert workspace["PermissionType"] == "CUSTOMER_MANAGED"
            assert workspace["PluginAdminEnabled"] is True, "else its Athena plugin cannot be installed"
            assert workspace["AuthenticationProviders"] == ["AWS_SSO"]
            assert trusted["Principal"] == {"Service": "grafana.amazonaws.com"}
            assert "aws:SourceAccount" in trusted["Condition"]["StringEquals"]


@pytest.mark.parametrize("name", ["dev", "stg", "prod"])
def test_grafanas_files_name_the_workgroup_and_topic_that_are_made(assemblies: dict[str, Assembly], name: str) -> None:
    expected = Environment.load(name)
    assert assemblies[name]["Dashboards"].one("AWS::Athena::WorkGroup")["Name"] == expected.workgroup
    topic = assemblies[name]["Capture"].one("AWS::SNS::Topic")["TopicName"]
    assert expected.topic.rpartition(":")[2] == topic
