"""A hundred SELECTs that people usually write for a mart, each either admitted or refused with a way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Usual:
    """A SELECT; `refused` is what its refusal says, which names the way out, and None for one that is admitted."""

    sql: str
    refused: str | None = None


_DAY = "CAST(order_date AS date)"
_BERLIN = "AT TIME ZONE 'Europe/Berlin'"

USUAL: Final[tuple[Usual, ...]] = (
    # counts and sums
    Usual(f"SELECT {_DAY} AS day, count(*) AS n, sum(total_amount) AS revenue FROM silver.orders GROUP BY {_DAY}"),
    Usual(
        "SELECT status, count(DISTINCT customer_id) AS customers FROM silver.orders GROUP BY 1 HAVING count(*) > 1",
    ),
    Usual(
        "SELECT customer_region, avg(total_amount) AS basket FROM silver.orders WHERE status <> 'cancelled' GROUP BY 1"
    ),
    Usual(
        "SELECT count_if(status = 'paid') AS paid, count(*) FILTER (WHERE status = 'open') AS open FROM silver.orders"
    ),
    Usual(
        "SELECT category, min(price) AS low, max(price) AS high, sum(stock_level) AS stock FROM "
        "silver.products GROUP BY category"
    ),
    Usual("SELECT CAST(avg(stock_level) AS decimal(10,2)) AS average_stock FROM silver.products"),
    Usual("SELECT avg(stock_level) AS average_stock FROM silver.products", "CAST it to a decimal"),
    Usual("SELECT user_id, sum(duration_ms) / 1000 AS seconds FROM silver.events GROUP BY user_id"),
    Usual("SELECT round(100.0 * count_if(status = 'cancelled') / count(*), 2) AS share FROM silver.orders"),
    Usual("SELECT bool_and(ok) AS all_ok, bool_or(NOT ok) AS any_bad, every(ok) AS every_ok FROM silver.readings"),
    Usual("SELECT sum(CAST(score AS decimal(18,6))) AS score FROM silver.events"),
    Usual("SELECT sum(score) AS score FROM silver.events", "CAST to a decimal"),
    Usual("SELECT stddev(value) AS spread FROM silver.readings", "sum decimals: SUM(x * x)"),
    Usual("SELECT approx_distinct(customer_id) AS customers FROM silver.orders", "count(DISTINCT ...)"),
    Usual("SELECT approx_percentile(total_amount, 0.5) AS median FROM silver.orders", "row_number()"),
    Usual("SELECT arbitrary(status) AS some_status FROM silver.orders", "min_by with a key"),
    # an exact median, which is the way out
    Usual(
        "SELECT max(total_amount) FILTER (WHERE 2 * n <= total + 1) AS median FROM (SELECT total_amount, "
        "row_number() OVER "
        "(ORDER BY total_amount, order_id) AS n, count(*) OVER () AS total FROM silver.orders) AS numbered"
    ),
    # time zones and times
    Usual(f"SELECT CAST(order_date {_BERLIN} AS date) AS day, count(*) AS n FROM silver.orders GROUP BY 1"),
    Usual("SELECT date_trunc('hour', order_date) AS hour, count(*) AS n FROM silver.orders GROUP BY 1"),
    Usual(f"SELECT date_trunc('hour', at {_BERLIN}) AS hour, count(*) AS n FROM silver.events GROUP BY 1"),
    Usual(
        f"SELECT extract(hour FROM order_date {_BERLIN}) AS hour, sum(total_amount) AS s FROM silver.orders GROUP BY 1"
    ),
    Usual(
        "SELECT hour(order_date) AS hour, minute(order_date) AS minute, second(order_date) AS second FROM silver.orders"
    ),
    Usual(f"SELECT day_of_week(order_date {_BERLIN}) AS weekday, count(*) AS n FROM silver.orders GROUP BY 1"),
    Usual(
        f"SELECT week({_DAY}) AS week, year_of_week({_DAY}) AS year, day_of_year({_DAY}) AS day FROM silver.orders",
    ),
    Usual("SELECT date_format(order_date, '%Y-%m') AS month, count(*) AS n FROM silver.orders GROUP BY 1"),
    Usual(f"SELECT date_format(order_date {_BERLIN}, '%d.%m.%Y %H:%i') AS printed FROM silver.orders"),
    Usual(
        "SELECT date_trunc('week', order_date) AS week, date_trunc('month', order_date) AS month FROM silver.orders",
    ),
    Usual("SELECT from_unixtime(epoch_ms / 1000) AS at FROM silver.events"),
    Usual("SELECT date_add('millisecond', epoch_ms % 1000, from_unixtime(epoch_ms / 1000)) AS at FROM silver.events"),
    Usual("SELECT CAST(to_unixtime(at) AS bigint) AS epoch FROM silver.events"),
    Usual("SELECT event_id, from_iso8601_timestamp(sent) AS sent FROM silver.events"),
    Usual(f"SELECT CAST(from_iso8601_timestamp(sent) {_BERLIN} AS date) AS day FROM silver.events"),
    Usual("SELECT CAST(from_iso8601_timestamp(sent) AS date) AS day FROM silver.events", "AT TIME ZONE"),
    Usual(
        "SELECT invoice_id, date_diff('day', issued, due) AS days, date_diff('month', issued, due) AS months "
        "FROM silver.invoices"
    ),
    Usual(
        "SELECT invoice_id, date_diff('hour', CAST(issued AS timestamp with time zone), paid_at) AS hours "
        "FROM silver.invoices"
    ),
    Usual(
        "SELECT invoice_id, date_add('month', 1, issued) AS next, issued + INTERVAL '14' DAY AS reminder "
        "FROM silver.invoices"
    ),
    Usual("SELECT count(*) AS late FROM silver.invoices WHERE paid_at IS NULL AND due < current_date"),
    Usual("SELECT count(*) AS n FROM silver.orders WHERE order_date >= current_date - INTERVAL '7' DAY"),
    Usual(
        "SELECT count(*) AS n FROM silver.orders WHERE order_date >= current_date - INTERVAL '1' WEEK",
        "INTERVAL '7' DAY",
    ),
    Usual("SELECT count(*) AS n FROM silver.orders WHERE order_date > now() - INTERVAL '1' DAY", "current_date"),
    Usual(
        "SELECT order_id FROM silver.orders WHERE order_date BETWEEN TIMESTAMP '2026-03-14 00:00:00 UTC' AND "
        "TIMESTAMP '2026-03-15 00:00:00 UTC'"
    ),
    Usual("SELECT last_day_of_month(issued) AS month_end, count(*) AS n FROM silver.invoices GROUP BY 1"),
    Usual(
        "SELECT order_date + INTERVAL '90' MINUTE AS later, order_date - INTERVAL '1' MONTH AS before FROM "
        "silver.orders"
    ),
    Usual("SELECT invoice_id, due - issued AS days FROM silver.invoices", "date_diff"),
    Usual("SELECT invoice_id, CAST(paid_at AS varchar) AS paid, CAST(due AS varchar) AS due FROM silver.invoices"),
    # windows
    Usual(
        "SELECT order_id, row_number() OVER (PARTITION BY customer_id ORDER BY order_date DESC, order_id) AS "
        "n FROM silver.orders"
    ),
    Usual(
        "SELECT order_id, row_number() OVER (PARTITION BY customer_id ORDER BY order_date) AS n FROM silver.orders",
        'add "orders"."order_id" to ORDER BY',
    ),
    Usual(
        "SELECT customer_id, order_id, status FROM (SELECT customer_id, order_id, status, row_number() OVER "
        "(PARTITION BY "
        "customer_id ORDER BY order_date DESC, order_id DESC) AS n FROM silver.orders) AS latest WHERE n = 1"
    ),
    Usual(
        "SELECT order_id FROM silver.orders QUALIFY row_number() OVER (ORDER BY order_id) = 1",
        "filter its rows with WHERE",
    ),
    Usual(
        "SELECT product_id, rank() OVER (ORDER BY price DESC) AS r, dense_rank() OVER (PARTITION BY category "
        "ORDER BY price) AS d FROM silver.products"
    ),
    Usual(
        "SELECT device, seq, value - lag(value) OVER (PARTITION BY device ORDER BY seq) AS change FROM silver.readings"
    ),
    Usual("SELECT device, seq, lead(seen) OVER (PARTITION BY device ORDER BY seq) AS next FROM silver.readings"),
    Usual(
        "SELECT device, seq, date_diff('minute', lag(seen) OVER (PARTITION BY device ORDER BY seq), seen) AS "
        "gap FROM silver.readings"
    ),
    Usual(
        "SELECT device, seq, avg(value) OVER (PARTITION BY device ORDER BY seq ROWS BETWEEN 2 PRECEDING AND "
        "CURRENT ROW) AS smooth FROM silver.readings"
    ),
    Usual(
        "SELECT device, seq, last_value(value) IGNORE NULLS OVER (PARTITION BY device ORDER BY seq) AS "
        "filled FROM silver.readings"
    ),
    Usual(
        "SELECT device, first_value(value) OVER (PARTITION BY device ORDER BY seq) AS first, ntile(2) OVER "
        "(ORDER BY device, seq) AS half FROM silver.readings"
    ),
    Usual(
        "WITH daily AS (SELECT CAST(order_date AS date) AS day, sum(total_amount) AS revenue FROM "
        "silver.orders GROUP BY 1) "
        "SELECT day, revenue, sum(revenue) OVER (ORDER BY day) AS so_far, revenue - lag(revenue, 1, 0) OVER "
        "(ORDER BY day) AS change FROM daily"
    ),
    Usual(
        "WITH daily AS (SELECT CAST(order_date AS date) AS day, sum(total_amount) AS revenue FROM "
        "silver.orders GROUP BY 1) "
        "SELECT day, sum(revenue) OVER (ORDER BY day RANGE BETWEEN INTERVAL '6' DAY PRECEDING AND CURRENT "
        "ROW) AS week FROM daily"
    ),
    Usual(
        "SELECT category, sum(stock_level) AS s, round(100.0 * sum(stock_level) / sum(sum(stock_level)) OVER "
        "(), 1) AS share FROM silver.products GROUP BY category"
    ),
    # sets, limits, values
    Usual(
        "SELECT order_id AS id, total_amount AS amount FROM silver.orders UNION ALL SELECT invoice_id, NULL "
        "FROM silver.invoices"
    ),
    Usual("SELECT customer_id FROM silver.orders UNION SELECT customer_id FROM silver.invoices"),
    Usual("SELECT customer_id FROM silver.customers EXCEPT SELECT customer_id FROM silver.orders"),
    Usual("SELECT customer_id FROM silver.orders INTERSECT SELECT customer_id FROM silver.customers"),
    Usual("SELECT product_id, price FROM silver.products ORDER BY price DESC, product_id LIMIT 2"),
    Usual(
        "SELECT product_id, price FROM silver.products ORDER BY price DESC LIMIT 2",
        'add "products"."product_id" to ORDER BY',
    ),
    Usual(
        "SELECT customer_id, sum(total_amount) AS s FROM silver.orders GROUP BY customer_id ORDER BY s DESC, "
        "customer_id LIMIT 3"
    ),
    Usual(
        "SELECT customer_id, count(*) AS n FROM silver.orders GROUP BY customer_id ORDER BY n DESC LIMIT 3",
        'add "orders"."customer_id"',
    ),
    Usual("SELECT product_id FROM silver.products ORDER BY product_id OFFSET 1 ROWS FETCH FIRST 2 ROWS ONLY"),
    Usual(
        "SELECT o.order_id, s.label FROM silver.orders AS o JOIN (VALUES ('paid', 'Paid', 1), ('open', "
        "'Waiting', 2.5)) AS s "
        "(status, label, weight) ON s.status = o.status"
    ),
    Usual(
        "SELECT customer_region, status, sum(total_amount) AS s, grouping(status) AS of_all FROM "
        "silver.orders GROUP BY ROLLUP (customer_region, status)"
    ),
    Usual("SELECT customer_region, status, count(*) AS n FROM silver.orders GROUP BY CUBE (customer_region, status)"),
    Usual(
        "SELECT customer_region, status, count(*) AS n FROM silver.orders GROUP BY GROUPING SETS "
        "((customer_region), (status), ())"
    ),
    Usual("SELECT DISTINCT customer_id, status FROM silver.orders"),
    # joins and subqueries
    Usual(
        "SELECT c.name, count(o.order_id) AS n FROM silver.customers AS c LEFT JOIN silver.orders AS o ON "
        "o.customer_id = c.customer_id GROUP BY c.customer_id, c.name"
    ),
    Usual(
        "SELECT c.customer_id AS c, o.order_id AS o FROM silver.customers AS c FULL JOIN silver.orders AS o "
        "ON o.customer_id = c.customer_id"
    ),
    Usual("SELECT c.region, p.category FROM silver.customers AS c CROSS JOIN silver.products AS p"),
    Usual(
        "SELECT order_id FROM silver.orders WHERE customer_id IN (SELECT customer_id FROM silver.customers "
        "WHERE region = 'north')"
    ),
    Usual(
        "SELECT customer_id FROM silver.customers AS c WHERE NOT EXISTS (SELECT 1 FROM silver.orders AS o "
        "WHERE o.customer_id = c.customer_id)"
    ),
    Usual(
        "SELECT order_id, total_amount / (SELECT sum(total_amount) FROM silver.orders) AS share FROM silver.orders",
    ),
    Usual("SELECT order_id FROM silver.orders WHERE total_amount > (SELECT avg(total_amount) FROM silver.orders)"),
    Usual("SELECT order_id, name FROM silver.orders JOIN silver.customers USING (customer_id)"),
    # lists, maps, rows
    Usual(
        "SELECT p AS product_id, count(*) AS n FROM silver.orders CROSS JOIN UNNEST(product_ids) AS t (p) GROUP BY p"
    ),
    Usual("SELECT order_id, p, n FROM silver.orders CROSS JOIN UNNEST(product_ids) WITH ORDINALITY AS t (p, n)"),
    Usual("SELECT order_id, p FROM silver.orders LEFT JOIN UNNEST(product_ids) AS t (p) ON TRUE"),
    Usual(
        "SELECT invoice_id, sku, quantity * price AS total FROM silver.invoices CROSS JOIN UNNEST(lines) AS "
        "l (sku, quantity, price)"
    ),
    Usual("SELECT event_id, key, value FROM silver.events CROSS JOIN UNNEST(attributes) AS a (key, value)"),
    Usual("SELECT event_id, element_at(attributes, 'plan') AS plan, element_at(tags, 1) AS tag FROM silver.events"),
    Usual("SELECT event_id, tags[1] AS tag FROM silver.events WHERE cardinality(tags) > 0"),
    Usual(
        "SELECT event_id, attributes['plan'] AS plan FROM silver.events WHERE element_at(attributes, 'plan') "
        "IS NOT NULL"
    ),
    Usual("SELECT count(*) AS n FROM silver.events WHERE contains(tags, 'web')"),
    Usual("SELECT billing.city AS city, count(*) AS n FROM silver.invoices GROUP BY billing.city"),
    Usual("SELECT order_id, array_join(product_ids, ', ') AS products FROM silver.orders"),
    Usual("SELECT event_id, map_keys(attributes) AS keys FROM silver.events", "UNNEST(map)"),
    Usual("SELECT event_id, transform(tags, x -> upper(x)) AS tags FROM silver.events", "UNNEST"),
    # the latest, the first, lists of values
    Usual(
        "SELECT customer_id, max_by(status, ROW(order_date, order_id)) AS latest FROM silver.orders GROUP BY "
        "customer_id"
    ),
    Usual(
        "SELECT customer_id, max_by(status, order_date) AS latest FROM silver.orders GROUP BY customer_id",
        'compare ROW(<value>, "orders"."order_id")',
    ),
    Usual("SELECT device, min_by(value, seq) AS first FROM silver.readings GROUP BY device"),
    Usual(
        "SELECT customer_id, array_agg(order_id ORDER BY order_date, order_id) AS orders FROM silver.orders "
        "GROUP BY customer_id"
    ),
    Usual(
        "SELECT customer_id, array_agg(order_id) AS orders FROM silver.orders GROUP BY customer_id",
        "array_agg(value ORDER BY ...)",
    ),
    Usual(
        "SELECT category, listagg(name, ', ') WITHIN GROUP (ORDER BY name) AS names FROM silver.products "
        "GROUP BY category"
    ),
    # JSON
    Usual("SELECT event_id, json_extract_scalar(payload, '$.page') AS page FROM silver.events"),
    Usual("SELECT event_id, CAST(json_extract_scalar(payload, '$.ms') AS decimal(10,2)) AS ms FROM silver.events"),
    Usual("SELECT event_id, json_extract_scalar(payload, '$.user.tags[0]') AS tag FROM silver.events"),
    Usual(
        "SELECT event_id, json_extract(payload, '$.ids') AS ids FROM silver.events",
        "json_extract_scalar for each value",
    ),
    # text
    Usual("SELECT lower(trim(email)) AS email, upper(substr(name, 1, 1)) AS initial FROM silver.customers"),
    Usual("SELECT split_part(email, '@', 2) AS domain, count(*) AS n FROM silver.customers GROUP BY 1"),
    Usual("SELECT regexp_extract(url, '^https?://([^/]+)', 1) AS host, count(*) AS n FROM silver.events GROUP BY 1"),
    Usual(
        "SELECT count(*) AS n FROM silver.events WHERE regexp_like(url, '^https://') AND NOT starts_with(url, 'ftp')"
    ),
    Usual(
        "SELECT regexp_replace(name, '\\s+', '_') AS slug, replace(name, ' ', '-') AS dashed FROM silver.customers",
    ),
    Usual(
        "SELECT concat(name, ' <', email, '>') AS shown, name || '!' AS loud, length(name) AS n FROM silver.customers"
    ),
    Usual(
        "SELECT lpad(CAST(stock_level AS varchar), 6, '0') AS code, reverse(name) AS back, strpos(name, 'e') "
        "AS at FROM silver.products"
    ),
    Usual("SELECT to_hex(sha256(to_utf8(lower(email)))) AS hashed FROM silver.customers"),
    Usual("SELECT name FROM silver.customers WHERE name LIKE '%\\_%' ESCAPE '\\' OR name LIKE 'A%'"),
    Usual("SELECT regexp_like(name, '(?=x)') AS ahead FROM silver.customers", "is not the same in both engines"),
    # casts
    Usual(
        "SELECT event_id, TRY_CAST(amount_text AS decimal(10,2)) AS amount, TRY_CAST(amount_text AS bigint) "
        "AS whole FROM silver.events"
    ),
    Usual("SELECT event_id, CAST(score AS decimal(10,3)) AS score FROM silver.events"),
    Usual("SELECT event_id, TRY_CAST(sent AS date) AS day FROM silver.events"),
    Usual("SELECT event_id, TRY(CAST(amount_text AS bigint)) AS whole FROM silver.events", "TRY_CAST"),
    Usual("SELECT CAST(total_amount AS varchar) || ' EUR' AS shown FROM silver.orders"),
    # numbers
    Usual("SELECT greatest(price, 1) AS g, least(price, 100) AS l, coalesce(price, 0) AS c FROM silver.products"),
    Usual(
        "SELECT floor(price) AS f, ceil(price) AS c, round(price, 1) AS r, truncate(price) AS t FROM silver.products"
    ),
    Usual(
        "SELECT mod(stock_level, 7) AS m, stock_level % 7 AS r, sign(stock_level - 10) AS s, abs(stock_level "
        "- 10) AS a FROM silver.products"
    ),
    Usual(
        "SELECT CAST(sqrt(stock_level) AS decimal(10,4)) AS root, CAST(power(stock_level, 2) AS bigint) AS "
        "square FROM silver.products"
    ),
    Usual("SELECT CAST(ln(stock_level) AS decimal(10,4)) AS l FROM silver.products", "last digit"),
    Usual(
        "SELECT product_id, total / nullif(n, 0) AS each FROM (SELECT product_id, price AS total, "
        "stock_level AS n FROM silver.products) AS x"
    ),
    Usual(
        "SELECT CASE WHEN price >= 100 THEN 'high' WHEN price >= 10 THEN 'mid' ELSE 'low' END AS band, "
        "count(*) AS n FROM silver.products GROUP BY 1"
    ),
    Usual("SELECT if(stock_level < 10, 'low', 'fine') AS stock, nullif(category, 'home') AS c FROM silver.products"),
    # calendars
    Usual(
        f"SELECT d AS day, count(o.order_id) AS n FROM UNNEST(sequence(DATE '2026-03-10', DATE '2026-03-16')) AS t (d) "
        f"LEFT JOIN silver.orders AS o ON {_DAY.replace('order_date', 'o.order_date')} = d GROUP BY d"
    ),
    Usual(
        "SELECT month FROM UNNEST(sequence(DATE '2026-01-31', DATE '2026-06-30', INTERVAL '1' MONTH)) AS t (month)",
    ),
    Usual(
        "SELECT c.customer_id, d AS day FROM silver.customers AS c CROSS JOIN UNNEST(sequence(c.since, DATE "
        "'2026-03-03', INTERVAL '1' YEAR)) AS t (d)"
    ),
    Usual(
        "WITH RECURSIVE d (day) AS (SELECT DATE '2026-01-01' UNION ALL SELECT day FROM d) SELECT day FROM d",
        "UNNEST(sequence(...))",
    ),
)
