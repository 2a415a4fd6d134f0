"""The shipped environments, synthesised once for all tests, whichever process they run in."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets_tests.infra.assembly import ENVIRONMENTS, Assembly, synthesise, write_environment

NAMES = tuple(sorted(path.stem for path in ENVIRONMENTS.glob("*.yaml")))


INVOICES = """
table: Invoices
owner: team:billing
key: {hash: TenantID, range: InvoiceNo}
columns:
  TenantID: string
  InvoiceNo: bigint
  Amount: {type: 'decimal(18,2)', rules: [{required: true}]}
"""


ENTITY = """
table: App
name: {name}
owner: team:app
where: {where}
key: {{hash: PK, range: SK}}
columns: {{PK: string, SK: bigint}}
"""
ENTITIES = {"members": "{PK: 'M#*'}", "sessions": "{PK: 'S#*'}"}
HEARTBEAT = """
table: Heartbeat
owner: team:data
key: {hash: Id}
columns:
  Id: string
  WrittenAt: timestamp
"""


TRINO = {
    "kind": "trino",
    "url": "https://trino.internal:8443",
    "catalog": "lake",
    "user": "medallion",
    "password_secret_arn": "arn:aws:secretsmanager:eu-central-1:111111111111:secret:trino-a1B2c3",
}


INGEST_POLICY = """
version_attribute: _version
allow:
  - claim: cognito:groups
    value: writers
    tables: [orders, customers]
    verbs: [get, list, post, put, patch, delete]
  - {claim: scope, value: products/read, tables: [products], verbs: [get]}
  - {claim: shop, value: north, tables: [orders], verbs: [get, post, patch, delete]}
inbox: [orders]
"""
TOKENS = {
    "kind": "jwt",
    "issuer": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_a1B2c3D4e",
    "audience": ["a-client"],
}
AUTHORIZER = "arn:aws:lambda:eu-central-1:111111111111:function:callers"
SENDER = "arn:aws:iam::222222222222:role/till"


POOL = "arn:aws:cognito-idp:eu-central-1:111111111111:userpool/eu-central-1_a1B2c3D4e"
CHINA = "cn-north-1:333333333333"
IMAGE = f"333333333333.dkr.ecr.cn-north-1.amazonaws.com.cn/data/medallion@sha256:{'0' * 64}"
EXISTING = {
    "environment": "existing",
    "region": "cn-north-1",
    "tags": {"cost-center": "4711"},
    "database_prefix": "shop_",
    "lake_bucket": "the-lake-of-all",
    "lake_formation": True,
    "kms_key_arn": f"arn:aws-cn:kms:{CHINA}:key/00000000-0000-0000-0000-000000000005",
    "permissions_boundary_arn": "arn:aws-cn:iam::333333333333:policy/bounds",
    "role_path": "/data/",
    "bootstrap_qualifier": "platform",
    "sources": {
        "tables": {"Orders": "prod-Orders"},
        "kms_keys": [f"arn:aws-cn:kms:{CHINA}:key/00000000-0000-0000-0000-000000000006"],
        "streams": {
            table: f"arn:aws-cn:dynamodb:{CHINA}:table/{source}/stream/2026-01-01T00:00:00.000"
            for table, source in {"Customers": "Customers", "Orders": "prod-Orders", "Products": "Products"}.items()
        },
    },
    "orchestrator": {
        "certificate_arn": f"arn:aws-cn:acm:{CHINA}:certificate/00000000-0000-0000-0000-000000000004",
        "image": IMAGE,
        "nat_gateways": None,
        "notify_arrivals": True,
        "network": {
            "vpc_id": "vpc-0123456789abcdef0",
            "zones": ["cn-north-1a", "cn-north-1b"],
            "private_subnets": ["subnet-0000000a", "subnet-0000000b"],
            "database_subnets": ["subnet-0000001a", "subnet-0000001b"],
        },
        "sign_in": {
            "kind": "oidc",
            "issuer": "https://login.example.com",
            "authorization_endpoint": "https://login.example.com/authorize",
            "token_endpoint": "https://login.example.com/token",
            "user_info_endpoint": "https://login.example.com/userinfo",
            "client_id": "dagster",
            "client_secret_arn": f"arn:aws-cn:secretsmanager:{CHINA}:secret:dagster-a1B2c3",
        },
    },
    "dashboards": {"principal_arn": "arn:aws-cn:iam::333333333333:role/grafana"},
}
"""What is other than in `prod` in an account in China that already has things."""


KINESIS: dict[str, Any] = {
    "tables": {"Orders": "prod-Orders"},
    "kinesis": [
        {
            "stream": "arn:aws:kinesis:eu-central-1:111111111111:stream/changes",
            "retention_hours": 72,
            "tables": {"Orders": "2026-12-01T00:00:00"},
        }
    ],
}
LAYER = "arn:aws:lambda:eu-central-1:222222222222:layer:a-collector:1"
VIEWERS = {
    "hostname": "view.example.com",
    "certificate_arn": "arn:aws:acm:eu-central-1:111111111111:certificate/00000000-0000-0000-0000-000000000007",
}


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that read templates: they need the CDK, and `make check` has just synthesised."""
    for item in items:
        if {"assemblies", "variants"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("templates")


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Assembly]:
    """Every shipped environment, by name: what `make check` has synthesised already, or synthesised now."""
    if "INFRA_BUILD" in os.environ:
        build = Path(os.environ["INFRA_BUILD"])
    else:
        build = _once(tmp_path_factory, worker_id, "shipped", lambda build: synthesise(build, *NAMES))
    return {name: Assembly(build / "cdk" / name) for name in NAMES}


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Assembly]:
    """Environments like `dev`, each with something else.

    - dev: one more contract and mart
    - open: a page that one range of the internet may open, whose people are in a user pool that exists; runs with a
      disk of 100 GB; a heartbeat, a table that should change each hour and takes files, and one with two entities;
      traces; the ingest API for callers with tokens
    - athena, trino: that engine computes the marts; the stacks of athena are protected, and have a page for viewers; in
      trino the orders come by Kinesis, and callers of the ingest API are known by a function
    - existing: like `prod`, in an account in China that already has things (EXISTING)
    """

    def make(build: Path) -> None:
        shop = Path(shutil.copytree(domain_folder("ecommerce"), build / "shop"))
        (shop / "tables" / "invoices.yaml").write_text(INVOICES)
        shutil.copytree(shop / "marts" / "key_metrics", shop / "marts" / "same_metrics")
        pool = {"kind": "cognito", "user_pool_arn": POOL, "domain": "people"}
        page = {"reachable_from": ["203.0.113.0/24"], "run_storage_gb": 100, "sign_in": pool}
        live = Path(shutil.copytree(domain_folder("ecommerce"), build / "live"))
        (live / "tables" / "heartbeat.yaml").write_text(HEARTBEAT)
        for name, where in ENTITIES.items():
            (live / "tables" / f"{name}.yaml").write_text(ENTITY.format(name=name, where=where))
        with (live / "tables" / "orders.yaml").open("a") as orders:
            orders.write("files: newer\n")
        (live / "ingest.yaml").write_text(INGEST_POLICY)
        sold = Path(shutil.copytree(domain_folder("ecommerce"), build / "sold"))
        (sold / "ingest.yaml").write_text(INGEST_POLICY)
        more = write_environment(build / "one", "dev", domain=str(shop))
        watched = {"domain": str(live), "capture": {"expect_changes": {"Orders": 60}}}
        traced = {"runs": "http://otel.internal:4318", "capture": "http://localhost:4318", "capture_layer_arn": LAYER}
        opened = write_environment(
            build / "two",
            "dev",
            environment="open",
            orchestrator=page,
            telemetry=traced,
            ingest={"authorizer": TOKENS, "senders": [SENDER]},
            **watched,
        )
        athena = write_environment(
            build / "three",
            "dev",
            environment="athena",
            protected=True,
            orchestrator={"viewers": VIEWERS},
            engine={"kind": "athena", "scan_limit_gb": 100},
        )
        trino = write_environment(
            build / "four",
            "dev",
            environment="trino",
            engine=TRINO,
            sources=KINESIS,
            domain=str(sold),
            ingest={"authorizer": {"kind": "lambda", "function_arn": AUTHORIZER}},
        )
        existing = write_environment(build / "five", "prod", **EXISTING)
        synthesise(build, more, opened, athena, trino, existing)

    build = _once(tmp_path_factory, worker_id, "variants", make)
    return {name: Assembly(build / "cdk" / name) for name in ("dev", "open", "athena", "trino", "existing")}


def _once(factory: pytest.TempPathFactory, worker: str, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is filled once for all processes of this test run."""
    base = factory.getbasetemp()
    build = (base if worker == "master" else base.parent) / f"infra-{name}"
    build.mkdir(exist_ok=True)
    with (build / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (build / "done").exists():
            make(build)
            (build / "done").touch()
    return build


@pytest.fixture(params=NAMES)
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """Each shipped environment in turn."""
    return assemblies[request.param]


@pytest.fixture
def dev(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["dev"]


@pytest.fixture
def prod(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["prod"]
