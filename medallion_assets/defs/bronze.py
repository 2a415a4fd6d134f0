"""The assets `dynamodb/<table>` and `bronze/<table>`: where changes come from, and the objects that hold them.

Capture writes Bronze, not Dagster: the step looks at the objects of its day, and stops the table at a broken one.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any, Final

import dagster as dg

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.defs.columns import source_columns
from medallion_assets.defs.failures import translate_errors
from medallion_assets.defs.freshness import freshness
from medallion_assets.defs.names import Names, code_version, daily
from medallion_assets.defs.resources import resource_of
from medallion_assets.defs.run_config import StepConfig
from medallion_assets.errors import CorruptObject
from medallion_assets.scheduling.pending import list_pending

_CONCURRENCY: Final = 16
"""Objects looked at side by side; the wait is the store's round trip."""


def source_spec(contract: Contract, names: Names) -> dg.AssetSpec:
    """The DynamoDB table, which nothing here writes."""
    return dg.AssetSpec(
        names.asset_key("dynamodb", contract.lake_name),
        description=contract.description,
        group_name=names.group("source"),
        kinds={"dynamodb"},
        owners=[contract.owner],
        metadata={"table": contract.table, "dagster/column_schema": source_columns(contract)},
    )


def bronze_asset(contract: Contract, domain: Domain, names: Names) -> dg.AssetsDefinition:
    """The captured objects of one table, one partition per UTC capture day."""
    name = contract.lake_name

    @dg.asset(
        key=names.asset_key("bronze", name),
        deps=[
            names.asset_key("dynamodb", name),
            *([names.asset_key("raw", name)] if contract.files else []),
            *([names.asset_key("backfill", name)] if contract.where is None else []),
        ],
        description=f"Every captured change of {contract.table} as it happened, by UTC capture day.",
        group_name=names.group("bronze"),
        kinds={"s3", "parquet"},
        owners=[contract.owner],
        partitions_def=daily(domain.since),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=names.pool("bronze", name),
        freshness_policy=freshness([contract]),
        code_version=code_version(contract),
        required_resource_keys={names.resource_key},
    )
    def bronze(context: dg.AssetExecutionContext, config: StepConfig) -> dg.MaterializeResult[Any]:
        from medallion_assets.silver.table import SILVER, read_position

        pipeline = resource_of(context, names)
        with translate_errors(context):
            store = pipeline.bronze_store(hand_on=True)
            days = [date.fromisoformat(key) for key in context.partition_keys]
            if config.incremental:
                with pipeline.lake(remember_tables=True) as lake:
                    positions = {name: read_position(lake.find(SILVER, name))}
                objects = list_pending(store, [contract], positions, days[0]).get(f"silver/{name}", {}).get(days[0], [])
            else:
                objects = [path for day in days for path in store.list(contract.table, day=day)]
            return dg.MaterializeResult(metadata=survey(store, objects))

    return bronze


def survey(store: BronzeStore, names: Sequence[str]) -> dict[str, Any]:
    """How many objects, rows and bytes there are. Raises CorruptObject naming one that is no whole Parquet file."""
    from medallion_assets.bronze.copies import Copies

    copies = Copies(store, names)
    copied = {name: found for name in names if (found := copies.original(name)) is not None}
    others = [name for name in names if name not in copied]
    with ThreadPoolExecutor(_CONCURRENCY) as threads:
        sizes = list(threads.map(lambda name: _size(store, name), others))
    sizes += [(stats.rows, entry.bytes, stats.oldest_change) for entry, stats in copied.values()]
    ends = {"first": store.uri(names[0]), "last": store.uri(names[-1])} if names else {}
    changes = [oldest for _, _, oldest in sizes if oldest is not None]
    return {
        "objects": len(names),
        "dagster/row_count": sum(rows for rows, _, _ in sizes),
        "bytes": sum(size for _, size, _ in sizes),
        **ends,
        **({"oldest_change": dg.MetadataValue.timestamp(min(changes))} if changes else {}),
    }


def _size(store: BronzeStore, name: str) -> tuple[int, int, datetime | None]:
    """Rows, bytes, and the time of the oldest change as the file's statistics tell it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = store.read(name)
    try:
        footer = pq.read_metadata(pa.BufferReader(data))
        created = footer.schema.names.index("approximate_creation_time")
        told = (footer.row_group(group).column(created).statistics for group in range(footer.num_row_groups))
        oldest = min((each.min for each in told if each is not None and each.has_min_max), default=None)
        return footer.num_rows, len(data), oldest
    except pa.ArrowException as broken:
        raise CorruptObject(
            f"Bronze object {store.uri(name)} is not a whole Parquet file ({len(data)} bytes: {broken}). Nothing was "
            "skipped: restore the object or capture its changes again, then run this day again."
        ) from broken
