"""Columns for Dagster's catalog: the schema of each layer's tables, and which column comes from which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Column, Contract
from medallion_assets.defs.names import Names

if TYPE_CHECKING:
    from medallion_assets.gold.spec import Mart


def source_columns(contract: Contract) -> dg.TableSchema:
    """Return the attributes of the DynamoDB table that the contract names."""
    return dg.TableSchema([_column(columns[0], attribute) for attribute, columns in contract.attributes.items()])


def silver_columns(contract: Contract, domain: Domain) -> dg.TableSchema:
    """Return the columns of a Silver table that readers use, enrichment included."""
    own = [_column(column, column.name) for column in contract.columns.values()]
    added = [
        _column(domain.by_name[part.table].by_name[source], name)
        for part in contract.enrich
        for name, source in part.columns.items()
    ]
    return dg.TableSchema([*own, *added, dg.TableColumn("_extra", "json", "Attributes the contract does not name.")])


def silver_lineage(contract: Contract, names: Names) -> dg.TableColumnLineage:
    """Return the lineage: a column comes from its attribute, an enriched one from the column of the other table."""
    source = names.asset_key("dynamodb", contract.lake_name)
    deps = {
        column.name: [dg.TableColumnDep(asset_key=source, column_name=column.attribute)]
        for column in contract.columns.values()
    }
    for part in contract.enrich:
        on = dg.TableColumnDep(asset_key=source, column_name=contract.by_name[part.on].attribute)
        there = names.asset_key("silver", part.table)
        for name, column in part.columns.items():
            deps[name] = [dg.TableColumnDep(asset_key=there, column_name=column), on]
    return dg.TableColumnLineage(deps)


def mart_columns(mart: Mart) -> dg.TableSchema:
    """Return the columns of a mart, and those of every Gold table."""
    added = [
        dg.TableColumn("computed_at", "timestamp", "When the row was computed."),
        dg.TableColumn("silver_snapshots", "json", "The snapshots it was computed from, by input."),
    ]
    return dg.TableSchema([*(_column(column, column.name) for column in mart.columns.values()), *added])


def mart_lineage(mart: Mart, names: Names) -> dg.TableColumnLineage:
    """Return the columns of Silver and of other marts that each column of a mart is computed from, by its SQL."""
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.scope import build_scope

    from medallion_assets.engines.names import table_name

    typed = mart.query.typed
    deps = {}
    for name, root in lineage(None, typed, {}, dialect="trino", scope=build_scope(typed), copy=False).items():
        sources = {
            (table_name(node.source), exp.to_column(node.name).name)
            for node in root.walk()
            if isinstance(node.source, exp.Table) and node.source.db
        }
        deps[name] = [dg.TableColumnDep(names.input_key(table), column) for table, column in sorted(sources)]
    return dg.TableColumnLineage(deps)


def _column(column: Column, name: str) -> dg.TableColumn:
    required = any(rule.kind == "required" for rule in column.rules)
    return dg.TableColumn(
        name,
        str(column.type),
        column.description or None,
        constraints=dg.TableColumnConstraints(nullable=not required),
    )
