"""Compare one Silver table with its source, and find the keys that still differ after every change has arrived.

The source is scanned once and compared by hashes (fingerprints) with Silver as it is published then. A key that
differs is a suspect. It is a confirmed difference only if

- a second, consistent read of the item gives what the scan gave,
- the pipeline has caught up past the scan: every earlier change is captured and no Bronze object is pending,
- Silver's row of the key is still the same change, and still differs.

Every other suspect was a change in flight. It is checked again, unless Silver's row is a change made after the
comparison began. A confirmed difference is described by reading both rows value by value, the source by
`reference_decoder`. If the values are equal, there is no difference.

Belongs here: finding the differences of one table. Does not belong here: correcting them (repair), Gold (verify).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import orjson
import pyarrow.parquet as pq
from pyiceberg.table import Table

from medallion_assets.capture.position import Position
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.contracts.types import ColumnType
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, sql_types
from medallion_assets.lake.outage import translate_read_outages
from medallion_assets.reconciliation.canonical import as_data, with_bytes
from medallion_assets.reconciliation.catch_up import CatchUp, position_now, silver_now, wait_until_merged
from medallion_assets.reconciliation.comparison import Comparison
from medallion_assets.reconciliation.expected import of_file, unexpired
from medallion_assets.reconciliation.fingerprints import (
    Fingerprints,
    differing,
    of_quarantined,
    of_silver,
    of_silver_keys,
    of_source,
    select,
    silver_key_hash,
)
from medallion_assets.reconciliation.reference_decoder import comparable, row_of
from medallion_assets.reconciliation.reference_format import Misfit
from medallion_assets.reconciliation.scan import SourceTable
from medallion_assets.silver.table import (
    CAPTURED_AT,
    CHANGED_AT,
    DELETED,
    EXPIRED_AT,
    EXTRA,
    IS_DELETION,
    QUARANTINE,
    SEQUENCE,
    SILVER,
    VERSION,
    silver_schema,
    version_sql,
)

Row = dict[str, Any]
Kind = Literal["missing", "extra", "different"]

_SCANNED: Final = "scanned"

# A read by key uses one unit of capacity per item, a scan one per 4 KB. Above this share a second scan costs less.
_SCAN_AGAIN: Final = 0.1
# An item may have up to 400 KB, so a batch has up to 400 MB.
_BATCH_ROWS: Final = 1_000
_ROUNDS: Final = 4
"""How often a key that keeps changing is checked. Only keys that change every few seconds stay unconfirmed."""
_REPEATED: Final = "repeated"
"""The verdict on a key of which Silver has several rows: a difference, even if each of them is as the source's item."""


@dataclass(frozen=True)
class Difference:
    """One confirmed difference.

    - key: the values of the key, as text
    - item: the source's item in DynamoDB JSON; None if there is none. One that is soft-deleted or of another
      entity is here, too
    - source: the row that Silver should have; None if it should have none, empty if Silver lacks the row
    - lake: the row that Silver has; None if there is none
    - newest: the version of the newest change of the key that was merged (when its stream was created, and its sequence
      number); None if none is known
    """

    kind: Kind
    key: tuple[str, ...]
    item: Mapping[str, Any] | None
    newest: tuple[datetime, str] | None
    source: Row | None
    lake: Row | None


@dataclass(frozen=True)
class Reconciliation:
    """What reconciling one table found. The folder with its files must exist as long as this is used.

    - scanned: the source's items
    - suspects: keys that differed at Silver's snapshot `snapshot_id`
    - confirmed: the suspects that are differences, and the keys that have several rows in Silver
    - position: what Silver contained when they were confirmed
    - buckets: how many buckets of keys differed
    - units: read capacity units used
    """

    contract: Contract
    domain: Domain
    started_at: datetime
    ended_at: datetime
    snapshot_id: int | None
    comparison: Comparison
    buckets: int
    units: float
    scanned: Fingerprints
    suspects: Fingerprints
    confirmed: Fingerprints
    position: Position

    def differences(self) -> Iterator[Difference]:
        """Yield every confirmed difference."""
        return _differences(self.contract, self.domain, self.confirmed)


@translate_read_outages()
def reconcile(
    lake: Lake,
    domain: Domain,
    contract: Contract,
    *,
    source: SourceTable,
    store: BronzeStore,
    folder: Path,
    catch_up: CatchUp,
    typed: Sequence[str] = (),
    after_catching_up: bool = False,
) -> Reconciliation:
    """Compare the contract's Silver table with its source. Files go to `folder`, which is created.

    With `after_catching_up`, wait until the pipeline has caught up past the scan, then compare. Without it, a change in
    flight may make an equal row differ later; only the next comparison can find that.

    Uses about 40 bytes of disk per row, and a few hundred MB of memory for a table of any size. The columns `typed` of
    the scanned items are kept as Silver would store them. Raises botocore's errors, LakeUnavailable, SettingsError.
    """
    folder.mkdir()
    return _Reconciler(lake, domain, contract, source, store, folder, catch_up).run(
        typed, after_catching_up=after_catching_up
    )


@dataclass(frozen=True)
class _Times:
    """When a reconciliation began, and when its scan had ended."""

    began: datetime
    read: datetime


@dataclass(frozen=True)
class _Reconciler:
    lake: Lake
    domain: Domain
    contract: Contract
    source: SourceTable
    store: BronzeStore
    folder: Path
    catch_up: CatchUp

    def run(self, typed: Sequence[str], *, after_catching_up: bool) -> Reconciliation:
        started = self.catch_up.now()
        scanned = of_source(self.lake, self.contract, self.source.scan(), self.folder / _SCANNED, typed=typed)
        read_at = self.catch_up.now()
        behind = self._wait_past(read_at) if after_catching_up else None
        table = silver_now(self.lake, self.contract)
        published = self._published(table)
        suspects, repeated, buckets = differing(self.lake, scanned, published, self.folder / "differing")
        enriched = self._wrongly_enriched(table)
        quarantined = self._quarantined(self.folder / "quarantined")
        first = self._rows(table, self.folder / "first", only=[suspects, enriched, quarantined])
        comparison = Comparison(
            f"{SILVER}/{self.contract.lake_name}", source=scanned.rows, lake=published.rows, behind=behind
        )
        with self.lake.duckdb() as connection:
            ((comparison.in_quarantine,),) = connection.execute(
                f"SELECT count(*) FROM {_newer_in(quarantined, first)}"
            ).fetchall()
            doubtful = f"(SELECT _key_hash FROM {suspects.sql} UNION SELECT _key_hash FROM {enriched.sql})"
            ((comparison.equal,),) = connection.execute(
                f"SELECT count(*) FROM {scanned.sql} WHERE _key_hash NOT IN {doubtful} "
                f"AND _key_hash NOT IN {_newer_in(quarantined, first)}"
            ).fetchall()
        candidates = select(
            self.lake,
            f"FROM {doubtful} WHERE _key_hash NOT IN {_newer_in(quarantined, first)} "
            f"AND _key_hash NOT IN (SELECT _key_hash FROM {repeated.sql})",
            self.folder / "candidates",
        )
        confirmed, position = self._confirm(candidates, scanned, first, _Times(started, read_at), comparison)
        for one in _differences(self.contract, self.domain, confirmed):
            comparison.count(one.key, one.source, one.lake)
        # A candidate whose values turned out equal, row by row, is equal.
        comparison.equal += confirmed.rows - comparison.missing - comparison.extra - comparison.different
        if repeated.rows:
            rows = self._rows(table, self.folder / "repeated-rows", only=[repeated])
            self._count_repeated(comparison, rows, scanned, doubtful)
            confirmed = confirmed.add(self.lake, self._repeated_sql(repeated, rows, scanned))
        return Reconciliation(
            contract=self.contract,
            domain=self.domain,
            started_at=started,
            ended_at=self.catch_up.now(),
            snapshot_id=table.metadata.current_snapshot_id if table else None,
            comparison=comparison,
            buckets=buckets,
            units=self.source.units,
            scanned=scanned,
            suspects=suspects,
            confirmed=confirmed,
            position=position,
        )

    def _count_repeated(
        self,
        comparison: Comparison,
        rows: Fingerprints,
        scanned: Fingerprints,
        doubtful: str,
    ) -> None:
        """Count the keys that have several `rows` in Silver. Only another writer can cause that.

        They are not checked a second time, because no change in flight causes them.
        """
        texts = ", ".join(f"_key_{at}" for at in range(len(self.contract.key_columns)))
        with self.lake.duckdb() as connection:
            found = connection.execute(f"""
                SELECT count(*), any_value(_key_hash) IN {doubtful},
                    any_value(_key_hash) IN (SELECT _key_hash FROM {scanned.sql}), {texts}
                FROM {rows.sql} WHERE _row_hash IS NOT NULL GROUP BY {texts} ORDER BY {texts}""").fetchall()
        for copies, suspected, in_source, *key in found:
            comparison.count_repeated(tuple(key), rows=copies, counted=not suspected, in_source=in_source)

    def _repeated_sql(self, repeated: Fingerprints, rows: Fingerprints, scanned: Fingerprints) -> str:
        """Return a SELECT of keys that have several `rows` in Silver, in the form of `_judge`: the newest of the rows.

        The item is read once more, so a repair makes one row of them that is at least as new as each.
        """
        items = self._read_again(repeated, scanned, rows)
        again = of_source(self.lake, self.contract, items, self.folder / "repeated-again", items=True, only=repeated)
        keys = ", ".join(f"_key_{at}" for at in range(len(self.contract.key_columns)))
        return f"""
            SELECT l.*, a._item, a._row_hash IS NOT NULL AS _expected, '{_REPEATED}' AS _verdict FROM (
                SELECT * FROM {rows.sql} WHERE NOT {IS_DELETION}
                QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _version DESC) = 1) l
            LEFT JOIN {again.sql} a USING (_key_hash)"""

    def _confirm(
        self, candidates: Fingerprints, read: Fingerprints, rows: Fingerprints, times: _Times, comparison: Comparison
    ) -> tuple[Fingerprints, Position]:
        """Return the candidates that are differences, with item and Silver row, and Silver's position at that time.

        A key that changed meanwhile is checked again, a few times, because its last change may have been lost. The
        other candidates are counted in `comparison`.
        """
        confirmed = Fingerprints(self.folder / "confirmed", 0)
        confirmed.folder.mkdir()
        position: Position | None = None
        read_at = times.read
        first_read, first_rows = read, rows
        for number in range(_ROUNDS):
            if not candidates.rows:
                break
            here = self.folder / f"round-{number}"
            here.mkdir()
            again = of_source(
                self.lake,
                self.contract,
                self._read_again(candidates, read, rows),
                here / "again",
                items=True,
                only=candidates,
            )
            read_again_at = self.catch_up.now()
            behind = comparison.behind or self._wait_past(read_at)
            # The oldest position is enough: later changes show in the sequence numbers of the rows.
            position = position or position_now(self.lake, self.contract)
            quarantined = self._quarantined(here / "quarantined")
            now = self._rows(silver_now(self.lake, self.contract), here / "rows", only=[candidates, quarantined])
            judged = self._judge(
                candidates, (read, again), (rows, now), quarantined, began=times.began, folder=here / "judged"
            )
            counts = self._verdicts(judged)
            comparison.equal += counts.get("equal", 0)
            # Rows that arrived after the first read are counted on both sides, so `equal` is never more than either.
            comparison.source += self._arrived(judged, first_read, "TRUE")
            comparison.lake += self._arrived(judged, first_rows, f"NOT {IS_DELETION}")
            comparison.in_quarantine += counts.get("in_quarantine", 0)
            comparison.in_flight += counts.get("newer", 0)
            if behind is not None:
                comparison.unconfirmed = counts.get("differs", 0) + counts.get("moving", 0)
                if comparison.unconfirmed:
                    comparison.behind = behind
                break
            differs = f"FROM {judged.sql} WHERE _verdict = 'differs'"
            confirmed = confirmed.add(self.lake, differs)
            candidates = select(
                self.lake, f"SELECT _key_hash FROM {judged.sql} WHERE _verdict = 'moving'", here / "moving"
            )
            read, rows, read_at = again, now, read_again_at
        else:
            if candidates.rows:
                comparison.unconfirmed, comparison.behind = candidates.rows, "these rows change all the time"
        return confirmed, position or Position.start()

    def _wait_past(self, read_at: datetime) -> str | None:
        return wait_until_merged(self.lake, self.store, self.contract, past=read_at, catch_up=self.catch_up)

    def _judge(
        self,
        candidates: Fingerprints,
        read: tuple[Fingerprints, Fingerprints],
        rows: tuple[Fingerprints, Fingerprints],
        quarantined: Fingerprints,
        *,
        began: datetime,
        folder: Path,
    ) -> Fingerprints:
        """Return the candidates with item, Silver row and `_verdict`, by two reads of the source and of Silver."""
        names = self.contract.enriched_names
        keys = [f"_key_{at}" for at in range(len(self.contract.key_columns))]
        wrong = [f"l.{identifier(name)} IS DISTINCT FROM l.{identifier(f'_now_{name}')}" for name in names]
        moved = ["s._row_hash IS DISTINCT FROM a._row_hash", "f._version IS DISTINCT FROM l._version"]
        moved += [f"f.{identifier(f'_now_{name}')} IS DISTINCT FROM l.{identifier(f'_now_{name}')}" for name in names]
        judged = f"""
            SELECT c._key_hash, {", ".join(f"coalesce(s.{key}, f.{key}, l.{key}) AS {key}" for key in keys)},
                a._item, a._row_hash IS NOT NULL AS _expected,
                l.* EXCLUDE (_key_hash, {", ".join(keys)}),
                CASE WHEN a._row_hash IS NOT DISTINCT FROM l._row_hash AND NOT ({" OR ".join(wrong) or "FALSE"})
                        THEN 'equal'
                    WHEN c._key_hash IN {_newer_in(quarantined, rows[1])} THEN 'in_quarantine'
                    WHEN l.{CHANGED_AT} > TIMESTAMPTZ '{began.isoformat()}' THEN 'newer'
                    WHEN {" OR ".join(moved)} THEN 'moving'
                    ELSE 'differs' END AS _verdict
            FROM {candidates.sql} c
            LEFT JOIN {read[0].sql} s USING (_key_hash) LEFT JOIN {read[1].sql} a USING (_key_hash)
            LEFT JOIN {rows[0].sql} f USING (_key_hash) LEFT JOIN {rows[1].sql} l USING (_key_hash)"""
        return select(self.lake, judged, folder)

    def _verdicts(self, judged: Fingerprints) -> dict[str, int]:
        counted = "count(*) FILTER (_verdict <> 'equal' OR _expected)"
        with self.lake.duckdb() as connection:
            return dict(
                connection.execute(f"SELECT _verdict, {counted} FROM {judged.sql} GROUP BY _verdict").fetchall()
            )

    def _arrived(self, judged: Fingerprints, first: Fingerprints, present: str) -> int:
        """Return how many keys are equal now and had no row at the first read.

        `present` is the condition for a row of `first` to count as one.
        """
        arrived = f"_verdict = 'equal' AND _expected AND _key_hash NOT IN (SELECT _key_hash FROM {first.sql} "
        with self.lake.duckdb() as connection:
            ((rows,),) = connection.execute(
                f"SELECT count(*) FROM {judged.sql} WHERE {arrived} WHERE {present})"
            ).fetchall()
        return int(rows)

    def _nothing(self, folder: Path) -> Fingerprints:
        """Return fingerprints without rows, with Silver's columns."""
        texts = [f"NULL::VARCHAR AS _key_{at}" for at in range(len(self.contract.key_columns))]
        with self.lake.duckdb() as connection:
            types = sql_types(connection, silver_schema(self.contract, self.domain))
        columns = [f"NULL::{kind} AS {identifier(name)}" for name, kind in types.items()]
        columns += [f"NULL::{types[name]} AS {identifier(f'_now_{name}')}" for name in self.contract.enriched_names]
        version = "NULL::STRUCT(created TIMESTAMPTZ, number VARCHAR)"
        columns += [f"NULL::BOOLEAN AS {IS_DELETION}", f"{version} AS _version", f"{version} AS _newest"]
        hashes = ["NULL::UBIGINT AS _key_hash", "NULL::UBIGINT AS _row_hash"]
        return select(self.lake, f"SELECT {', '.join([*columns, *hashes, *texts])} WHERE FALSE", folder)

    def _published(self, table: Table | None) -> Fingerprints:
        folder = self.folder / "published"
        if table is None:
            return self._nothing(folder)
        return of_silver(self.lake, self.contract, self._compared(table), folder)

    def _quarantined(self, folder: Path) -> Fingerprints:
        if self.lake.find(QUARANTINE, self.contract.lake_name) is None:
            return self._nothing(folder)
        return of_quarantined(self.lake, self.contract, folder)

    def _rows(self, table: Table | None, folder: Path, *, only: Sequence[Fingerprints]) -> Fingerprints:
        """Return Silver's rows of some keys, and the deleted ones of these keys; see `_with_deleted`."""
        if table is None or not any(some.rows for some in only):
            return self._nothing(folder)
        return of_silver_keys(self.lake, self.contract, self._with_deleted(table), folder, only=only)

    def _wrongly_enriched(self, table: Table | None) -> Fingerprints:
        """Return the keys of rows whose enriched columns differ from the referenced row."""
        folder = self.folder / "enriched"
        if table is None or not self.contract.enrich:
            return self._nothing(folder)
        differs = " OR ".join(
            f"{identifier(name)} IS DISTINCT FROM {identifier(f'_now_{name}')}" for name in self.contract.enriched_names
        )
        scan = f"(FROM {self._with_enrichment(table)} WHERE {differs})"
        return of_silver(self.lake, self.contract, scan, folder)

    def _with_enrichment(self, table: Table) -> str:
        """Return SQL of the table's rows, with `_now_...` taken from the referenced rows as they are published now."""
        columns, joins = [], []
        for at, part in enumerate(self.contract.enrich):
            key = identifier(self.domain.by_name[part.table].key_names[0])
            there = silver_now(self.lake, self.domain.by_name[part.table])
            if there is None:
                columns += [
                    f"CASE WHEN FALSE THEN r.{identifier(name)} END AS {identifier(f'_now_{name}')}"
                    for name in part.columns
                ]
                continue
            columns += [f"s{at}.{identifier(of)} AS {identifier(f'_now_{name}')}" for name, of in part.columns.items()]
            rows = self._scan(there, self.domain.by_name[part.table])
            joins.append(f"LEFT JOIN {rows} s{at} ON r.{identifier(part.on)} = s{at}.{key}")
        more = "".join(f", {column}" for column in columns)
        return f"(SELECT r.*{more} FROM {self._compared(table)} r {' '.join(joins)})"

    def _with_deleted(self, table: Table) -> str:
        """Return SQL of the table's rows (see `_with_enrichment`) and of the keys without one: deleted or expired.

        - IS_DELETION: whether it is such a key; all columns of the contract but the key are null then
        - `_version`: the version of this row
        - `_newest`: the greatest version of the key that was merged
        """
        rows = self._with_enrichment(table)
        made = f"FALSE AS {IS_DELETION}, {version_sql('r')} AS _version"
        gone = self._gone(table)
        if gone is None:
            return f"(SELECT r.*, {made}, {version_sql('r')} AS _newest FROM {rows} r)"
        keys = ", ".join(map(identifier, self.contract.key_names))
        newest = f"greatest({version_sql('r')}, CASE WHEN d.{SEQUENCE} IS NOT NULL THEN {version_sql('d')} END)"
        return f"""(
            SELECT r.*, {made}, {newest} AS _newest FROM {rows} r LEFT JOIN {gone} d USING ({keys})
            UNION ALL BY NAME
            SELECT d.*, TRUE AS {IS_DELETION}, {version_sql("d")} AS _version, {version_sql("d")} AS _newest
            FROM {gone} d ANTI JOIN {rows} r USING ({keys}))"""

    def _compared(self, table: Table) -> str:
        """Return SQL of the rows that should have an item: no expired ones, and of those of files no others."""
        scan = self._scan(table, self.contract)
        if self.contract.on_expiry == "keep":
            scan = unexpired(scan)
        if self.contract.files is None:
            return scan
        read = f"(SELECT _key_hash FROM {Fingerprints(self.folder / _SCANNED, 0).sql})"
        return f"(FROM {scan} WHERE NOT {of_file()} OR {silver_key_hash(self.contract)} IN {read})"

    def _gone(self, table: Table) -> str | None:
        """Return SQL of the keys that were deleted, and of those of kept expired rows, each once; None if no table."""
        deleted = self.lake.find(DELETED, self.contract.lake_name)
        scans = [self.lake.scan_sql(deleted, None)] if deleted is not None else []
        if self.contract.on_expiry == "keep":
            scans.append(f"(FROM {self._scan(table, self.contract)} WHERE {EXPIRED_AT} IS NOT NULL)")
        keys = ", ".join(map(identifier, self.contract.key_names))
        known = f"{keys}, {', '.join([*VERSION, CHANGED_AT, CAPTURED_AT])}"
        parts = " UNION ALL ".join(f"SELECT {known} FROM {scan}" for scan in scans)
        newest = f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {version_sql()} DESC) = 1"
        return f"(SELECT * FROM ({parts}) {newest})" if scans else None

    def _scan(self, table: Table, contract: Contract) -> str:
        """Return SQL of a Silver table's rows. A column that was added to the contract since the last merge is null."""
        scan, schema = self.lake.scan_sql(table, None), silver_schema(contract, self.domain)
        there = {field.name for field in table.schema().fields}
        lacking = [name for name in schema.names if name not in there]
        if not lacking:
            return scan
        with self.lake.duckdb() as connection:
            types = sql_types(connection, schema)
        nulls = ", ".join(f"NULL::{types[name]} AS {identifier(name)}" for name in lacking)
        return f"(SELECT *, {nulls} FROM {scan})"

    def _read_again(self, candidates: Fingerprints, scanned: Fingerprints, first: Fingerprints) -> Iterator[bytes]:
        """Read the candidates' items once more: by key or, if there are many, by another scan."""
        if candidates.rows > scanned.rows * _SCAN_AGAIN:
            return self.source.scan()
        tags = self.source.describe().key_tags
        names = ", ".join(f"_key_{at}" for at in range(len(tags)))
        with self.lake.duckdb() as connection:
            found = connection.execute(f"""
                SELECT {names} FROM {scanned.sql} WHERE _key_hash IN (FROM {candidates.sql})
                UNION SELECT {names} FROM {first.sql} WHERE _key_hash IN (FROM {candidates.sql})
            """).fetchall()
        return self.source.get(
            {
                column.attribute: {tags[column.attribute]: text}
                for column, text in zip(self.contract.key_columns, key, strict=True)
            }
            for key in found
        )


def _newer_in(quarantined: Fingerprints, rows: Fingerprints) -> str:
    """Return SQL of the keys whose change in quarantine is newer than Silver's."""
    return f"""(SELECT DISTINCT h._key_hash FROM {quarantined.sql} h LEFT JOIN {rows.sql} r USING (_key_hash)
        WHERE r._version IS NULL OR h._version > r._version)"""


def _differences(contract: Contract, domain: Domain, confirmed: Fingerprints) -> Iterator[Difference]:
    columns = domain.silver_columns(contract)
    for file in sorted(confirmed.folder.glob("*.parquet")) if confirmed.rows else []:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS):
            for found in batch.to_pylist():
                difference = _difference(contract, columns, found)
                if difference.source != difference.lake or found["_verdict"] == _REPEATED:
                    yield difference


def _difference(contract: Contract, columns: Mapping[str, ColumnType], found: Row) -> Difference:
    item = orjson.loads(found["_item"]) if found["_item"] is not None else None
    texts = [found[f"_key_{at}"] for at in range(len(contract.key_columns))]
    source = lake = None
    if found["_version"] is not None and not found[IS_DELETION]:
        lake = {name: as_data(type_, found[name]) for name, type_ in columns.items()}
        extra = orjson.loads(found[EXTRA]) if found[EXTRA] else None
        lake[EXTRA] = {name: comparable(tagged) for name, tagged in extra.items()} if extra else None
    if item is not None and lake is None:
        source = {}
    elif item is not None and found["_expected"]:
        source = _read(contract, item) | {name: found[f"_now_{name}"] for name in contract.enriched_names}
    kind: Kind = "missing" if lake is None else "extra" if source is None else "different"
    newest = (found["_newest"]["created"], found["_newest"]["number"]) if found["_newest"] is not None else None
    return Difference(kind, tuple(texts), item, newest, source, lake)


def _read(contract: Contract, item: Mapping[str, Any]) -> Row:
    """Return the item as `reference_decoder` reads it; a description, not an error, if it breaks its contract."""
    try:
        return row_of(contract, {name: with_bytes(tagged) for name, tagged in item.items()})
    except Misfit as misfit:
        return {"does not fit and is not in quarantine": str(misfit)}
