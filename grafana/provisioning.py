"""Grafana's provisioning files: data source, folders and dashboards, alert rules, contact points, who is told what.

https://grafana.com/docs/grafana/v11.6/administration/provisioning/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from grafana.alerts import Alert, groups
from grafana.environment import Environment
from grafana.panels import PLUGIN

MOUNTED: Final = "/etc/grafana/medallion/dashboards"
"""Where Grafana finds the dashboards' folder; `infra/local/compose.yaml` mounts it there."""


def provisioning(environment: Environment, alerts: Mapping[str, Iterable[Alert]]) -> dict[PurePosixPath, Any]:
    """The content of each file below Grafana's `provisioning` folder."""
    return {
        PurePosixPath("datasources/medallion.yaml"): {"apiVersion": 1, "datasources": [_data_source(environment)]},
        PurePosixPath("dashboards/medallion.yaml"): {"apiVersion": 1, "providers": [_dashboards(environment)]},
        PurePosixPath("alerting/rules.yaml"): {"apiVersion": 1, "groups": groups(alerts, environment)},
        PurePosixPath("alerting/contact-points.yaml"): {"apiVersion": 1, "contactPoints": [_contact(environment)]},
        PurePosixPath("alerting/policies.yaml"): {"apiVersion": 1, "policies": [_policy(environment)]},
    }


def _data_source(environment: Environment) -> dict[str, Any]:
    settings = {
        # The credentials of the machine or workspace that Grafana runs on: a role. No key is ever written down.
        "authType": "default",
        "defaultRegion": environment.region,
        "catalog": "AwsDataCatalog",
        "database": "gold",
        "workgroup": environment.workgroup,
    }
    if environment.role is not None:
        settings["assumeRoleArn"] = environment.role
    return {
        "name": f"Medallion {environment.name}",
        "uid": environment.uid,
        "type": PLUGIN,
        "access": "proxy",
        "editable": False,
        "jsonData": settings,
    }


def _dashboards(environment: Environment) -> dict[str, Any]:
    return {
        "name": "medallion",
        "orgId": 1,
        "type": "file",
        "folder": f"Medallion {environment.name}",
        "folderUid": environment.uid,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": MOUNTED},
    }


def _contact(environment: Environment) -> dict[str, Any]:
    # Grafana puts no environment variables into a receiver's settings, so the topic stands here.
    return {
        "orgId": 1,
        "name": environment.uid,
        "receivers": [
            {
                "uid": f"{environment.uid}-sns",
                "type": "sns",
                "settings": {
                    "topic_arn": environment.topic,
                    "sigv4": {"region": environment.region},
                    "subject": '{{ template "default.title" . }}',
                    "message": '{{ template "default.message" . }}',
                },
            }
        ],
    }


def _policy(environment: Environment) -> dict[str, Any]:
    """All go to the one contact point; what pages is repeated every hour, the rest once a day."""
    return {
        "orgId": 1,
        "receiver": environment.uid,
        "group_by": ["alertname"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "24h",
        "routes": [
            {
                "receiver": environment.uid,
                "object_matchers": [["severity", "=", "page"]],
                "repeat_interval": "1h",
            }
        ],
    }
