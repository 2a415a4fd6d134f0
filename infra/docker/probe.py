"""The health checks of the containers: `python probe.py code <port>` or `python probe.py daemon`. Ends with 0 or 1.

Dagster's own commands for it import all of Dagster, 1 to 2 s of a fast processor each time; this takes a tenth of that.
Belongs here: asking. Does not belong here: how often, and what happens then (the task definitions).
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Final

TIMEOUT_SECONDS: Final = 5
LONGEST_SILENCE: Final = timedelta(minutes=5)
"""Each loop of the daemon reports every half a minute."""


def code_fault(address: str) -> str | None:
    """Return what is wrong with the code server at host:port, by the health protocol of gRPC; None if it serves."""
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    with grpc.insecure_channel(address) as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as failed:
            return f"the code server does not answer: {failed.code().name}"
    if answer.status != HealthCheckResponse.SERVING:
        return f"the code server answers {HealthCheckResponse.ServingStatus.Name(answer.status)}"
    return None


def daemon_fault(connection: Any, now: datetime) -> str | None:
    """Return what is wrong with the daemon whose loops have reported last to Dagster's database; None if nothing is.

    `connection` is a DB-API connection. What an earlier daemon reported does not count: some of its loops may not exist
    any more.
    """
    cursor = connection.cursor()
    cursor.execute("SELECT daemon_id, daemon_type, timestamp FROM daemon_heartbeats ORDER BY timestamp")
    beats = [(daemon, loop, datetime.fromisoformat(str(at)).replace(tzinfo=UTC)) for daemon, loop, at in cursor]
    if not beats:
        return "no daemon has reported yet"
    silent = [loop for daemon, loop, at in beats if daemon == beats[-1][0] and now - at > LONGEST_SILENCE]
    return f"silent for more than {LONGEST_SILENCE}: {', '.join(sorted(silent))}" if silent else None


def _database() -> Any:
    import psycopg2

    return psycopg2.connect(
        host=os.environ["DAGSTER_DB_HOST"],
        user=os.environ["DAGSTER_DB_USER"],
        password=os.environ["DAGSTER_DB_PASSWORD"],
        dbname="dagster",
        sslmode="verify-full",  # the authorities are in PGSSLROOTCERT
        connect_timeout=TIMEOUT_SECONDS,
    )


def main(asked: str, *port: str) -> int:
    """Ask, say what is wrong, and return the exit code."""
    if asked == "code":
        fault = code_fault(f"localhost:{port[0]}")
    else:
        connection = _database()
        try:
            fault = daemon_fault(connection, datetime.now(UTC))
        finally:
            connection.close()
    if fault:
        sys.stderr.write(f"{fault}\n")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
