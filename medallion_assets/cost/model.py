"""Compute the bill of a month, line by line, for this system and for three others.

Every number that is neither a price nor measured is in ASSUMPTIONS, which is shown with the result. Belongs here: the
arithmetic. Does not belong here: reading the numbers (data), printing (cli).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, Literal

from medallion_assets.cost.data import Measured, Prices
from medallion_assets.scheduling.pace import ASK_AGAIN, GATHERED, LONGEST
from medallion_assets.settings import Freshness

HOURS: Final = Decimal(730)
DAYS: Final = HOURS / 24
GB: Final = Decimal(10**9)

SMALLEST_MOVED: Final = 128 * 1024
"""Bytes. The Lake stack's lifecycle rules do not move smaller objects to a colder class.

The colder classes bill a smaller object as if it were of this size:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html
"""

TABLES_PER_ANSWER: Final = 100
"""How many tables Glue names in one answer, to a look of the sensor."""


@dataclass(frozen=True)
class Assumption:
    """A number that nobody measured."""

    value: Decimal
    meaning: str


def _assumed(value: str, meaning: str) -> Assumption:
    return Assumption(Decimal(value), meaning)


ASSUMPTIONS: Final = {
    "age_months": _assumed("12", "months that the system has run: storage has grown for so long"),
    "inserted_share": _assumed("0.3", "share of the changes that create an item; the others change or delete one"),
    "window_seconds": _assumed("1", "batching window of the event source mapping"),
    "shards": _assumed("1", "shards per table; a table of more than 1,000 writes a second has several"),
    "lambda_gb": _assumed("0.25", "memory of the capture function"),
    "ingest_gb": _assumed("1", "memory of the function of the ingest API"),
    "ingest_ms": _assumed("40", "time of a request to the ingest API: check, one write, the kept answer"),
    "lambda_ms": _assumed("40", "time of an invocation without its changes: start, read, one PUT to S3"),
    "standard_days": _assumed(
        "90",
        "days that Bronze objects of 128 KB or more stay in S3 Standard; then as long in Standard-IA, then Glacier",
    ),
    "run_seconds": _assumed("60", "time that a run's task lives; ECS takes most of it to start"),
    "marts": _assumed("3", "marts; every run refreshes each of them"),
    "mart_scanned_share": _assumed(
        "0.2", "share of Silver's bytes that Athena scans for a refresh of a mart: its columns, tables and days"
    ),
    "receives": _assumed("11", "requests a minute with which the sensor asks the queue of arrivals, if there is one"),
    "observe_busy": _assumed("60", "runs of the job `observe` an hour while there are other runs"),
    "observe_idle": _assumed("12", "runs of the job `observe` an hour while there are none"),
    "service_vcpu": _assumed("1.5", "vCPU of webserver, daemon and code server together, all month"),
    "service_gb": _assumed("5", "GB of memory of those three"),
    "run_vcpu": _assumed(
        "1", "vCPU of a run's task; one for the job `observe` and one for the run of the sensor, while they go on"
    ),
    "run_gb": _assumed("4", "GB of memory of a run's task"),
    "rds_gb": _assumed("20", "GB of run storage"),
    "secrets": _assumed("1", "secrets: the password of the database"),
    "alarms": _assumed("20", "alarms: 5 of the function, 2 of its releases, 2 per table, 7 of Dagster"),
    "metrics": _assumed("65", "metrics of Container Insights: 8 per cluster, 11 per service, 6 per kind of task"),
    "logs_gb": _assumed("2", "GB of logs a month"),
    "read_capacity": _assumed("100", "read units a second that the nightly reconciliation uses per table, at most"),
    "read_bytes": _assumed("4096", "bytes that one unit of a consistent read returns"),
    "viewed_hours": _assumed("8", "hours a day that each dashboard is open"),
    "refresh_seconds": _assumed("60", "time between two refreshes of an open dashboard"),
    "panels": _assumed("16", "queries per dashboard: panels and annotations"),
    "scan_mb": _assumed("10", "MB that a query is billed for: the minimum of Athena; a panel reads less"),
    "rules": _assumed("6", "alert rules, each with one query every 5 minutes"),
    "editors": _assumed("1", "editors in Managed Grafana"),
    "zero_etl_minutes": _assumed("15", "time between two refreshes of zero-ETL, its minimum"),
    "zero_etl_dpu_minutes": _assumed("2", "DPU-minutes per refresh of a table"),
    "job_dpu": _assumed("10", "DPUs of a daily Glue job"),
    "job_minutes": _assumed("10", "minutes that the job takes per table"),
    "spark_dpu": _assumed("2", "DPUs of a streaming job, the minimum; one job per table, all month"),
}


AT_BEST: Final[Mapping[Freshness, str]] = {
    "seconds": "within a minute or two",
    "minutes": "within two or three minutes",
    "hourly": "within an hour",
}


@dataclass(frozen=True)
class Load:
    """The load: changes a day over all tables, bytes per item, number of tables and of open dashboards.

    `freshness` and `engine` are the settings MEDALLION_FRESHNESS and MEDALLION_ENGINE. With `notified`, S3 notifies a
    queue of new objects (MEDALLION_ARRIVALS_QUEUE). `ingested_per_day` are requests to the ingest API.
    """

    changes_per_day: int
    item_bytes: int
    tables: int
    dashboards: int
    freshness: Freshness = "seconds"
    engine: Literal["duckdb", "athena"] = "duckdb"
    notified: bool = False
    ingested_per_day: int = 0


@dataclass(frozen=True)
class Line:
    """One line of a bill: an amount in the unit of a price, what it costs a month, and why it is that much."""

    item: str
    price: str
    amount: Decimal
    unit: str
    usd: Decimal
    why: str

    @property
    def moved_by(self) -> str:
        """What makes it more or less; empty where only the price does."""
        return MOVED_BY.get(self.item, "")


MOVED_BY: Final = {
    "Bronze objects": "the batching window: a longer one makes fewer, larger objects",
    "Bronze": "how long the system has run; an expiry of old objects",
    "commits, files written": "the time between runs (--freshness), tables and marts",
    "commits, files read": "the time between runs (--freshness), tables and marts",
    "listings of Bronze": "tables, and the time between looks (--freshness)",
    "marts in Athena": "the time between runs (--freshness), marts, and the days and columns that they read",
    "notifications of S3": "changes: one message for each Bronze object",
    "catalog": "the time between runs (--freshness), tables and marts",
    "Dagster, vCPU": "the time between runs (--freshness), and the sizes of the services",
    "Dagster, memory": "the time between runs (--freshness), and the sizes of the services",
    "NAT gateway": "a network of your own that has one already",
    "nightly reconciliation": "items, and how often they are compared",
    "Athena": "dashboards, the hours that they are open and how often they refresh",
    "metrics": "Container Insights, which can be switched off",
    "point-in-time recovery": "items; it is there already where the tables have it",
}
"""By the item of a line of this system's bill."""


@dataclass(frozen=True)
class Bill:
    """A month of one design: its lines, how old its numbers are at best, and what the bill does not include."""

    name: str
    freshness: str
    lines: Sequence[Line]
    excluded: str

    @property
    def usd(self) -> Decimal:
        """The sum of all lines."""
        return sum((line.usd for line in self.lines), Decimal(0))

    def largest(self, number: int) -> list[Line]:
        """Return the lines that cost most, the largest first."""
        return sorted(self.lines, key=lambda line: line.usd, reverse=True)[:number]


def bills(load: Load, prices: Prices, measured: Measured) -> list[Bill]:
    """Return the bill of this system, then those of the others. Raises SettingsError for a price that is missing."""
    month = _Month(load, prices, measured)
    return [month.ours(), month.zero_etl(), month.daily_jobs(), month.streaming_spark()]


class _Month:
    """The bills of one load. `_changes` is the number of changes in the month."""

    def __init__(self, load: Load, prices: Prices, measured: Measured) -> None:
        self._load = load
        self._prices = prices
        self._measured = measured
        self._changes = Decimal(load.changes_per_day) * DAYS

    def ours(self) -> Bill:
        capture = self._capture()
        return Bill(
            "This system",
            AT_BEST[self._load.freshness],
            [
                *capture,
                *self._ingest(),
                *self._storage(),
                *self._runs(),
                *self._marts_in_athena(),
                *self._orchestrator(),
                *self._point_in_time("a backfill's export needs it"),
                self._reconciliation(),
                *self._reading(with_alerts=True),
            ],
            "the application's own use of its tables; traffic through NAT gateway and load balancer",
        )

    def zero_etl(self) -> Bill:
        refreshes = HOURS * 60 / _of("zero_etl_minutes") * self._load.tables
        return Bill(
            "Managed zero-ETL",
            "15 minutes",
            [
                *self._point_in_time("exports need it"),
                self._line("dynamodb_export", "incremental exports", self._changed_gb(), "every change's new image"),
                self._line(
                    "glue_dpu_hours",
                    "writing the target",
                    refreshes * _of("zero_etl_dpu_minutes") / 60,
                    "a refresh of each table every 15 minutes",
                ),
                self._line("s3_standard", "tables", self._silver_gb(), "one row per item"),
                *self._reading(with_alerts=False),
            ],
            "marts, audits, orchestration, alerts; numbers arrive as doubles",
        )

    def daily_jobs(self) -> Bill:
        return Bill(
            "Glue jobs, daily",
            "a day",
            [
                *self._point_in_time("exports need it"),
                self._line("dynamodb_export", "full exports", self._table_gb() * DAYS, "each whole table, every day"),
                self._line(
                    "glue_dpu_hours",
                    "jobs",
                    DAYS * self._load.tables * _of("job_dpu") * _of("job_minutes") / 60,
                    "one job per table and day",
                ),
                self._line("s3_standard", "tables", self._silver_gb(), "one row per item"),
                *self._reading(with_alerts=False),
            ],
            "changes between two days, audits, orchestration, alerts",
        )

    def streaming_spark(self) -> Bill:
        return Bill(
            "Always-on Spark",
            "a minute or so",
            [
                self._line("dynamodb_to_kinesis", "changes to Kinesis", self._changes, "every change"),
                self._line("kinesis_stream_hours", "streams", HOURS * self._load.tables, "one stream per table"),
                self._line("kinesis_gb", "changes in Kinesis", self._changed_gb() * 2, "both images of every change"),
                self._line(
                    "glue_dpu_hours",
                    "streaming jobs",
                    HOURS * self._load.tables * _of("spark_dpu"),
                    "one Glue streaming job per table, always on",
                ),
                self._line("s3_standard", "tables", self._silver_gb(), "one row per item"),
                *self._reading(with_alerts=False),
            ],
            "marts, audits, orchestration, alerts, the code of the merge",
        )

    def _capture(self) -> list[Line]:
        invocations = self._invocations()
        ms = invocations * _of("lambda_ms") + self._changes * self._measured.capture_ms
        return [
            self._line(
                "dynamodb_streams_by_lambda",
                "streams",
                invocations,
                "one read per invocation; Lambda's polling is free",
            ),
            self._line("lambda_requests", "capture, invocations", invocations, "the changes of a second are one batch"),
            self._line(
                "lambda_gb_seconds",
                "capture, time",
                ms / 1000 * _of("lambda_gb"),
                "measured time per change, and a PUT",
            ),
            self._line("s3_put", "Bronze objects", invocations, "one object per invocation"),
        ]

    def _ingest(self) -> list[Line]:
        """Return the lines of the ingest API, if there is one: each request has a key, so its answer is kept."""
        if not self._load.ingested_per_day:
            return []
        requests = Decimal(self._load.ingested_per_day) * DAYS
        seconds = requests * _of("ingest_ms") / 1000 * _of("ingest_gb")
        return [
            self._line("api_requests", "ingest API, requests", requests, "the HTTP API"),
            self._line("lambda_requests", "ingest API, invocations", requests, "one for each request"),
            self._line("lambda_gb_seconds", "ingest API, time", seconds, "check and write"),
            self._line(
                "dynamodb_writes", "ingest API, kept answers", requests * 2, "of requests with an Idempotency-Key"
            ),
        ]

    def _invocations(self) -> Decimal:
        """Return the invocations in the month. The first change opens a window; one batch has up to 1,000 changes."""
        streams = self._load.tables * _of("shards")
        per_second = Decimal(self._load.changes_per_day) / streams / 86_400
        return self._changes / min(1 + per_second * _of("window_seconds"), Decimal(1000))

    def _storage(self) -> list[Line]:
        return [
            *self._bronze(),
            *self._copies(),
            self._line("s3_standard", "Silver and Gold", self._silver_gb(), "measured bytes per row"),
        ]

    def _bronze(self) -> list[Line]:
        """Return the lines of Bronze storage. All objects have the mean size: all move to colder classes, or none."""
        objects = self._invocations()
        scaled = Decimal(self._load.item_bytes) / self._measured.item_bytes
        each = (
            self._measured.bronze_object_bytes + self._changes / objects * self._measured.bronze_change_bytes * scaled
        )
        month = objects * each / GB
        if each < SMALLEST_MOVED:
            why = f"measured bytes per change; objects of {each / 1000:.1f} KB are too small to move"
            return [self._line("s3_standard", "Bronze", month * _of("age_months"), why)]
        return [
            *self._aging("Bronze", month, "measured bytes per change"),
            self._line("s3_to_infrequent", "Bronze, moved at 90 days", objects, "each object once"),
            self._line("s3_to_glacier_instant", "Bronze, moved at 180 days", objects, "each object once"),
        ]

    def _copies(self) -> list[Line]:
        """Return the lines of the compacted copies of Bronze, which are few and large."""
        scaled = Decimal(self._load.item_bytes) / self._measured.item_bytes
        month = self._changes * self._measured.bronze_change_bytes * scaled / GB
        return [
            *self._aging("compacted copies", month, "at most the measured bytes per change"),
            self._line("s3_get", "compacted copies, objects read", self._invocations(), "each object once"),
        ]

    def _aging(self, item: str, month: Decimal, why: str) -> list[Line]:
        """Return the lines of what moves to colder classes with its age; `month` are the GB of a month."""
        months, standard = _of("age_months"), _of("standard_days") / DAYS
        young = min(months, standard)
        middle = min(max(months - standard, Decimal(0)), standard)
        return [
            self._line("s3_standard", f"{item}, the last 90 days", month * young, why),
            self._line("s3_infrequent", f"{item}, 90 to 180 days", month * middle, "the same"),
            self._line("s3_glacier_instant", f"{item}, older", month * (months - young - middle), "the same"),
        ]

    def _runs(self) -> list[Line]:
        """Return the lines of runs and observers: their measured requests, in proportion to tables and marts."""
        runs, observers = self._run_count(), self._observer_count()
        run, observe = self._measured.run, self._measured.observe
        assets = (self._load.tables + _of("marts")) / 6
        tables = Decimal(self._load.tables) / 3

        def requests(of_a_run: int, of_observers: int) -> Decimal:
            return (runs * of_a_run + observers * of_observers) * assets

        looks = questions = runs
        if self._load.freshness not in GATHERED:
            questions += self._idle_hours() * Decimal(timedelta(hours=1) / ASK_AGAIN)
            between = ASK_AGAIN if self._load.notified else LONGEST
            looks += self._idle_hours() * Decimal(timedelta(hours=1) / between)
        listings = (runs * run.list + observers * observe.list) * tables + looks * self._load.tables
        return [
            self._line(
                "s3_put",
                "commits, files written",
                requests(run.put, observe.put),
                "measured requests of runs and observers",
            ),
            self._line(
                "s3_get",
                "commits, files read",
                requests(run.read, observe.read),
                "measured requests of runs and observers",
            ),
            self._line("s3_get", "Bronze objects, read", self._invocations() * 2, "once by a run, once by the ledger"),
            self._line("s3_put", "listings of Bronze", listings, "by looks of the sensor, runs and observers"),
            self._line(
                "glue_requests",
                "catalog",
                requests(run.catalog, observe.catalog) + questions * math.ceil(self._load.tables / TABLES_PER_ANSWER),
                "measured requests of runs and observers, and the sensor's questions",
            ),
            *self._notifications(),
        ]

    def _notifications(self) -> list[Line]:
        """Return the line of the queue of arrivals: a message for each object, and the sensor's questions."""
        if not self._load.notified or self._load.freshness in GATHERED:
            return []
        asked = self._idle_hours() * 60 * _of("receives")
        why = "one message for each Bronze object, and what the sensor asks while nothing runs"
        return [self._line("sqs_requests", "notifications of S3", self._invocations() + asked, why)]

    def _marts_in_athena(self) -> list[Line]:
        """Return the line of what Athena scans for marts, if it computes them: one query for each refresh."""
        if self._load.engine != "athena":
            return []
        each = max(self._silver_gb() / 1000 * _of("mart_scanned_share"), _of("scan_mb") / 1_000_000)
        why = f"one query for each refresh of a mart, which scans {each * 1000:,.2f} GB"
        return [self._line("athena_scanned", "marts in Athena", self._run_count() * _of("marts") * each, why)]

    def _run_count(self) -> Decimal:
        """Return the runs in the month: one after the other while there are changes, at most one per change."""
        gathered = GATHERED.get(self._load.freshness, timedelta(0))
        between = _of("run_seconds") + Decimal(gathered / timedelta(seconds=1))
        return min(HOURS * 3600 / between, self._changes)

    def _observer_count(self) -> Decimal:
        """Return the runs of `observe`: many in minutes with another run, few in the others."""
        busy = min(Decimal(1), self._run_count() * 2 / (HOURS * 60))
        return HOURS * (_of("observe_idle") + (_of("observe_busy") - _of("observe_idle")) * busy)

    def _idle_hours(self) -> Decimal:
        """Return the hours of the month without a run of the sensor."""
        return max(HOURS - self._run_count() * _of("run_seconds") / 3600, Decimal(0))

    def _orchestrator(self) -> list[Line]:
        seconds = (self._run_count() + self._observer_count()) * _of("run_seconds")
        tasks = min(Decimal(2), seconds / (HOURS * 3600))
        vcpu, memory = _of("service_vcpu") + tasks * _of("run_vcpu"), _of("service_gb") + tasks * _of("run_gb")
        return [
            self._line("fargate_vcpu_hours", "Dagster, vCPU", vcpu * HOURS, "three services, and the tasks of runs"),
            self._line("fargate_gb_hours", "Dagster, memory", memory * HOURS, "three services, and the tasks of runs"),
            self._line("rds_hours", "run storage", HOURS, "PostgreSQL, one zone"),
            self._line("rds_storage", "run storage, disk", _of("rds_gb"), ""),
            self._line("load_balancer_hours", "load balancer", HOURS, "HTTPS and sign-in for Dagster's pages"),
            self._line(
                "nat_hours", "NAT gateway", HOURS, "the VPC's traffic to the internet; traffic to S3 does not use it"
            ),
            self._line("public_address_hours", "public address", HOURS, "of the NAT gateway"),
            self._line("secrets", "secrets", _of("secrets"), ""),
            self._line("alarms", "alarms", _of("alarms"), "of capture and Dagster"),
            self._line("metrics", "metrics", _of("metrics"), "Container Insights"),
            self._line("logs", "logs", _of("logs_gb"), ""),
        ]

    def _reading(self, *, with_alerts: bool) -> list[Line]:
        refreshes = DAYS * _of("viewed_hours") * 3600 / _of("refresh_seconds") * self._load.dashboards
        queries = refreshes * _of("panels")
        if with_alerts:
            queries += HOURS * 12 * _of("rules")
        lines = [self._line("athena_scanned", "Athena", queries * _of("scan_mb") / 10**6, "queries of 10 MB each")]
        if self._load.dashboards:
            lines.append(self._line("grafana_editors", "Managed Grafana", _of("editors"), ""))
        return lines

    def _point_in_time(self, why: str) -> list[Line]:
        return [self._line("dynamodb_pitr", "point-in-time recovery", self._table_gb(), why)]

    def _reconciliation(self) -> Line:
        """Return the line of the nightly scans. A scan uses at most what the limit of read capacity allows in a day."""
        needed = self._table_gb() * GB / _of("read_bytes")
        allowed = _of("read_capacity") * 86_400 * self._load.tables
        return self._line("dynamodb_reads", "nightly reconciliation", DAYS * min(needed, allowed), "scan of each table")

    def _items(self) -> Decimal:
        return self._changes * _of("inserted_share") * _of("age_months")

    def _table_gb(self) -> Decimal:
        return self._items() * self._load.item_bytes / GB

    def _changed_gb(self) -> Decimal:
        return self._changes * self._load.item_bytes / GB

    def _silver_gb(self) -> Decimal:
        scaled = Decimal(self._load.item_bytes) / self._measured.item_bytes
        return self._items() * self._measured.silver_row_bytes * scaled / GB

    def _line(self, price: str, item: str, amount: Decimal, why: str) -> Line:
        return Line(item, price, amount, self._prices.unit(price), self._prices.usd(price, amount), why)


def _of(name: str) -> Decimal:
    return ASSUMPTIONS[name].value
