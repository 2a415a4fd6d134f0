"""What a stranger's query may not do: a corpus. Each is refused before it runs."""

from __future__ import annotations

import pytest

from medallion_assets_tests.serving.conftest import Served

CORPUS = [
    # other statements
    "DELETE FROM silver.orders",
    "INSERT INTO silver.orders SELECT * FROM silver.orders",
    "CREATE TABLE silver.x AS SELECT 1 AS a",
    "DROP TABLE silver.orders",
    "SELECT 1 AS a; SELECT 2 AS b",
    "SELECT 1 AS a; DROP TABLE silver.orders",
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "COPY silver.orders FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'",
    "ATTACH '/tmp/x.db'",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "RESET threads",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "SHOW TABLES",
    "DESCRIBE silver.orders",
    "EXPLAIN ANALYZE SELECT 1",
    "EXECUTE x",
    "PREPARE x AS SELECT 1",
    "CREATE SECRET x (TYPE s3)",
    "CREATE MACRO x() AS 1",
    "CHECKPOINT",
    "BEGIN",
    "VALUES (1)",
    "SUMMARIZE silver.orders",
    "PIVOT silver.orders ON status USING count(*)",
    # files and network
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "SELECT * FROM read_json('http://127.0.0.1/')",
    "SELECT * FROM parquet_scan('/tmp/x')",
    "SELECT * FROM iceberg_scan('/tmp/x')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM TABLE(read_text('/etc/passwd'))",
    "SELECT a.* FROM silver.orders AS o CROSS JOIN LATERAL read_text('/etc/passwd') AS a",
    "SELECT (SELECT content FROM read_text('/etc/passwd')) AS a",
    'SELECT * FROM "/etc/passwd"',
    'SELECT * FROM silver."../../etc/passwd"',
    "SELECT content FROM silver.orders, read_text('/etc/passwd')",
    # the engine
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_functions()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('x')",
    "SELECT * FROM which_secret('s3://x', 's3')",
    "SELECT current_setting('s3_access_key_id') AS a",
    "SELECT getenv('AWS_SECRET_ACCESS_KEY') AS a",
    "SELECT getvariable('x') AS a",
    "SELECT version() AS a",
    "SELECT current_database() AS a",
    "SELECT current_user AS a",
    "SELECT nextval('x') AS a",
    "SELECT txid_current() AS a",
    "SELECT error('x') AS a",
    "SELECT random() AS a",
    "SELECT uuid() AS a",
    "SELECT * FROM range(10)",
    "SELECT * FROM generate_series(1, 10)",
    "SELECT * FROM repeat('x', 1000)",
    "SELECT repeat('x', 1000000000) AS a",
    # other catalogs
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM system.information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM main.keys",
    "WITH a AS (SELECT count(*) AS n FROM duckdb_views), duckdb_views AS (SELECT 1 AS x) SELECT n FROM a",
    "WITH duckdb_views AS (SELECT count(*) AS n FROM duckdb_views) SELECT n FROM duckdb_views",
    "WITH a AS (WITH b AS (SELECT count(*) AS n FROM sqlite_master) SELECT n FROM b), sqlite_master AS (SELECT 1 AS x) "
    "SELECT n FROM a",
    "SELECT * FROM memory.silver.orders",
    "SELECT * FROM temp.silver.orders",
    "SELECT * FROM lake.silver.orders",
    "SELECT * FROM bronze.orders",
    # without end
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
    "SELECT lpad('x', 2000000000, 'y') AS a",
    "SELECT lpad('x', total_amount, 'y') AS a FROM silver.orders",
    "SELECT " + "(" * 200 + "1" + ")" * 200 + " AS a",
    "SELECT " + " + ".join(["1"] * 400) + " AS a",
    "SELECT " + " OR ".join(["order_id = 'x'"] * 400) + " AS a FROM silver.orders",
    "SELECT " + " + ".join(["1"] * 5000) + " AS a",
    "SELECT a.* FROM silver.orders a" + "".join(f", silver.orders a{number}" for number in range(20)),
    "WITH a AS (SELECT *, *, * FROM silver.orders), b AS (SELECT *, *, * FROM a) SELECT *, *, * FROM b",
    # texts that some readers end early
    "SELECT 'a\\' AS a, content FROM read_text('/etc/passwd') --'",
    "SELECT /* */ * FROM /* x */ read_text /* y */ ('/etc/passwd')",
    "SELECT * FROM silver.orders -- \n; DROP TABLE silver.orders",
    "SELECT U&'\\0027' AS a FROM read_text('/etc/passwd')",
    "SELECT $$a$$ AS a FROM read_text('/etc/passwd')",
    "SELECT E'a' AS a FROM read_text('/etc/passwd')",
    "\x00SELECT 1",
    "",
    " ",
    ";",
]


@pytest.mark.parametrize("sql", CORPUS, ids=range(len(CORPUS)))
def test_it_is_refused(served: Served, sql: str) -> None:
    answer = served.ask(sql)
    assert answer.status_code == 400, answer.text[:300]
    error = answer.json()["error"]
    assert error["code"] in {"wrong_query", "wrong_request"}
    assert "root:" not in error["message"]
    assert "system operations" not in error["message"], "the parser refuses it, not only the engine"


def test_behind_the_parser_the_engine_can_do_nothing_else(served: Served) -> None:
    """What would follow if the parser let something pass: DuckDB refuses by itself."""
    lake, database = served.service.lake, served.service.reader._database
    for statement in (
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('s3://other/x')",
        "SELECT * FROM read_text('http://127.0.0.1:1/')",
        "ATTACH '/tmp/medallion-x.db'",
        "COPY (SELECT 1) TO '/tmp/medallion-x.csv'",
        "INSTALL spatial",
        "SET GLOBAL enable_external_access = true",
        "SET threads = 1",
    ):
        connection = lake.cursor_of(database)
        with connection, pytest.raises(Exception, match=r"disabled by configuration|has been locked|Cannot access"):
            connection.execute(statement).fetchall()
