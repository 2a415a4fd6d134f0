"""One DuckDB in a process: each bucket has its own access, and a connection that closes leaves the others alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import duckdb

from medallion_assets.lake import duck


def access(connection: duckdb.DuckDBPyConnection, url: str) -> dict[str, str]:
    """The options of the secret that DuckDB uses for this URL, without those that it redacts."""
    found = connection.execute(
        "SELECT secret_string FROM duckdb_secrets() WHERE name = (SELECT name FROM which_secret(?, 's3'))", [url]
    ).fetchone()
    assert found is not None
    return dict(option.split("=", 1) for option in found[0].split(";"))


def test_each_bucket_has_its_own_access() -> None:
    with duck.connect("buckets") as one, duck.connect("buckets") as two:
        duck.allow_s3(one, "orders", duck.Keys("first", "secret", None), "eu-west-1", "http://127.0.0.1:4566")
        duck.allow_s3(two, "orders-eu", duck.Keys("second", "secret", "token"), "eu-central-1", None)
        ours, theirs = access(two, "s3://orders/lake/a.parquet"), access(one, "s3://orders-eu/lake/a.parquet")
    assert (ours["key_id"], ours["region"], ours["endpoint"]) == ("first", "eu-west-1", "127.0.0.1:4566")
    assert (theirs["key_id"], theirs["region"]) == ("second", "eu-central-1")
    assert "127.0.0.1" not in theirs.get("endpoint", "")


def test_new_keys_replace_the_old_ones_also_for_open_connections() -> None:
    with duck.connect("rotation") as opened, opened.cursor() as cursor:
        for key in ("yesterday", "today"):
            duck.allow_s3(opened, "orders", duck.Keys(key, "secret", None), "eu-west-1", None)
        assert access(cursor, "s3://orders/a.parquet")["key_id"] == "today"


def test_threads_may_give_access_at_the_same_time() -> None:
    def grant(number: int) -> None:
        with duck.connect("threads") as own:
            for _ in range(50):
                duck.allow_s3(own, "orders", duck.Keys(str(number), "secret", None), "eu-west-1", None)

    with duck.connect("threads"), ThreadPoolExecutor(8) as pool:
        list(pool.map(grant, range(8)))


def test_a_connection_that_closes_leaves_the_others_and_the_last_ends_the_database() -> None:
    with duck.connect("closing") as kept:
        with duck.connect("closing") as closed:
            closed.execute("CREATE TABLE here (n INTEGER)")
        assert kept.execute("SELECT count(*) FROM here").fetchone() == (0,)
        assert kept.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)
    with duck.connect("closing") as again:
        assert again.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)


def test_a_database_that_has_written_to_its_folder_takes_further_connections() -> None:
    with duck.connect("spilling", memory_mb=64) as first:
        first.execute("CREATE TEMP TABLE wide AS SELECT repeat(hash(range)::VARCHAR, 20) AS text FROM range(400_000)")
        ((spilled,),) = first.execute("SELECT count(*) FROM duckdb_temporary_files()").fetchall()
        assert spilled
        with duck.connect("spilling", memory_mb=128) as second:
            settings = second.execute("SELECT current_setting('memory_limit'), current_setting('temp_directory')")
            limit, folder = settings.fetchall()[0]
        assert limit == "64.0 MiB", "the first connection decides"
        assert folder.endswith("-spilling")
