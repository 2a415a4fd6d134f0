"""`python reaper.py <process group>`: end a process group when its owner has ended.

The owner holds the other end of standard input. The kernel closes it when the owner ends, also after kill -9. This runs
as a script: it starts in 10 ms and imports nothing of the package.
"""

import os
import signal
import sys
import time

PATIENCE_SECONDS = 5.0


def end(group: int) -> None:
    """Send SIGTERM to the group, then SIGKILL to the processes that are left after five seconds."""
    try:
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.1)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.stdin.read()
    end(int(sys.argv[1]))
