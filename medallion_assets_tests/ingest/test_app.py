"""Requests to the API, on tables of the local AWS."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import boto3
import pytest

from medallion_assets.contracts.loader import Domain, load_domain
from medallion_assets.errors import ContractError
from medallion_assets.ingest.openapi import item_schema
from medallion_assets.ingest.policy import FILE, load_policy, values_of
from medallion_assets_tests.ingest.conftest import Api

ORDER = {"Id": "o-1", "Amount": 12.5, "Code": "AB1", "Tags": ["b", "a"]}


def test_an_item_is_created_read_replaced_changed_and_deleted(api: Api) -> None:
    created = api("POST", "/v1/items/orders", ORDER)
    assert (created.status, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == "/v1/items/orders/o-1"
    read = api("GET", "/v1/items/orders/o-1")
    assert read.body == {**ORDER, "Tags": ["a", "b"], "_version": 1}
    assert api("POST", "/v1/items/orders", ORDER).status == 409

    replaced = api("PUT", "/v1/items/orders/o-1", {**read.body, "Amount": 13}, if_match=read.headers["etag"])
    assert (replaced.status, replaced.headers["etag"]) == (200, '"2"')
    assert api("PUT", "/v1/items/orders/o-1", ORDER, if_match=read.headers["etag"]).status == 412
    changed = api("PATCH", "/v1/items/orders/o-1", {"Code": None, "Amount": 14.25}, if_match='"2"')
    assert (changed.status, changed.body["version"]) == (200, 3)
    assert api("GET", "/v1/items/orders/o-1").body == {"Id": "o-1", "Amount": 14.25, "Tags": ["a", "b"], "_version": 3}

    assert api("DELETE", "/v1/items/orders/o-1", if_match='"2"').status == 412
    assert api("DELETE", "/v1/items/orders/o-1", if_match='"3"').status == 204
    assert api("DELETE", "/v1/items/orders/o-1").status == 404
    assert api("GET", "/v1/items/orders/o-1").status == 404


def test_put_creates_unless_the_caller_expects_an_item(api: Api) -> None:
    assert api("PUT", "/v1/items/orders/o-1", ORDER, if_match="*").status == 412
    assert api("PUT", "/v1/items/orders/o-1", ORDER, if_match='"1"').status == 412
    assert api("PUT", "/v1/items/orders/o-1", ORDER, if_none_match="*").status == 201
    assert api("PUT", "/v1/items/orders/o-1", ORDER, if_none_match="*").status == 412
    assert api("PUT", "/v1/items/orders/o-2", ORDER).body["error"]["mismatches"][0]["field"] == "Id"


def test_an_item_that_another_writer_wrote_has_version_0(api: Api) -> None:
    boto3.client("dynamodb").put_item(TableName="Orders", Item={"Id": {"S": "x"}, "Amount": {"N": "1"}})
    assert api("GET", "/v1/items/orders/x").headers["etag"] == '"0"'
    assert api("PATCH", "/v1/items/orders/x", {"Amount": 2}, if_match='"0"').headers["etag"] == '"1"'


def test_a_mismatch_names_field_seen_and_expected_and_nothing_is_written(api: Api) -> None:
    refused = api("POST", "/v1/items/orders", {"Id": "o-1", "Amount": -1, "Code": "secret", "More": 1})
    assert refused.status == 422
    assert [(one["field"], one["expected"]) for one in refused.body["error"]["mismatches"]] == [
        ("Amount", "min 0"),
        ("Code", "a text that matches [A-Z]{2}[0-9]+"),
        ("More", "only attributes that the contract declares or drops"),
    ]
    assert "secret" not in json.dumps(refused.body)
    assert api("GET", "/v1/items/orders/o-1").status == 404
    api("POST", "/v1/items/orders", ORDER)
    assert api("PATCH", "/v1/items/orders/o-1", {"Amount": None}).body["error"]["mismatches"][0]["field"] == "Amount"


def test_numbers_keep_their_digits_both_ways_and_in_dynamodb_json(api: Api) -> None:
    big = "12345678901234567890123456789012345678"
    made = api("POST", "/v1/items/lines", f'{{"PK": "ORDER#1", "SK": "1", "Pieces": 1, "Big": {big}}}')
    assert made.status == 201
    assert api("GET", made.body["path"]).body["Big"] == int(big)
    typed = api("GET", made.body["path"], accept="application/x-amz-json-1.0")
    assert typed.body["Big"] == {"N": big}
    body = {**typed.body, "Pieces": {"N": "2"}}
    assert api("PUT", made.body["path"], body, content_type="application/x-amz-json-1.0").status == 200


def test_any_key_has_a_path(api: Api) -> None:
    for key in ("a/b%2F", "ORDER#4711", "~", "ä\n☃", ".."):
        made = api("POST", "/v1/items/lines", {"PK": "ORDER#" + key, "SK": key, "Pieces": 1})
        assert api("GET", made.headers["location"]).body["SK"] == key
    plain = api("POST", "/v1/items/lines", {"PK": "ORDER#plain", "SK": "7", "Pieces": 1})
    for path in ("/v1/items/lines/ORDER#plain/7", "/v1/items/lines/ORDER%23plain/7"):  # decoded by the gateway, or not
        assert api("GET", path).body["PK"] == "ORDER#plain", plain


def test_lists_go_page_by_page_and_show_only_the_entity(api: Api) -> None:
    for at in range(5):
        api("POST", "/v1/items/lines", {"PK": "ORDER#1", "SK": f"{at}", "Pieces": at})
    api("POST", "/v1/items/users", {"PK": "USER#1", "SK": "PROFILE"})
    seen, token = [], ""
    while True:
        page = api("GET", "/v1/items/lines/ORDER#1?limit=2" + (f"&next={token}" if token else ""))
        seen += [one["SK"] for one in page.body["items"]]
        if not (token := page.body["next"]):
            break
    assert seen == ["0", "1", "2", "3", "4"]
    whole = api("GET", "/v1/items/lines?limit=1000").body["items"]
    assert len(whole) == 5
    assert [one["PK"] for one in api("GET", "/v1/items/users").body["items"]] == ["USER#1"]
    other = base64.urlsafe_b64encode(b'{"PK":{"S":"USER#1"},"SK":{"S":"1"}}').decode()
    assert api("GET", f"/v1/items/lines/ORDER#1?next={other.rstrip('=')}").status == 400


def test_an_item_of_another_entity_is_not_found_and_not_overwritten(api: Api) -> None:
    api("POST", "/v1/items/users", {"PK": "USER#1", "SK": "P"})
    assert api("GET", "/v1/items/lines/USER#1/P").status == 404
    assert api("DELETE", "/v1/items/lines/USER#1/P").status == 409
    assert api("PUT", "/v1/items/lines/USER#1/P", {"Pieces": 1}).status == 409


def test_a_repeated_request_answers_the_same_and_writes_once(api: Api) -> None:
    first = api("POST", "/v1/items/orders", ORDER, idempotency_key="k-1")
    again = api("POST", "/v1/items/orders", ORDER, idempotency_key="k-1")
    assert first == again
    assert first.status == 201
    for _ in range(2):
        assert api("PATCH", "/v1/items/orders/o-1", {"Amount": 1}, idempotency_key="k-2").body["version"] == 2
    assert api("PATCH", "/v1/items/orders/o-1", {"Amount": 2}, idempotency_key="k-2").status == 422
    other = Api(api.app, api.domain, {**api.claims, "sub": "w-2"})
    assert other("POST", "/v1/items/orders", ORDER, idempotency_key="k-1").status == 409  # a key is of its caller
    refused = api("POST", "/v1/items/orders", {"Id": "n"}, idempotency_key="k-3")
    assert refused.status == 422  # a request that did nothing may be corrected
    assert api("POST", "/v1/items/orders", {**ORDER, "Id": "n"}, idempotency_key="k-3").status == 201


def test_a_batch_answers_each_operation(api: Api) -> None:
    operations = [
        {"verb": "post", "table": "orders", "item": ORDER},
        {"verb": "post", "table": "orders", "item": {"Id": "o-2"}},
        {"verb": "patch", "table": "orders", "key": {"Id": "o-1"}, "item": {"Amount": 2}, "if_match": 1},
        {"verb": "delete", "table": "orders", "key": {"Id": "o-1"}, "if_match": 1},
        {"verb": "get", "table": "orders", "key": {"Id": "o-1"}},
        {"verb": "delete", "table": "nothing", "key": {"Id": "o-1"}},
        "odd",
    ]
    answer = api("POST", "/v1/items", {"operations": operations})
    assert answer.status == 200
    assert [one["status"] for one in answer.body["results"]] == [201, 422, 200, 412, 422, 403, 422]
    assert api("POST", "/v1/items", {"operations": []}).status == 422


@pytest.mark.parametrize("verb", [None, [], {}, "drop"])
def test_an_operation_of_no_known_verb_is_refused(api: Api, verb: object) -> None:
    answer = api("POST", "/v1/items", {"operations": [{"verb": verb}]})
    [refused] = answer.body["results"]
    assert (refused["status"], refused["error"]["mismatches"][0]["field"]) == (422, "verb")


def test_what_the_policy_does_not_allow_is_forbidden(api: Api) -> None:
    api("POST", "/v1/items/orders", ORDER)
    reader = Api(api.app, api.domain, {"sub": "r", "scope": "openid orders/read"})
    assert reader("GET", "/v1/items/orders/o-1").status == 200
    for method, path in (("GET", "orders"), ("GET", "users"), ("POST", "orders"), ("DELETE", "orders/o-1")):
        assert reader(method, f"/v1/items/{path}", ORDER).status == 403
    assert reader("POST", "/v1/items/nothing", ORDER).status == 403
    nobody = Api(api.app, api.domain, {})
    assert nobody("GET", "/v1/items/orders/o-1").status == 403


def test_the_description_has_what_the_caller_may_do(api: Api) -> None:
    document = api("GET", "/v1/items").body
    assert set(document["paths"]["/v1/items/lines/{PK}/{SK}"]) == {"get", "put", "patch", "delete"}
    assert set(document["paths"]["/v1/items/orders"]) == {"get", "post"}
    assert document["components"]["schemas"]["orders"] == {
        "type": "object",
        "required": ["Id", "Amount"],
        "additionalProperties": False,
        "properties": {
            "Id": {"type": "string"},
            "Amount": {"type": "number", "minimum": 0, "description": "decimal(12,2)"},
            "Code": {"type": "string", "description": "pattern: [A-Z]{2}[0-9]+"},
            "Tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "_version": {},
        },
    }
    reader = Api(api.app, api.domain, {"sub": "r", "scope": "orders/read"})
    assert {path: set(verbs) for path, verbs in reader("GET", "/v1/items").body["paths"].items()} == {
        "/v1/items/orders/{Id}": {"get"}
    }
    assert Api(api.app, api.domain, {})("GET", "/v1/items").body["paths"] == {}


@pytest.mark.parametrize("name", ["ecommerce", "fundraiser", "laundry"])
def test_every_shipped_contract_has_a_schema(name: str) -> None:
    for contract in load_domain(name).tables:
        schema = item_schema(contract)
        assert json.loads(json.dumps(schema)) == schema
        assert {column.attribute for column in contract.key_columns} <= set(schema["required"])


def test_a_text_that_a_caller_may_choose_is_no_list_of_values() -> None:
    assert values_of("nickname", "[writers]") == ["[writers]"]
    assert values_of("nickname", "x writers") == ["x writers"]
    assert values_of("cognito:groups", "[a b]") == ["a", "b"]
    assert values_of("scope", "a b") == ["a", "b"]
    assert values_of("groups", ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("_version\n", "Id\n", "is of the key of orders"),
        ("_version\n", "Amount\n", "expected bigint"),
        ("_version\n", "v\n", "add 'v' to its `drop`"),
        ("[orders]\n", "[odrers]\n", "no table 'odrers'"),
    ],
)
def test_a_mistake_in_the_policy_is_named(domain: Domain, before: str, after: str, expected: str) -> None:
    path = domain.folder / FILE
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ContractError, match=expected):
        load_policy(domain)
    path.unlink()
    with pytest.raises(ContractError, match="nobody may"):
        load_policy(replace(domain))


def test_bodies_that_are_none_and_other_content_types_are_refused(api: Api) -> None:
    for body in ("", "{", "[1]", '"x"', '{"a": NaN}', "[" * 100_000):
        assert api("POST", "/v1/items/orders", body).status in {400, 422}
    assert api("POST", "/v1/items/orders", ORDER, content_type="text/plain").status == 415
    assert api("GET", "/v1/items/orders?limit=0").status == 400
    assert api("GET", "/v2/nothing").body["error"]["code"] == "not_found"
