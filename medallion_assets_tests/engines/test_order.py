"""Whether an order is total: what is known to be a key of the rows, and what is not."""

from __future__ import annotations

import pytest

from medallion_assets.engines.query import read_query
from medallion_assets.errors import MartError
from medallion_assets_tests.engines.differential.usual_tables import USUAL_COLUMNS, USUAL_KEYS


def refusals(sql: str) -> list[str]:
    """What is refused of a SELECT over the usual tables."""
    try:
        read_query(sql, USUAL_COLUMNS, where="q", keys=USUAL_KEYS)
    except MartError as refused:
        return str(refused).splitlines()
    return []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT row_number() OVER (ORDER BY seen, device, seq) AS n FROM silver.readings",
        "SELECT row_number() OVER (PARTITION BY device ORDER BY seq) AS n FROM silver.readings",
        # joined by its whole key, a table adds no rows
        "SELECT row_number() OVER (ORDER BY o.order_id) AS n FROM silver.orders o "
        "LEFT JOIN silver.customers c ON c.customer_id = o.customer_id",
        "SELECT row_number() OVER (ORDER BY o.order_id, p.product_id) AS n FROM silver.orders o "
        "CROSS JOIN silver.products p",
        "SELECT row_number() OVER (ORDER BY c.customer_id, o.order_id) AS n FROM silver.customers c "
        "LEFT JOIN silver.orders o ON c.customer_id = o.customer_id",
        # groups, distinct rows, numbers
        "SELECT status, row_number() OVER (ORDER BY count(*), status) AS n FROM silver.orders GROUP BY status",
        "SELECT status AS s, count(*) AS n FROM silver.orders GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1",
        "SELECT DISTINCT status, customer_id FROM silver.orders ORDER BY 1, 2 LIMIT 2",
        "SELECT count(*) AS n FROM silver.orders LIMIT 1",
        "SELECT k, row_number() OVER (ORDER BY k) AS n FROM (SELECT DISTINCT status AS k FROM silver.orders) AS x",
        "SELECT n, lag(n) OVER (ORDER BY n) AS p FROM (SELECT row_number() OVER (ORDER BY "
        "order_id) AS n FROM silver.orders) AS x",
        "SELECT customer_id FROM silver.orders UNION SELECT customer_id FROM silver.customers "
        "ORDER BY customer_id LIMIT 3",
        "WITH x AS (SELECT order_id AS id, status FROM silver.orders) SELECT id FROM x ORDER BY status, id LIMIT 1",
        # the rows of UNNEST
        "SELECT row_number() OVER (ORDER BY order_id, n) AS r FROM silver.orders CROSS JOIN UNNEST(product_ids) "
        "WITH ORDINALITY AS t (p, n)",
        "SELECT row_number() OVER (ORDER BY event_id, k) AS r FROM silver.events CROSS JOIN "
        "UNNEST(attributes) AS t (k, v)",
        "SELECT d, lag(d) OVER (ORDER BY d) AS p FROM UNNEST(sequence(1, 9)) AS t (d)",
        # peers do not matter
        "SELECT rank() OVER (ORDER BY status) AS r, sum(total_amount) OVER (ORDER BY status) AS s FROM silver.orders",
        "SELECT sum(total_amount) OVER (ORDER BY status ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS s "
        "FROM silver.orders",
        "SELECT array_agg(status ORDER BY status) AS s, max_by(order_date, order_date) AS d FROM silver.orders",
    ],
)
def test_a_total_order_is_found(sql: str) -> None:
    assert refusals(sql) == []


@pytest.mark.parametrize(
    ("sql", "way_out"),
    [
        (
            "SELECT row_number() OVER (PARTITION BY device ORDER BY seen) AS n FROM silver.readings",
            'add "readings"."seq"',
        ),
        ("SELECT row_number() OVER () AS n FROM silver.orders", 'add "orders"."order_id"'),
        (
            "SELECT row_number() OVER (ORDER BY o.order_id) AS n FROM silver.orders o "
            "JOIN silver.readings r ON r.device = o.status",
            'add "r"."device", "r"."seq" to ORDER BY',
        ),
        (
            "SELECT row_number() OVER (ORDER BY o.order_id) AS n FROM silver.orders o "
            "RIGHT JOIN silver.customers c ON c.customer_id = o.customer_id",
            'add "c"."customer_id"',
        ),
        (
            "SELECT row_number() OVER (ORDER BY order_id, p) AS n FROM silver.orders CROSS JOIN "
            "UNNEST(product_ids) AS t (p)",
            "GROUP BY one, or number them",
        ),
        ("SELECT sum(total_amount) OVER (ORDER BY status ROWS 1 PRECEDING) AS s FROM silver.orders", 'add "orders"'),
        ("SELECT first_value(order_id) OVER (PARTITION BY status) AS s FROM silver.orders", 'add "orders"."order_id"'),
        (
            "SELECT array_agg(order_id ORDER BY order_date) AS s FROM silver.orders GROUP BY status",
            'add "orders"."order_id"',
        ),
        (
            "SELECT listagg(order_id, ',') WITHIN GROUP (ORDER BY status) AS s FROM silver.orders",
            'add "orders"."order_id"',
        ),
        ("SELECT order_id FROM silver.orders LIMIT 1", "LIMIT: ORDER BY is not total"),
        ("SELECT order_id FROM silver.orders ORDER BY status OFFSET 1", "OFFSET: ORDER BY is not total"),
        ("SELECT status FROM silver.orders UNION ALL SELECT region FROM silver.customers ORDER BY 1 LIMIT 1", "no key"),
        ("SELECT status FROM silver.orders GROUP BY ROLLUP (status) ORDER BY 1 LIMIT 1", "no key that is known"),
        (
            "SELECT d, lag(d) OVER (ORDER BY d) AS p FROM (SELECT total_amount AS d FROM silver.orders) AS x",
            "no key that is known",
        ),
    ],
)
def test_an_order_that_is_not_total_is_refused(sql: str, way_out: str) -> None:
    (refusal,) = refusals(sql)
    assert "is not total" in refusal
    assert way_out in refusal


def test_without_keys_no_order_of_a_table_is_total() -> None:
    with pytest.raises(MartError, match="no key that is known"):
        read_query("SELECT order_id FROM silver.orders ORDER BY order_id LIMIT 1", USUAL_COLUMNS, where="q")


def test_every_refusal_of_a_select_is_told() -> None:
    found = refusals(
        "SELECT sum(score) AS a, ln(duration_ms) AS b, now() AS c, nothing(kind) AS d, kind + 1 AS e FROM silver.events"
    )
    assert len(found) == 3  # the expressions that are not allowed; the types are looked at when all of them are
    found = refusals("SELECT sum(score) AS a, kind + 1 AS b, tags[kind] AS c, substr(at, 1) AS d FROM silver.events")
    assert len(found) == 4
