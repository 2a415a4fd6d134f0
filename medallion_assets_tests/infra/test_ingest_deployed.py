"""The Ingest stack, deployed to the local AWS from its synthesised template: requests with tokens, and messages.

The local AWS does not hold the roles against what they may do; test_ingest does. It cannot verify the tokens of a user
pool without a library that its package leaves out, so callers are known by a function here.
"""

from __future__ import annotations

import io
import json
import platform
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from medallion_assets.contracts.loader import domain_folder
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets_tests.infra.assembly import synthesise, write_environment
from medallion_assets_tests.infra.conftest import INGEST_POLICY
from medallion_assets_tests.infra.deployment import bootstrap, deploy

pytestmark = pytest.mark.slow

ACCOUNT = "000000000000"
"""Where the local AWS looks for the API of a request that is not signed."""
ORDER = {
    "OrderID": "o-1",
    "CustomerID": "c-1",
    "ProductID": ["p-1"],
    "OrderDate": "2026-12-01T00:00:01Z",
    "TotalAmount": 12.3,
    "Status": "pending",
}


CALLERS = """
def handler(event, context):
    known = event["headers"].get("authorization") == "Bearer till-7"
    return {"isAuthorized": known, "context": {"sub": "till-7", "shop": "north"}}
"""


@dataclass(frozen=True)
class Deployed:
    """The stack, asked over HTTP."""

    client: httpx.Client
    inbox: str
    dead_letters: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.client.request(method, path, json=body, headers=headers)


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("ingest")
    shop = Path(shutil.copytree(domain_folder("ecommerce"), folder / "shop"))
    (shop / "ingest.yaml").write_text(INGEST_POLICY)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.client_env(ACCOUNT).items():
            patch.setenv(name, value)
        patch.setattr("boto3.DEFAULT_SESSION", None)
        here = {
            "architecture": {"aarch64": "arm64"}.get(platform.machine(), "x86_64"),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        }
        settings = write_environment(
            folder / "environments",
            "dev",
            account=ACCOUNT,
            region=REGION,
            capture=here,
            monthly_budget_usd=None,
            domain=str(shop),
            ingest={"authorizer": {"kind": "lambda", "function_arn": _authorizer()}},
        )
        (assembly,) = synthesise(folder / "build", settings)
        bootstrap(assembly["Capture"])
        for name in ("Lake", "Capture", "Ingest"):
            stack = deploy(assembly[name], f"medallion-dev-{name.lower()}")
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        api, _, _ = outputs["ApiUrl"].removeprefix("http://").partition(".")
        # The local AWS wants a stage in the path, also the default one, and gives the function the rest.
        where = f"{emulator.endpoint}/_aws/execute-api/{api}/$default"
        with httpx.Client(base_url=where, headers={"Authorization": "Bearer till-7"}, timeout=30) as http:
            yield Deployed(http, outputs["InboxUrl"], outputs["InboxDeadLettersUrl"])


def _authorizer() -> str:
    """Deploy a function that knows a caller by a secret, as docs/ingest.md shows, and return its ARN."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("callers.py", CALLERS)
    made: Any = boto3.client("lambda").create_function(
        FunctionName="callers",
        Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
        Role=f"arn:aws:iam::{ACCOUNT}:role/callers",
        Handler="callers.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    return str(made["FunctionArn"])


def test_an_item_is_created_read_changed_and_deleted_with_a_token(deployed: Deployed) -> None:
    made = deployed.ask("POST", "/v1/items/orders", ORDER)
    assert (made.status_code, made.headers.get("etag")) == (201, '"1"'), made.text
    bucket = f"medallion-dev-lake-{ACCOUNT}-{REGION}"
    captured = _until(
        lambda: boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="bronze/Orders/").get("Contents")
    )
    assert len(captured) == 1  # from there test_deployed shows the way to Gold
    assert deployed.ask("GET", made.headers["location"]).json()["TotalAmount"] == 12.3
    changed = deployed.ask("PATCH", made.headers["location"], {"Status": "shipped"}, **{"If-Match": '"1"'})
    assert changed.json()["version"] == 2
    assert deployed.ask("POST", "/v1/items/orders", {**ORDER, "TotalAmount": -1}).status_code == 422
    assert deployed.ask("GET", "/v1/items/products/p-1").status_code == 403
    assert deployed.ask("DELETE", made.headers["location"], **{"If-Match": '"2"'}).status_code == 204
    assert deployed.ask("GET", "/v1/items/orders", Authorization="Bearer none").status_code == 403


def test_a_message_is_written_or_becomes_a_dead_letter(deployed: Deployed) -> None:
    sqs = boto3.client("sqs")
    for item in ({**ORDER, "OrderID": "m-1"}, {**ORDER, "OrderID": "m-2", "TotalAmount": "x"}):
        message = {"verb": "put", "table": "orders", "key": {"OrderID": item["OrderID"]}, "item": item}
        sqs.send_message(QueueUrl=deployed.inbox, MessageBody=json.dumps(message))
    table = boto3.client("dynamodb")
    _until(lambda: table.get_item(TableName="Orders", Key={"OrderID": {"S": "m-1"}}).get("Item"))
    letters = _until(
        lambda: sqs.receive_message(
            QueueUrl=deployed.dead_letters, MessageAttributeNames=["reason"], WaitTimeSeconds=1
        ).get("Messages")
    )
    assert json.loads(letters[0]["MessageAttributes"]["reason"]["StringValue"])["code"] == "mismatch"
    assert "Item" not in table.get_item(TableName="Orders", Key={"OrderID": {"S": "m-2"}})


def _until(look: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found
