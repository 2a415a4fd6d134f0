"""`python reaper.py <process group>`: ends the group when standard input ends, which is when the owner is gone.

However the owner ended, by kill -9 too, the kernel closes its end of the pipe. Run as a script, so that it costs 10 ms
and imports nothing of the package.
"""

import os
import signal
import sys
import time

PATIENCE_SECONDS = 5.0


def end(group: int) -> None:
    """SIGTERM to the group, SIGKILL to what is left of it."""
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
