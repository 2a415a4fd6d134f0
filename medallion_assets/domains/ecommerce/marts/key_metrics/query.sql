-- One row. Cancelled orders and orders dated after today count nowhere. A window of n days ends with today; the
-- window before it has as many days and ends where it begins.
WITH sales AS (
    SELECT
        CAST(order_date AS DATE) AS order_day,
        total_amount
    FROM silver.orders
    WHERE status <> 'cancelled'
      AND order_date >= current_date - INTERVAL '179' DAY
      AND order_date < current_date + INTERVAL '1' DAY
)
SELECT
    current_date AS as_of,
    COUNT(*) FILTER (WHERE order_day = current_date) AS orders_today,
    COUNT(*) FILTER (WHERE order_day = current_date - INTERVAL '1' DAY) AS orders_yesterday,
    COALESCE(SUM(total_amount) FILTER (WHERE order_day = current_date), 0) AS revenue_today,
    COALESCE(SUM(total_amount) FILTER (WHERE order_day = current_date - INTERVAL '1' DAY), 0) AS revenue_yesterday,
    COALESCE(SUM(total_amount) FILTER (WHERE order_day > current_date - INTERVAL '7' DAY), 0) AS revenue_7d,
    COALESCE(SUM(total_amount) FILTER (
        WHERE order_day > current_date - INTERVAL '14' DAY AND order_day <= current_date - INTERVAL '7' DAY
    ), 0) AS revenue_7d_before,
    COALESCE(SUM(total_amount) FILTER (WHERE order_day > current_date - INTERVAL '30' DAY), 0) AS revenue_30d,
    COALESCE(SUM(total_amount) FILTER (
        WHERE order_day > current_date - INTERVAL '60' DAY AND order_day <= current_date - INTERVAL '30' DAY
    ), 0) AS revenue_30d_before,
    COALESCE(SUM(total_amount) FILTER (WHERE order_day > current_date - INTERVAL '90' DAY), 0) AS revenue_90d,
    COALESCE(SUM(total_amount) FILTER (WHERE order_day <= current_date - INTERVAL '90' DAY), 0) AS revenue_90d_before
FROM sales
