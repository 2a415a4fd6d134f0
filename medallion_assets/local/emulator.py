"""The local AWS: one emulator process with DynamoDB, Streams, S3, Glue and SQS on 127.0.0.1.

Belongs here: starting it, and the environment variables with which a client reaches it. Does not belong here:
installing it (`emulator_environment`), and what is created in it (`stack`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medallion_assets.local.emulator_environment import emulator_command
from medallion_assets.local.processes import Child, choose_port, port_is_open

REGION = "us-east-1"
DEMO_ACCOUNT = "000000000001"
"""The emulator takes a 12-digit access key id as an account of its own; it checks no secret."""
SECRET = "local"  # noqa: S105 - nobody checks it


@dataclass(frozen=True)
class Emulator:
    """A running local AWS."""

    port: int
    pid: int

    @property
    def endpoint(self) -> str:
        """The one endpoint of all its services."""
        return f"http://127.0.0.1:{self.port}"

    def client_env(self, account: str = DEMO_ACCOUNT) -> dict[str, str]:
        """Return the environment variables with which boto3 reaches this emulator as `account`."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def run_emulator(state: Path, *, port: int | None = None) -> Iterator[Emulator]:
    """Run an empty emulator, with its files below `state`, while inside.

    Raises LocalStackError if it cannot be installed, if the port is taken, and if it does not start.
    """
    command = emulator_command()
    port = choose_port(port)
    folders = {name: state / name.lower() for name in ("S3_DATA_DIR", "STATE_DIR", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))},
        **{name: str(folder) for name, folder in folders.items()},
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
    }
    with Child("the local AWS", [str(command)], log=state / "emulator.log", env=env) as child:
        child.wait_until(lambda: port_is_open(port), seconds=30)
        yield Emulator(port=port, pid=child.pid)
