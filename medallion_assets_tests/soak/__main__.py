"""`make soak`: kills under traffic, then many writers on one table. Exit code 1 if anything was lost or wrong."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from medallion_assets_tests.soak.killing import Report, drawn, soak
from medallion_assets_tests.soak.writers import COMMITS, WRITERS, Written, race


def main() -> int:
    """Run both parts, or one; the exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--only", choices=["kills", "writers"], help="one part instead of both")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long there is traffic and killing")
    parser.add_argument("--rate", type=float, default=200.0, help="writes a second")
    parser.add_argument("--commits", type=int, default=COMMITS, help=f"of each of the {WRITERS} writers")
    parser.add_argument("--seed", type=int, default=None, help="the same seed draws the same writes and kills")
    parser.add_argument("--state", type=Path, default=None, help="folder that keeps the logs; by default a fresh one")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    _say(f"seed {seed}")
    fine = True
    if asked.only != "writers":
        state = asked.state or Path(tempfile.mkdtemp(prefix="soak-"))
        _say(f"state and logs are in {state}")
        kills = drawn(random.Random(seed))
        fine &= _told(soak(state, seconds=asked.seconds, rate=asked.rate, seed=seed, kills=kills, say=_say))
    if asked.only != "kills":
        for kind in ("files", "glue"):
            fine &= _told_writers(kind, race(kind, commits=asked.commits))
    _say("all well" if fine else "NOT WELL")
    return 0 if fine else 1


def _told(report: Report) -> bool:
    _say(
        f"{report.changes} changes, the last {report.seconds:.0f} s of them with kills (-9): {_counts(report.killed)}; "
        f"{report.objects} Bronze objects"
    )
    _say(f"workers were killed in {_counts(report.killed_in)}; runs ended as {_counts(report.runs)}")
    _say(f"caught up {report.caught_up_seconds:.0f} s after the last write")
    for wrong in report.wrong:
        _say(f"WRONG: {wrong}")
    return not report.wrong


def _told_writers(kind: str, written: Written) -> bool:
    tries = written.tries
    _say(
        f"{WRITERS} writers on one table ({kind}): {len(tries)} commits in {written.seconds:.0f} s, "
        f"{len(written.failed)} failed, {written.lost} lost; planned {sum(tries) / len(tries):.1f} times on average, "
        f"{tries[int(len(tries) * 0.99)]} at the 99th percentile, {tries[-1]} at most"
    )
    for failure in written.failed[:5]:
        _say(f"WRONG: {failure}")
    return not written.failed and not written.lost


def _counts(counted: object) -> str:
    assert isinstance(counted, dict)
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "none"


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
