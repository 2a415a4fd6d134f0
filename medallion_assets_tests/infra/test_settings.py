"""Settings files: every mistake is told before anything is synthesised, with file, field and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import FOLDER, load_environment
from medallion_assets.errors import ContractError, SettingsError
from medallion_assets_tests.infra.assembly import write_environment

NETWORK = (
    "{vpc_id: vpc-0000000a, zones: [eu-central-1a, eu-central-1b], "
    "private_subnets: [subnet-0000000a, subnet-0000000b], database_subnets: [subnet-0000001a, subnet-0000001b]}"
)


@pytest.mark.parametrize("name", ["dev", "stg", "prod"])
def test_the_shipped_environments_load_and_have_a_source_for_every_table(name: str) -> None:
    settings = load_environment(FOLDER / f"{name}.yaml")
    assert settings.environment == name
    assert settings.load_domain().tables


def test_an_unknown_setting_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"dev\.yaml: colour: unknown key"):
        load_environment(write_environment(tmp_path, "dev", colour="red"))


CERTIFICATE = "arn:aws:acm:eu-central-1:111111111111:certificate/00000000-0000-0000-0000-000000000007"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("10.40.0.0/16", "10.40.0.0/99", "orchestrator.vpc_cidr: '10.40.0.0/99': expected a network such as"),
        ("10.40.0.0/16", "10.40.0.1/16", "orchestrator.vpc_cidr: '10.40.0.1/16': expected a network such as"),
        ("10.40.0.0/16", "10.40.0.0/28", "orchestrator: vpc_cidr 10.40.0.0/28: expected a network of /16 to /24"),
        ("run_memory_mb: 4096", "run_memory_mb: 512", "is no pair of Fargate; expected one of 2048, 3072"),
        ("run_cpu: 1024", "run_cpu: 1000", "expected a CPU of [256, 512, 1024"),
        (
            'account: "111111111111"',
            "account: 111111111111",
            "account: expected text, found 111111111111; put it in quotes",
        ),
        ("region: eu-central-1", "region: Frankfurt", "region: expected text that matches"),
        ("keep_data: false", "keep_data: maybe", "keep_data: "),
        ("keep_data: false", "keep_data: false\nengine: {kind: spark}", "engine: "),
        ("keep_data: false", "keep_data: false\nengine: {kind: athena}", "engine.athena.scan_limit_gb: "),
        ("  nat_gateways: 1\n", "", "nat_gateways is said exactly when no network is named"),
        ("  nat_gateways: 1\n", f"  network: {NETWORK}\n  nat_gateways: 1\n", "nat_gateways is said exactly when"),
        (
            "  nat_gateways: 1\n",
            f"  network: {NETWORK}\n  reachable_from: [203.0.113.0/24]\n",
            "a page on the internet needs network.public_subnets",
        ),
        (
            "  nat_gateways: 1\n",
            f"  network: {NETWORK.replace('subnet-0000001a, ', '')}\n",
            "database_subnets: 1 subnets; expected one for each of the 2 zones",
        ),
        ("  nat_gateways: 1\n", "  nat_gateways: 1\n  image: medallion\n", "orchestrator.image: "),
        ("  nat_gateways: 1\n", "  nat_gateways: 1\n  sign_in: {kind: saml}\n", "orchestrator.sign_in: "),
        (
            "  nat_gateways: 1\n",
            f"  nat_gateways: 1\n  viewers: {{hostname: dagster.dev.example.com, certificate_arn: {CERTIFICATE}}}\n",
            "viewers.hostname dagster.dev.example.com: expected another name than that of the page",
        ),
        (
            "owner: team:data",
            "owner: team:data\ntags: {owner: me}",
            "tags: owner follow from name, environment and owner",
        ),
        ("owner: team:data", "owner: team:data\ndatabase_prefix: shop", "database_prefix: expected text that matches"),
        ("owner: team:data", "owner: team:data\nrole_path: data", "role_path: expected text that matches"),
        (
            "keep_data: false",
            "keep_data: false\nengine: {kind: trino, url: 'http://trino:8080', catalog: lake, user: m}",
            "engine.trino.url: expected text that matches",
        ),
    ],
)
def test_a_value_that_aws_does_not_take_is_refused_with_its_line(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    text = (FOLDER / "dev.yaml").read_text()
    assert before in text
    path = tmp_path / "dev.yaml"
    path.write_text(text.replace(before, after))
    with pytest.raises(ContractError) as refused:
        load_environment(path)
    assert told in str(refused.value) and "(line " in str(refused.value)


def test_the_files_name_is_the_environments(tmp_path: Path) -> None:
    path = write_environment(tmp_path, "dev")
    with pytest.raises(SettingsError, match="'dev'; the file's name says 'stg'"):
        load_environment(path.rename(tmp_path / "stg.yaml"))


def test_two_environments_in_one_account_and_region_are_refused(tmp_path: Path) -> None:
    write_environment(tmp_path, "stg", account="111111111111")
    with pytest.raises(SettingsError, match=r"those of stg\.yaml.*an account or a region of its own"):
        load_environment(write_environment(tmp_path, "dev"))
    load_environment(write_environment(tmp_path, "dev", database_prefix="dev_"))


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("eu-central-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_the_partition_is_the_regions(tmp_path: Path, region: str, partition: str, domain: str) -> None:
    settings = load_environment(write_environment(tmp_path, "dev", region=region))
    assert (settings.partition, settings.services_domain) == (partition, domain)
    assert settings.table_arn("Orders") == f"arn:{partition}:dynamodb:{region}:111111111111:table/Orders"


@pytest.mark.parametrize(
    ("streams", "says"),
    [
        ({}, "no stream for Customers, Orders, Products"),
        (
            {"Invoices": "arn:aws:dynamodb:eu-central-1:333333333333:table/Invoices/stream/x"},
            "is no table of the domain",
        ),
        (
            {"Orders": "arn:aws:dynamodb:eu-central-1:333333333333:table/Orders"},
            "expected the ARN of that table's stream",
        ),
        ({"Orders": "arn:aws:dynamodb:us-east-1:333333333333:table/Orders/stream/x"}, "stream in eu-central-1"),
        ({"Orders": "arn:aws:dynamodb:eu-central-1:333333333333:table/Other/stream/x"}, "of that table's stream"),
        ({"Orders": "arn:aws-cn:dynamodb:eu-central-1:333333333333:table/Orders/stream/x"}, "of that table's stream"),
        (
            {"Orders": "arn:aws:dynamodb:eu-central-1:444444444444:table/Orders/stream/x"},
            "the stream is in the account 444444444444, the environment in 333333333333.*deploy the environment in 444",
        ),
    ],
)
def test_streams_are_those_of_the_domains_tables(tmp_path: Path, streams: dict[str, str], says: str) -> None:
    path = write_environment(tmp_path, "prod")
    settings = load_environment(path)
    sources = settings.sources.model_copy(update={"streams": streams})
    with pytest.raises(SettingsError, match=says):
        settings.model_copy(update={"sources": sources}).load_domain()


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"Bills": "prod-Bills"}, "sources.tables: .'Bills'. is no table of the domain"),
        ({"Orders": "Products"}, r"\['Orders', 'Products'\] all have the name 'Products' in DynamoDB"),
        ({"Orders": "prod-Orders"}, "table/prod-Orders/stream/<label>. A table with another name"),
    ],
)
def test_two_names_of_a_table_are_of_a_table_of_the_domain(tmp_path: Path, tables: dict[str, str], says: str) -> None:
    settings = load_environment(write_environment(tmp_path, "prod"))
    sources = settings.sources.model_copy(update={"tables": tables})
    with pytest.raises(SettingsError, match=says):
        settings.model_copy(update={"sources": sources}).load_domain()


CHANGES = "arn:aws:kinesis:eu-central-1:333333333333:stream/changes"


@pytest.mark.parametrize(
    ("stream", "table", "says"),
    [
        (CHANGES, "Orders", r"\['Orders'\] have two ways in"),
        (CHANGES, "Bills", r"\['Bills'\] are no tables of the domain"),
        (CHANGES.replace("333333333333", "444444444444"), "Orders", "expected a stream of this account and region"),
        (CHANGES.replace("changes", "a/b"), "Orders", "expected a stream of this account and region"),
    ],
)
def test_a_stream_of_kinesis_is_here_and_the_only_way_in_of_its_tables(
    tmp_path: Path, stream: str, table: str, says: str
) -> None:
    named = [{"stream": stream, "tables": {table: "2026-12-01T00:00:00"}}]
    settings = load_environment(write_environment(tmp_path, "prod", sources={"kinesis": named}))
    with pytest.raises(SettingsError, match=says):
        settings.load_domain()


def test_an_existing_grafana_is_named_and_a_managed_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="principal_arn is said exactly when grafana is existing"):
        load_environment(write_environment(tmp_path, "dev", dashboards={"grafana": "existing"}))
