"""The preflight reads from the real templates what it checks: names, keys, streams, the page's address."""

from __future__ import annotations

from medallion_assets.contracts.loader import load_domain
from medallion_assets.doctor.assembly import read_assembly
from medallion_assets.doctor.certificate import PAGE_URL, find_certificates
from medallion_assets.doctor.existing import BUCKET_NAME, find_named
from medallion_assets.doctor.tables import KEY, existing_tables
from medallion_assets_tests.infra.assembly import Assembly
from medallion_assets_tests.infra.conftest import VIEWERS


def test_an_assembly_says_account_region_roles_and_resources(assemblies: dict[str, Assembly]) -> None:
    for name, synthesised in assemblies.items():
        found = read_assembly(synthesised.folder)
        assert found.environment == name
        assert found.region == "eu-central-1"
        assert len(found.stacks) == len(synthesised.templates)
        assert len(found.resources) == sum(len(template.body["Resources"]) for template in synthesised.templates)
        kinds = ("deploy", "file-publishing", "image-publishing", "lookup")
        assert [role.rpartition("/cdk-hnb659fds-")[2].partition("-role-")[0] for role in found.deploying_roles] == [
            *kinds
        ]
        assert found.outputs[PAGE_URL].startswith("https://dagster.")


def test_each_mapping_says_the_key_of_its_contract(dev: Assembly, prod: Assembly) -> None:
    domain = load_domain("ecommerce")
    tables = existing_tables(read_assembly(prod.folder))
    assert len(tables) == len(domain.tables)
    for stream, mapping in tables.items():
        contract = domain.sources[stream.partition(":table/")[2].partition("/")[0]].contracts[0]
        assert [part["AttributeName"] for part in mapping.metadata[KEY]] == [
            column.attribute for column in contract.key_columns
        ]
        assert {part["AttributeType"] for part in mapping.metadata[KEY]} <= {"S", "N", "B"}
    assert not existing_tables(read_assembly(dev.folder))  # its tables are made


def test_in_another_partition_roles_and_tables_are_there(variants: dict[str, Assembly]) -> None:
    found = read_assembly(variants["existing"].folder)
    assert {role.partition(":iam:")[0] for role in (*found.deploying_roles, found.executing_role)} == {"arn:aws-cn"}
    tables = existing_tables(found)
    named = find_named(found)
    assert named.vpcs == ["vpc-0123456789abcdef0"]
    assert (len(named.subnets), len(named.keys)) == (4, 2)
    assert named.boundaries == ["arn:aws-cn:iam::333333333333:policy/bounds"]
    assert found.outputs[BUCKET_NAME] == "the-lake-of-all"
    assert tables and all(stream.startswith("arn:aws-cn:dynamodb:") for stream in tables)
    assert all(mapping.metadata[KEY] for mapping in tables.values())


def test_the_certificate_of_each_page_is_checked_for_its_hostname(variants: dict[str, Assembly]) -> None:
    found = find_certificates(read_assembly(variants["athena"].folder))
    assert [hostname for _, hostname in found] == ["dagster.dev.example.com", VIEWERS["hostname"]]
    assert found[1][0] == VIEWERS["certificate_arn"]
