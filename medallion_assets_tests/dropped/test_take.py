"""A dropped file is taken whole or not at all, once, and in its order among the changes of the stream."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from medallion_assets.capture.store import BronzeStore
from medallion_assets.dropped import take as take_module
from medallion_assets.dropped.check import check
from medallion_assets.dropped.fault import MAX_FAULTS
from medallion_assets.dropped.record import FileRecord
from medallion_assets.ledger.update import update_ledger
from medallion_assets_tests.dropped.folder import Folder, folder_on_files, machines, to_parquet_file, utc
from medallion_assets_tests.silver.changes import record

CSV = """Id,Name,Amount,At,Tags
m1,Lathe,1234567890.10,2026-03-01T10:00:00Z,"[""a"",""b""]"
m2,"Saw, big",,,
m3,"",-0.5,,
"""
ROWS = {
    "m1": {
        "id": "m1",
        "name": "Lathe",
        "amount": Decimal("1234567890.10"),
        "at": utc("2026-03-01T10:00:00"),
        "tags": ["a", "b"],
    },
    "m2": {"id": "m2", "name": "Saw, big", "amount": None, "at": None, "tags": None},
    "m3": {"id": "m3", "name": "", "amount": Decimal("-0.50"), "at": None, "tags": None},
}
PLAIN = [
    {"Id": "m1", "Name": "Lathe", "Amount": 1234567890.10, "At": "2026-03-01T10:00:00Z", "Tags": ["b", "a"]},
    {"Id": "m2", "Name": "Saw, big", "Amount": None},
    {"Id": "m3", "Name": "", "Amount": -0.5},
]
ITEMS = [
    {
        "Id": {"S": "m1"},
        "Name": {"S": "Lathe"},
        "Amount": {"N": "1234567890.1"},
        "At": {"S": "2026-03-01T10:00:00Z"},
        "Tags": {"SS": ["a", "b"]},
    },
    {"Id": {"S": "m2"}, "Name": {"S": "Saw, big"}, "Amount": {"NULL": True}},
    {"Id": {"S": "m3"}, "Name": {"S": ""}, "Amount": {"N": "-0.5"}},
]


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Folder]:
    with folder_on_files(tmp_path, machines()) as folder:
        yield folder


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[Folder]:
    with folder_on_files(tmp_path, machines(files="newer")) as folder:
        yield folder


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def machine(sequence: int, key: str, name: str | None) -> dict[str, Any]:
    return record("Machines", sequence, {"Id": {"S": key}}, {"Name": {"S": name}} if name is not None else None)


def test_each_format_brings_the_same_rows(older: Folder, tmp_path: Path) -> None:
    parquet = to_parquet_file(
        tmp_path / "made.parquet",
        "SELECT * FROM (VALUES ('m1', 'Lathe', 1234567890.10::DECIMAL(12,2), "
        "TIMESTAMPTZ '2026-03-01T10:00:00Z', ['a', 'b']), ('m2', 'Saw, big', NULL, NULL, NULL), "
        "('m3', '', -0.5, NULL, NULL)) t(Id, Name, Amount, \"At\", Tags)",
    )
    contents: dict[str, str | bytes] = {
        "a.csv": CSV,
        "b.csv.gz": gzip.compress(CSV.encode()),
        "c.jsonl": lines(PLAIN),
        "d/e.ndjson.gz": gzip.compress(lines(PLAIN).encode()),
        "f.json": lines([{"Item": item} for item in ITEMS]),
        "g.parquet": parquet,
    }
    for name, content in contents.items():
        taken = older.load(name, content)
        assert (taken.record.state, taken.record.rows, taken.first_fault) == ("taken", 3, None), name
        assert older.rows() == ROWS, name
        assert (older.root / "taken/Machines" / taken.record.hash[:16] / name).is_file()
    assert list(older.inbox.waiting("Machines")) == []
    assert {row["state"] for row in older.records()} == {"taken"}


def test_an_older_file_loses_against_every_change_of_the_stream(older: Folder) -> None:
    older.bench.put(machine(5, "m1", "of the stream"), machine(6, "m2", None))
    older.merge()
    older.load("a.csv", "Id,Name\nm1,old\nm2,old\nm3,old\n")
    assert {key: row["name"] for key, row in older.rows().items()} == {"m1": "of the stream", "m3": "old"}
    older.bench.put(machine(1, "m3", "later"))
    older.merge()
    assert older.rows()["m3"]["name"] == "later"


def test_of_two_older_files_the_one_modified_later_wins(older: Folder) -> None:
    older.load("second.csv", "Id,Name\nm1,second\n", age_seconds=50)
    older.load("first.csv", "Id,Name\nm1,first\nm2,first\n", age_seconds=100)
    assert {key: row["name"] for key, row in older.rows().items()} == {"m1": "second", "m2": "first"}


def test_a_newer_file_wins_against_what_is_known_and_loses_against_what_comes(newer: Folder) -> None:
    newer.bench.put(machine(5, "m1", "of the stream"), machine(6, "m2", None))
    newer.merge()
    newer.load("a.csv", "Id,Name\nm1,file\nm2,file\nm3,file\n")
    assert {key: row["name"] for key, row in newer.rows().items()} == dict.fromkeys(("m1", "m2", "m3"), "file")
    newer.load("b.csv", "Id,Name\nm1,second file\n", age_seconds=500)
    assert newer.rows()["m1"]["name"] == "second file"
    newer.bench.put(machine(7, "m1", "later"), machine(8, "m3", None))
    newer.merge()
    assert {key: row["name"] for key, row in newer.rows().items()} == {"m1": "later", "m2": "file"}


def test_the_same_bytes_change_nothing_however_often_they_are_dropped(newer: Folder) -> None:
    newer.load("a.csv", "Id,Name\nm1,file\n")
    newer.bench.put(machine(7, "m1", "later"))
    newer.merge()
    objects = newer.bronze_objects()
    for name in ("a.csv", "other.csv"):
        newer.drop(name, "Id,Name\nm1,file\n")
        newer.take()
    assert newer.bronze_objects() == objects
    assert newer.rows()["m1"]["name"] == "later"
    assert Counter((row["name"], row["state"]) for row in newer.records()) == {
        ("a.csv", "taken"): 1,
        ("other.csv", "repeated"): 1,
    }


def test_a_file_that_is_still_written_waits(older: Folder) -> None:
    older.drop("a.csv", CSV, age_seconds=1)
    older.drop("b.csv.partial", CSV)
    older.drop(".c.csv", CSV)
    older.drop("_SUCCESS", "")
    assert older.take() == []


def test_a_file_that_is_written_again_while_it_is_checked_waits(older: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = older.drop("a.csv", CSV)

    def check_slowly(*given: Any, **more: Any) -> Any:
        found = check(*given, **more)
        path.write_text("Id\n")
        return found

    monkeypatch.setattr(take_module, "check", check_slowly)
    assert older.take() == []
    assert older.bronze_objects() == []
    assert path.is_file()


def test_one_bad_row_rejects_the_whole_file_and_the_report_names_it_without_values(older: Folder) -> None:
    good = "".join(f"k{number},Name {number},1.25\n" for number in range(6_000))
    taken = older.load("a.csv", f"Id,Name,Amount\n{good}secret,secret,12.345\n")
    assert taken.first_fault == "row 6001, Amount: expected decimal(12,2), saw a number"
    assert older.bronze_objects() == [] and older.rows() == {}
    about, fault = older.report()
    assert (about["file"], about["rows"], about["faults"]) == ("Machines/a.csv", 6_001, 1)
    assert fault == {"row": 6001, "column": "Amount", "problem": "expected decimal(12,2), saw a number"}
    assert "secret" not in json.dumps([about, fault])
    (row,) = older.records()
    assert (row["state"], row["rows"], row["faults"]) == ("rejected", 6_001, 1)
    assert Path(row["moved_to"]).read_text("utf-8").endswith("12.345\n")


def test_a_report_lists_some_rows_and_counts_the_others(older: Folder) -> None:
    older.load("a.csv", "Id,Amount\n" + "".join(f"k{number},many\n" for number in range(7_000)))
    about, *faults = older.report()
    assert about["faults"] == 7_000
    assert about["counts"] == [{"column": "Amount", "problem": "expected decimal(12,2), saw a text", "rows": 7_000}]
    assert [fault["row"] for fault in faults] == list(range(1, MAX_FAULTS + 1))


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.xlsx", "PK", "the file: the name has none of the endings .csv, "),
        ("a.csv", "", "the file: the file has 0 bytes"),
        ("a.csv", "Id,Nmae\nm1,x\n", "the file: columns that the contract does not have: 'Nmae'; expected Id, Name"),
        ("a.csv", "Id;Name\nm1;x\n", "the file: columns that the contract does not have: 'Id;Name'"),
        ("a.csv", "Id,Id\nm1,x\n", "the file: columns that stand twice: Id"),
        ("a.csv", "Name\nx\n", "the file: no column Id, which is of the key"),
        ("a.csv", "Id,Name\nm1,x\nm2\nm3,y\n", "row 2: 1 cells; the header has 2"),
        ("a.csv", "Id,Name\nm1,x\n,y\n", "row 2, Id: expected string, saw nothing"),
        ("a.csv", "Id,Name\nm1,x\nm1,y\n", "row 2, Id: the key stands in an earlier row, too"),
        ("a.csv", b"Id,Name\nm1,\xff\n", "the file: the file cannot be read (ArrowInvalid): In CSV column"),
        ("a.csv.gz", gzip.compress(CSV.encode() * 9_999, mtime=0)[:-99], "the file: the file cannot be read"),
        ("a.csv.gz", CSV, "the file: the file cannot be read"),
        ("a.jsonl", '{"Id": "m1"}\n{"Id": "m2"\n', "row 2: expected a JSON object in one line"),
        ("a.jsonl", '{"Id": "m1"}\n[1]\n', "row 2: expected a JSON object in one line"),
        ("a.jsonl", '{"Id": "m1", "Amount": NaN}\n', "row 1: expected a JSON object in one line"),
        ("a.jsonl", '{"Id": "m1", "Tags": "a"}\n', "row 1, Tags: expected set<string>, saw a text"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 9_999, mtime=0)[:-20], "the file: the file cannot be read (EOFError)"),
        ("a.json", '{"Item": {"Id": {"S": "m1"}}}\n{"Id": "m2"}\n', 'row 2: expected {"Item": {…}} in DynamoDB JSON'),
        ("a.json", '{"Item": {"Id": {"S": "m1"}}}\n{"Item": {"Id": {"S": 5}}}\n', "row 2: expected"),
        ("a.parquet", "PAR1 or not", "the file: the file cannot be read (ArrowInvalid)"),
    ],
)
def test_what_does_not_fit_is_one_clear_report(older: Folder, name: str, content: str | bytes, fault: str) -> None:
    taken = older.load(name, content)
    assert taken.first_fault is not None and taken.first_fault.startswith(fault)
    assert taken.record.state == "rejected"
    assert older.bronze_objects() == []


def test_a_parquet_file_with_floats_for_a_decimal_is_rejected(older: Folder, tmp_path: Path) -> None:
    content = to_parquet_file(tmp_path / "made.parquet", "SELECT 'm1' AS Id, 0.1::DOUBLE AS Amount")
    assert older.load("a.parquet", content).first_fault == (
        "the file: column Amount has floats, and the contract says decimal(12,2); write it exactly"
    )


def test_a_file_of_many_blocks_keeps_the_numbers_of_its_rows(older: Folder) -> None:
    rows = [f"k{number},{'x' * 200}" for number in range(30_000)]
    rows[12_344], rows[29_998] = "k,short,long", f"k,{'x' * 9},1"
    taken = older.load("a.csv", "Id,Name\n" + "\n".join(rows) + "\nk,y\nk,z")
    assert taken.first_fault == "row 12345: 3 cells; the header has 2"
    about, *faults = older.report()
    assert (about["rows"], [fault["row"] for fault in faults]) == (30_002, [12_345, 29_999])
    taken = older.load("b.csv", "Id,Name\n" + "\n".join(rows[:20_000]) + "\n,y\n")
    assert taken.record.faults == 2


def test_a_line_without_an_end_is_not_read_into_memory(older: Folder) -> None:
    taken = older.load("a.jsonl", b'{"Id": "m1", "Name": "' + b"x" * 5_000_000)
    assert taken.first_fault == "row 1: a line of more than 4194304 bytes; expected a JSON object in one line"


def test_source_formats_and_rules_apply_to_files(tmp_path: Path) -> None:
    columns = {
        "Price": {"type": "decimal(8,2)", "from": "text", "rules": [{"min": 0}]},
        "Bought": {"type": "date", "from": ["dd.MM.yyyy", "epoch_days"]},
        "Active": {"type": "bool", "from": "yes/no"},
    }
    with folder_on_files(tmp_path, machines(columns=columns)) as folder:
        folder.load("a.csv", "Id,Price,Bought,Active\nm1,7.5,24.12.2025,YES\nm2,,0,no\n")
        found = {key: (row["price"], str(row["bought"]), row["active"]) for key, row in folder.rows().items()}
        assert found == {"m1": (Decimal("7.50"), "2025-12-24", True), "m2": (None, "1970-01-01", False)}
        taken = folder.load("b.csv", "Id,Price\nm3,-1\n")
        assert taken.first_fault == "row 1, Price: breaks the rule min 0"


def test_an_undeclared_attribute_of_json_is_kept_as_that_of_a_change_is(older: Folder) -> None:
    older.load("a.jsonl", '{"Id": "m1", "More": {"a": [1.10, true, null]}}\n')
    (row,) = older.bench.rows("machines")
    assert json.loads(row["_extra"]) == {"More": {"M": {"a": {"L": [{"N": "1.10"}, {"BOOL": True}, {"NULL": True}]}}}}


class Crash(Exception):
    pass


class CrashingStore:
    """A Bronze store whose n-th put is done, and then the process dies."""

    def __init__(self, store: BronzeStore, puts: int) -> None:
        self._store = store
        self._left = puts

    def put(self, path: str, data: bytes) -> None:
        self._store.put(path, data)
        self._left -= 1
        if not self._left:
            raise Crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _in_bronze(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Crash):
        folder.take(store=CrashingStore(folder.bench.store, 1))


def _before(name: str) -> Callable[[Folder, pytest.MonkeyPatch], None]:
    """Return a crash before a record of the file is written, or before the file is moved."""

    def crash(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        write = FileRecord.write

        def die(record: FileRecord, lake: Any) -> None:
            if record.state == name:
                raise Crash
            write(record, lake)

        with monkeypatch.context() as patch:
            if name == "move":
                patch.setattr("medallion_assets.dropped.file_inbox.FileInbox.move", _die)
            else:
                patch.setattr(FileRecord, "write", die)
            with pytest.raises(Crash):
                folder.take()

    return crash


def _die(*_: Any) -> None:
    raise Crash


@pytest.mark.parametrize("order", ["older", "newer"])
@pytest.mark.parametrize("crash", [_before("taking"), _in_bronze, _before("taken"), _before("move")])
def test_a_crash_loses_and_doubles_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    crash: Callable[[Folder, pytest.MonkeyPatch], None],
) -> None:
    """Between the crash and the next attempt the rows are merged, and the stream changes one of them."""
    monkeypatch.setattr(take_module, "_MAX_OBJECT_ROWS", 2)
    with folder_on_files(tmp_path, machines(files=order)) as folder:
        folder.bench.put(machine(5, "m1", "of the stream"), machine(6, "m4", "of the stream"))
        folder.merge()
        folder.drop("a.csv", "Id,Name\n" + "".join(f"m{number},file\n" for number in range(1, 6)))
        crash(folder, monkeypatch)
        folder.merge()
        begun = bool(folder.records())
        folder.bench.put(machine(7, "m1", "later"))
        folder.merge()
        (taken,) = folder.take()
        folder.merge()
        assert taken.record.state == "taken"
        names = {key: row["name"] for key, row in folder.rows().items()}
        # A newer file that was not begun before the change is newer than it.
        first = "file" if order == "newer" and not begun else "later"
        fourth = "of the stream" if order == "older" else "file"
        assert names == {"m1": first, "m2": "file", "m3": "file", "m4": fourth, "m5": "file"}
        assert [row["state"] for row in folder.records()] == ["taken"]
        assert folder.take() == []


@pytest.mark.parametrize("order", ["older", "newer"])
@pytest.mark.parametrize("objects", [1, 2, 3])
def test_a_file_of_several_commits_that_stops_after_any_of_them_is_whole_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, objects: int
) -> None:
    """A reader between two commits sees each row as it was before, or as in the file."""
    monkeypatch.setattr(take_module, "_MAX_OBJECT_ROWS", 2)
    keys = [f"m{number}" for number in range(1, 7)]
    with folder_on_files(tmp_path, machines(files=order)) as folder:
        folder.bench.put(machine(5, "m1", "before"), machine(6, "m4", "before"))
        folder.merge()
        folder.drop("a.csv", "Id,Name\n" + "".join(f"{key},file\n" for key in keys))
        with pytest.raises(Crash):
            folder.take(store=CrashingStore(folder.bench.store, objects))
        folder.merge()
        seen = {key: row["name"] for key, row in folder.rows().items()}
        assert set(seen.values()) <= {"before", "file"} and {"m1", "m4"} <= seen.keys()
        assert [row["state"] for row in folder.records()] == ["taking"]
        (taken,) = folder.take()
        folder.merge()
        assert taken.record.state == "taken" and taken.record.rows == 6
        kept = {"m1", "m4"} if order == "older" else set()
        assert {key: row["name"] for key, row in folder.rows().items()} == {
            key: "before" if key in kept else "file" for key in keys
        }


def test_the_ledger_takes_no_file_for_a_stream_that_was_replaced(older: Folder) -> None:
    older.load("a.csv", "Id,Name\nm1,file\n")
    for sequence in (5, 6):
        found = update_ledger(
            older.bench.lake, older.bench.store, older.bench.domain, run_id="ledger", now=older.bench.clock()
        )
        assert found.statuses["machines"].gaps == ()
        older.bench.put(machine(sequence, f"m{sequence}", "of the stream"))
        older.merge()


def test_the_record_says_what_was_done(newer: Folder) -> None:
    newer.bench.put(machine(5, "m1", "of the stream"))
    newer.merge()
    taken = newer.load("a.csv", "Id,Name\nm1,file\n")
    (row,) = newer.records()
    assert row["silver_snapshot_id"] is not None and row["deleted_snapshot_id"] is None
    assert row["moved_to"] == str(newer.root / f"taken/Machines/{taken.record.hash[:16]}/a.csv")
    (silver,) = newer.bench.rows("machines")
    assert silver["_event_id"] == f"file-{row['hash'][:16]}-1"
