"""A folder in which a test drops files, and a lake that takes them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.file_inbox import FileInbox
from medallion_assets.dropped.take import TakenFile, take
from medallion_assets.lake.duck import literal
from medallion_assets_tests.silver.changes import DAY, Bench, bench_on_files, contract

Row = Mapping[str, Any]

COLUMNS = {"Id": "string", "Name": "string", "Amount": "decimal(12,2)", "At": "timestamp", "Tags": "set<string>"}


def machines(**more: Any) -> Contract:
    return contract("Machines", {**COLUMNS, **more.pop("columns", {})}, key="Id", **{"files": "older", **more})


@dataclass
class Folder:
    """The folder, and the lake, which is as of NOON."""

    bench: Bench
    root: Path

    @property
    def inbox(self) -> FileInbox:
        return FileInbox(self.root)

    @property
    def contract(self) -> Contract:
        (one,) = self.bench.domain.tables
        return one

    def drop(self, name: str, content: str | bytes, *, age_seconds: float = 60) -> Path:
        """Drop a file that was last written some seconds ago."""
        path = self.root / self.contract.table / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        at = time.time() - age_seconds
        os.utime(path, (at, at))
        return path

    def take(self, *, store: BronzeStore | None = None) -> list[TakenFile]:
        """Take what waits, as the asset does."""
        files = sorted(self.inbox.waiting(self.contract.table), key=lambda one: (one.modified_at, one.name))
        done = [
            take(
                self.bench.lake,
                store or self.bench.store,
                self.inbox,
                self.contract,
                file,
                run_id="take",
                now=self.bench.clock,
            )
            for file in files
        ]
        return [one for one in done if one is not None]

    def load(self, name: str, content: str | bytes, *, age_seconds: float = 60) -> TakenFile:
        """Drop a file, take it and merge what it brought."""
        self.drop(name, content, age_seconds=age_seconds)
        (taken,) = self.take()
        self.merge()
        return taken

    def merge(self) -> None:
        results = self.bench.merge_pending(self.contract.lake_name, day=DAY)
        assert all(one.published for one in results)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of Silver by their first key column, without what the pipeline adds."""
        found = self.bench.rows(self.contract.lake_name)
        plain = [{name: value for name, value in row.items() if name in self.contract.by_name} for row in found]
        return {row[self.contract.key_names[0]]: row for row in plain}

    def report(self) -> list[dict[str, Any]]:
        """Return the lines of the one report."""
        (path,) = self.root.glob("rejected/**/*.report.jsonl")
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def records(self) -> list[dict[str, Any]]:
        return sorted(self.bench.rows("dropped_files", namespace="ops"), key=lambda row: row["recorded_at"])

    def bronze_objects(self) -> list[str]:
        return list(self.bench.store.list(self.contract.table))


@contextmanager
def folder_on_files(path: Path, contract: Contract) -> Iterator[Folder]:
    with bench_on_files(path, contract) as bench:
        yield Folder(bench, path / "raw")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def to_parquet_file(path: Path, select: str) -> bytes:
    """Return a Parquet file that DuckDB, and not our reader's library, wrote."""
    import duckdb

    duckdb.sql(f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet)")
    return path.read_bytes()
