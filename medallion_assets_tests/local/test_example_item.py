"""The example item of a contract fits it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.contracts.model import Contract
from medallion_assets.local.example_item import example_item
from medallion_assets.reconciliation.reference_decoder import row_of
from medallion_assets_tests.fixtures import FLEET

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TYPES = (
    *("string", "bool", "int", "bigint", "decimal(5,2)", "double", "date", "timestamp", "json"),
    *("list<int>", "set<string>", "set<int>", "map<date>", "struct<A:int,B:list<string>>"),
)


@pytest.mark.parametrize("domain", ["ecommerce", "fundraiser", "laundry", "example", FLEET])
def test_every_required_column_has_a_value(domain: str) -> None:
    for contract in load_domain(domain).tables:
        row = row_of(contract, example_item(contract, NOW))
        assert contract.required_names <= {name for name, value in row.items() if value is not None}


def test_a_value_is_of_its_type_and_keeps_the_rules_of_its_column() -> None:
    columns: dict[str, object] = {
        f"A{at}": {"type": text, "rules": [{"required": True}]} for at, text in enumerate(TYPES)
    }
    columns |= {
        "Id": "string",
        "Photo": {"type": "binary", "rules": [{"required": True}]},
        "Status": {"type": "string", "rules": [{"required": True}, {"values": ["new", "old"]}]},
        "Pennies": {"type": "decimal(5,2)", "rules": [{"required": True}, {"min": Decimal("2.50")}]},
        "Day": {"type": "date", "rules": [{"required": True}, {"min": "2027-01-01"}]},
    }
    contract = Contract.model_validate(
        {"table": "Things", "owner": "team:x", "key": {"hash": "Id"}, "columns": columns}
    )
    item = example_item(contract, NOW)
    assert item.pop("Photo") == {"B": "ZXhhbXBsZQ=="}  # as a command line writes bytes
    row = row_of(contract, item)
    assert all(row[f"a{at}"] is not None for at in range(len(TYPES)))
    assert item["Status"] == {"S": "new"}
    assert item["Pennies"] == {"N": "2.50"}
    assert item["Day"] == {"S": "2027-01-01"}


def test_a_value_is_written_as_the_column_says() -> None:
    required = {"rules": [{"required": True}]}
    columns: dict[str, object] = {
        "PK": "string",
        "Order": {"type": "string", "source": "PK", "part": "ORDER#{order}#{line}"},
        "Line": {"type": "int", "source": "PK", "part": "ORDER#{order}#{line}"},
        "Pennies": {"type": "bigint", "from": "text", **required},
        "Active": {"type": "bool", "from": "text", **required},
        "Ja": {"type": "bool", "from": "ja/nein", **required},
        "One": {"type": "bool", "from": ["number", "text"], **required},
        "Day": {"type": "date", "from": ["dd.MM.yyyy", "iso"], **required},
        "At": {"type": "timestamp", "from": "epoch_millis", **required},
        "Local": {"type": "timestamp", "from": "d.M.yyyy HH:mm:ss.SSS", "zone": "Europe/Berlin", **required},
        "Iso": {"type": "timestamp", "from": ["iso", "epoch_seconds"], **required},
    }
    contract = Contract.model_validate(
        {"table": "Things", "owner": "team:x", "key": {"hash": "PK"}, "columns": columns}
    )
    item = example_item(contract, NOW)
    assert item == {
        "PK": {"S": "ORDER#example#1"},
        "Pennies": {"S": "1"},
        "Active": {"S": "true"},
        "Ja": {"S": "ja"},
        "One": {"N": "1"},
        "Day": {"S": "30.11.2026"},
        "At": {"N": str(int(NOW.timestamp()) * 1000)},
        "Local": {"S": "30.11.2026 12:00:00.000"},
        "Iso": {"S": "2026-11-30T12:00:00Z"},
    }
    row = row_of(contract, item)
    assert (row["order"], row["line"], row["pennies"], row["at"]) == ("example", 1, 1, NOW)
