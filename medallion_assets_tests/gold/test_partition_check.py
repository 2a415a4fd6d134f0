"""A partitioned mart whose days are not independent is refused when it is loaded."""

from __future__ import annotations

import pytest

from medallion_assets.engines.query import read_query
from medallion_assets.errors import MartError
from medallion_assets.gold.mart_file import Partition
from medallion_assets.gold.partition_check import require_independence
from medallion_assets_tests.gold.shop import DOMAIN

PARTITION = Partition(
    column="day",
    table="orders",
    day_of="order_date",
    joins={"customers": "customer_id", "products": "product_ids"},
)
KEYS = {name: contract.key_names for name, contract in DOMAIN.by_name.items()}
DAY = "CAST(order_date AS DATE)"


def check(sql: str, *, required: bool = True) -> None:
    tables = {name: DOMAIN.silver_columns(contract) for name, contract in DOMAIN.by_name.items()}
    query = read_query(sql, tables, where="query.sql", keys=KEYS)
    keys = {name: KEYS[name] for name in query.tables}
    require_independence(query, PARTITION, keys, where="query.sql", required=required)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {DAY} AS day, COUNT(*) AS n FROM silver.orders GROUP BY {DAY}",
        "SELECT DATE(order_date) AS day, COUNT(*) AS n FROM silver.orders GROUP BY 1",
        f"WITH o AS (SELECT {DAY} AS d, status FROM silver.orders) SELECT d AS day, COUNT(*) AS n FROM o GROUP BY d",
        f"SELECT {DAY} AS day, order_id FROM silver.orders",
        f"SELECT {DAY} AS day, order_id, rank() OVER (PARTITION BY {DAY} ORDER BY total_amount) AS "
        "r FROM silver.orders",
        f"SELECT {DAY} AS day, SUM(SUM(total_amount)) OVER (PARTITION BY {DAY}) AS s FROM "
        f"silver.orders GROUP BY {DAY}, status",
        f"""WITH o AS (SELECT {DAY} AS d, order_id, customer_id FROM silver.orders)
            SELECT d AS day, order_id, row_number() OVER (PARTITION BY customer_id, d ORDER BY order_id) AS n FROM o""",
        f"""SELECT {DAY} AS day, c.region AS r, SUM(o.total_amount) AS s FROM silver.orders AS o
            LEFT JOIN silver.customers AS c ON c.customer_id = o.customer_id AND c.region <> 'x'
            GROUP BY {DAY}, c.region""",
        """WITH pieces AS (SELECT CAST(o.order_date AS DATE) AS d, u.p AS p FROM silver.orders AS o
            CROSS JOIN UNNEST(o.product_ids) AS u (p))
            SELECT pieces.d AS day, x.category AS c, COUNT(*) AS n FROM pieces
            JOIN silver.products AS x ON pieces.p = x.product_id GROUP BY pieces.d, x.category""",
    ],
)
def test_days_that_are_independent_pass(sql: str) -> None:
    check(sql)


DAYS = f"SELECT {DAY} AS day, COUNT(*) AS n FROM silver.orders WHERE {{}} GROUP BY {DAY}"


@pytest.mark.parametrize(
    ("sql", "excluded"),
    [
        (DAYS.format("TRUE"), False),
        (DAYS.format("status IS NOT NULL"), False),
        (DAYS.format("order_date IS NULL"), False),
        (DAYS.format("order_date > current_date OR status = 'x'"), False),
        (DAYS.format("COALESCE(order_date, order_date) > current_date"), False),
        (DAYS.format("NOT (order_date > current_date AND status = 'x')"), False),
        (DAYS.format("order_date IS NOT NULL"), True),
        (DAYS.format(f"{DAY} IS NOT NULL AND status = 'x'"), True),
        (DAYS.format("order_date >= DATE '2026-01-01'"), True),
        (DAYS.format("DATE '2026-01-01' <= order_date"), True),
        (DAYS.format(f"{DAY} BETWEEN DATE '2026-01-01' AND DATE '2026-02-01'"), True),
        (DAYS.format(f"{DAY} NOT IN (DATE '2026-01-01')"), True),
        (DAYS.format("(order_date > current_date OR order_date < DATE '2020-01-01')"), True),
        (f"SELECT {DAY} AS day FROM silver.orders GROUP BY {DAY} HAVING orders.order_date IS NOT NULL", True),
        (f"WITH o AS (SELECT {DAY} AS d FROM silver.orders) SELECT d AS day FROM o WHERE d IS NOT NULL", True),
        (f"WITH o AS (SELECT {DAY} AS d FROM silver.orders WHERE order_date IS NOT NULL) SELECT d AS day FROM o", True),
        (f"WITH o AS (SELECT {DAY} AS d FROM silver.orders WHERE order_date IS NOT NULL) "
         "SELECT o.d AS day FROM (SELECT 1 AS one) AS x LEFT JOIN o ON x.one = 1", False),
    ],
)  # fmt: skip
def test_a_day_that_may_be_null_is_refused_unless_the_sql_excludes_it(sql: str, excluded: bool) -> None:
    check(sql, required=True)
    if excluded:
        check(sql, required=False)
        return
    with pytest.raises(MartError, match=r"order_date of orders may be null.*required: true.*IS NOT NULL"):
        check(sql, required=False)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (f"SELECT {DAY} AS day, SUM(COUNT(*)) OVER () AS n FROM silver.orders GROUP BY {DAY}", "a window may look at"),
        (
            f"SELECT {DAY} AS day, rank() OVER (PARTITION BY status ORDER BY total_amount) AS n FROM silver.orders",
            "expected PARTITION BY the day",
        ),
        (f"SELECT {DAY} AS day, order_id FROM silver.orders ORDER BY order_id LIMIT 1", "LIMIT: which rows are left"),
        (f"SELECT {DAY} AS day FROM silver.orders UNION ALL SELECT DATE '2026-01-01'", "UNION: which rows are left"),
        (f"SELECT {DAY} AS day FROM silver.orders EXCEPT SELECT DATE '2026-01-01'", "EXCEPT: which rows are left"),
        (f"SELECT {DAY} AS day, COUNT(*) AS n FROM silver.orders GROUP BY ROLLUP ({DAY})", "expected it in GROUP BY"),
        (
            "SELECT CAST(order_date AT TIME ZONE 'Europe/Berlin' AS DATE) AS day, COUNT(*) AS n FROM "
            "silver.orders GROUP BY 1",
            "expected CAST(order_date AS DATE) of orders",
        ),
        (
            "SELECT CAST(a.order_date AS DATE) AS day, b.order_id FROM silver.orders a JOIN silver.orders b "
            "ON a.customer_id = b.customer_id",
            "orders stands 2 times in FROM",
        ),
        (
            f"WITH o AS (SELECT {DAY} AS d, order_id AS i FROM silver.orders) "
            "SELECT a.d AS day, b.i FROM o a JOIN o b ON a.i = b.i",
            "o stands 2 times in FROM",
        ),
        ("SELECT MAX(CAST(order_date AS DATE)) AS day, COUNT(*) AS n FROM silver.orders", "day is MAX("),
        ("SELECT current_date AS day, COUNT(*) AS n FROM silver.orders", "expected CAST(order_date AS DATE) of orders"),
        (
            "SELECT CAST(order_date AS DATE) - INTERVAL '1' DAY AS day, COUNT(*) AS n FROM silver.orders GROUP BY 1",
            "expected CAST(order_date AS DATE) of orders",
        ),
        ("SELECT date_trunc('month', CAST(order_date AS DATE)) AS day FROM silver.orders", "expected CAST("),
        (
            "SELECT CAST(o.order_date AS DATE) AS day, c.region FROM silver.orders o CROSS JOIN silver.customers c",
            "customers is not joined as the spec says",
        ),
        (
            "SELECT CAST(o.order_date AS DATE) AS day, c.region FROM silver.orders o "
            "JOIN silver.customers c ON c.name = o.customer_name",
            "customers is not joined as the spec says",
        ),
        (
            "SELECT CAST(o.order_date AS DATE) AS day, c.region FROM silver.orders o "
            "RIGHT JOIN silver.customers c ON c.customer_id = o.customer_id",
            "customers is not joined as the spec says",
        ),
        (
            "SELECT CAST(o.order_date AS DATE) AS day, (SELECT COUNT(*) FROM silver.customers) AS n "
            "FROM silver.orders o",
            "customers is not joined as the spec says",
        ),
    ],
)
def test_days_that_may_depend_on_others_are_refused(sql: str, reason: str) -> None:
    with pytest.raises(MartError) as refused:
        check(sql)
    assert reason in str(refused.value)
    assert str(refused.value).startswith("query.sql: ")


BERLIN = PARTITION.model_copy(update={"time_zone": "Europe/Berlin"})


@pytest.mark.parametrize(
    ("sql", "admitted"),
    [
        ("SELECT CAST(order_date AT TIME ZONE 'Europe/Berlin' AS DATE) AS day, order_id FROM silver.orders", True),
        ("SELECT date(order_date AT TIME ZONE 'Europe/Berlin') AS day, order_id FROM silver.orders", True),
        (
            "WITH o AS (SELECT order_date AT TIME ZONE 'Europe/Berlin' AS at, order_id FROM silver.orders) "
            "SELECT CAST(at AS DATE) AS day, COUNT(*) AS n FROM o GROUP BY CAST(at AS DATE)",
            True,
        ),
        ("SELECT CAST(order_date AS DATE) AS day, order_id FROM silver.orders", False),
        ("SELECT CAST(order_date AT TIME ZONE 'Europe/Paris' AS DATE) AS day, order_id FROM silver.orders", False),
        (
            "SELECT CAST(CAST(order_date AS DATE) AS DATE) AS day, order_id FROM silver.orders "
            "WHERE CAST(order_date AT TIME ZONE 'Europe/Berlin' AS DATE) = current_date",
            False,
        ),
    ],
)
def test_a_day_is_the_one_in_the_partitions_time_zone(sql: str, admitted: bool) -> None:
    tables = {name: DOMAIN.silver_columns(contract) for name, contract in DOMAIN.by_name.items()}
    query = read_query(sql, tables, where="query.sql", keys=KEYS)
    keys = {name: KEYS[name] for name in query.tables}
    if admitted:
        require_independence(query, BERLIN, keys, where="query.sql", required=True)
        return
    with pytest.raises(MartError, match="expected CAST\\(order_date AT TIME ZONE 'Europe/Berlin' AS DATE\\)"):
        require_independence(query, BERLIN, keys, where="query.sql", required=True)


REGION = Partition(
    column="region",
    table="orders",
    key_of="customer_region",
    joins={"customers": "customer_id", "products": "product_ids"},
)


def check_key(sql: str) -> None:
    tables = {name: DOMAIN.silver_columns(contract) for name, contract in DOMAIN.by_name.items()}
    query = read_query(sql, tables, where="query.sql", keys=KEYS)
    keys = {name: KEYS[name] for name in query.tables}
    require_independence(query, REGION, keys, where="query.sql", required=False)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT customer_region AS region, COUNT(*) AS n FROM silver.orders GROUP BY 1",
        "SELECT (customer_region) AS region, order_id FROM silver.orders",
        "WITH o AS (SELECT customer_region AS r FROM silver.orders) SELECT r AS region, MIN(r) AS n FROM o GROUP BY r",
        """SELECT o.customer_region AS region, order_id, rank() OVER (PARTITION BY status, customer_region
            ORDER BY total_amount) AS n FROM silver.orders AS o""",
        """SELECT o.customer_region AS region, c.name, SUM(o.total_amount) AS s FROM silver.orders AS o
            LEFT JOIN silver.customers AS c ON c.customer_id = o.customer_id GROUP BY o.customer_region, c.name""",
        """SELECT o.customer_region AS region, v.n FROM silver.orders AS o
            RIGHT JOIN (VALUES 1, 2) AS v (n) ON o.status = 'x' WHERE o.customer_region IS NOT NULL""",
        "SELECT DISTINCT customer_region AS region, status FROM silver.orders",
    ],
)
def test_keys_that_are_independent_pass(sql: str) -> None:
    check_key(sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT COALESCE(customer_region, '?') AS region FROM silver.orders", "expected customer_region of orders"),
        ("SELECT lower(customer_region) AS region FROM silver.orders", "expected customer_region of orders"),
        ("SELECT CAST(customer_region AS varchar) AS region FROM silver.orders", "expected customer_region of orders"),
        ("SELECT CAST(customer_region AS date) AS region FROM silver.orders", "expected customer_region of orders"),
        ("SELECT MIN(customer_region) AS region FROM silver.orders", "expected customer_region of orders"),
        ("SELECT customer_name AS region FROM silver.orders", "expected customer_region of orders"),
        ("SELECT customer_region AS region, COUNT(*) AS n FROM silver.orders GROUP BY ROLLUP (1)", "is the key"),
        ("SELECT customer_region AS region, SUM(COUNT(*)) OVER () AS n FROM silver.orders GROUP BY 1", "other keys"),
        (
            "SELECT customer_region AS region, rank() OVER (PARTITION BY status ORDER BY order_id) AS n "
            "FROM silver.orders",
            "expected PARTITION BY the key",
        ),
        ("SELECT customer_region AS region FROM silver.orders UNION SELECT 'x'", "those of other keys"),
        ("SELECT customer_region AS region FROM silver.orders ORDER BY order_id LIMIT 1", "those of other keys"),
        (
            "SELECT a.customer_region AS region FROM silver.orders a JOIN silver.orders b ON a.order_id = b.order_id",
            "so that keys do not meet",
        ),
        (
            "SELECT o.customer_region AS region FROM silver.orders o JOIN silver.customers c ON c.name = o.status",
            "customers is not joined as the spec says",
        ),
        (
            "SELECT o.customer_region AS region, v.n FROM silver.orders AS o "
            "RIGHT JOIN (VALUES 1, 2) AS v (n) ON o.status = 'x'",
            "in rows that an outer join adds",
        ),
        (
            "SELECT o.customer_region AS region, v.n FROM (VALUES 1, 2) AS v (n) "
            "LEFT JOIN silver.orders AS o ON o.status = 'x'",
            "in rows that an outer join adds",
        ),
        (
            "SELECT o.customer_region AS region, v.n FROM (VALUES 1, 2) AS v (n) LEFT JOIN (silver.orders AS o "
            "JOIN silver.customers AS c ON c.customer_id = o.customer_id) ON o.status = 'x'",
            "a join in parentheses",
        ),
        (
            "SELECT o.customer_region AS region, v.n FROM silver.orders AS o "
            "FULL JOIN (VALUES 1, 2) AS v (n) ON o.status = 'x' WHERE v.n = 1",
            "in rows that an outer join adds",
        ),
    ],
)
def test_keys_that_may_depend_on_others_are_refused(sql: str, reason: str) -> None:
    with pytest.raises(MartError) as refused:
        check_key(sql)
    assert reason in str(refused.value)
