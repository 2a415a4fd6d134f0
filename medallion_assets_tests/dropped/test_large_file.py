"""A large file with one bad line at its end: the report names it, and the memory is that of a small file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medallion_assets_tests.dropped.folder import folder_on_files, machines

_ROW = "k{number},{name},1.25\n"
_NAME = "x" * 2_000


def _rows(megabytes: int) -> int:
    return megabytes * 1_000_000 // len(_ROW.format(number=0, name=_NAME))


def _check(folder: Path, megabytes: int) -> tuple[int, str]:
    """Take a file of so many megabytes in a process of its own; return its peak memory in bytes, and the fault."""
    ran = subprocess.run(
        [sys.executable, "-m", __name__, str(folder), str(megabytes)], capture_output=True, text=True, check=True
    )
    peak, _, fault = ran.stdout.strip().partition(" ")
    return int(peak), fault


def main(root: str, megabytes: str) -> None:
    """Drop the file, take it, and print the peak memory in bytes and the first fault."""
    import resource

    Path(root).mkdir()
    with folder_on_files(Path(root), machines()) as folder:
        path = folder.drop("a.csv", "", age_seconds=60)
        with path.open("w") as file:
            file.write("Id,Name,Amount\n")
            file.writelines(_ROW.format(number=number, name=_NAME) for number in range(_rows(int(megabytes))))
            file.write("last,bad,12.345\n")
        written = time.time() - 60
        os.utime(path, (written, written))
        (taken,) = folder.take()
        assert folder.bronze_objects() == []
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sys.stdout.write(f"{peak} {taken.first_fault}\n")


@pytest.mark.slow
def test_a_large_file_with_one_bad_line_is_refused_in_the_memory_of_a_small_one(tmp_path: Path) -> None:
    small, _ = _check(tmp_path / "small", 20)
    large, fault = _check(tmp_path / "large", 200)
    assert fault == f"row {_rows(200) + 1}, Amount: expected decimal(12,2), saw a number"
    assert large < small + 150_000_000, f"{small:,} bytes for 20 MB, {large:,} for 200 MB"


if __name__ == "__main__":
    main(*sys.argv[1:])
