"""Settings files: every mistake is told before anything is synthesised, with file, field and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import FOLDER, load_environment
from medallion_assets.errors import ContractError, SettingsError
from medallion_assets_tests.infra.assembly import write_environment


@pytest.mark.parametrize("name", ["dev", "stg", "prod"])
def test_the_shipped_environments_load_and_have_a_source_for_every_table(name: str) -> None:
    settings = load_environment(FOLDER / f"{name}.yaml")
    assert settings.environment == name
    assert settings.load_domain().tables


def test_an_unknown_setting_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"dev\.yaml: colour: unknown key"):
        load_environment(write_environment(tmp_path, "dev", colour="red"))


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
    ],
)
def test_streams_are_those_of_the_domains_tables(tmp_path: Path, streams: dict[str, str], says: str) -> None:
    path = write_environment(tmp_path, "prod")
    settings = load_environment(path)
    sources = settings.sources.model_copy(update={"streams": streams})
    with pytest.raises(SettingsError, match=says):
        settings.model_copy(update={"sources": sources}).load_domain()


def test_an_existing_grafana_is_named_and_a_managed_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="principal_arn is said exactly when grafana is existing"):
        load_environment(write_environment(tmp_path, "dev", dashboards={"grafana": "existing"}))
