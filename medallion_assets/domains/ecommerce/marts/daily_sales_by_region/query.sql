-- A cancelled order counts in cancelled_count and nowhere else. An order whose customer is not known yet is of
-- region 'unknown' and moves to its region when the customer arrives.
SELECT
    CAST(order_date AS DATE) AS order_date,
    COALESCE(customer_region, 'unknown') AS region,
    COUNT(*) FILTER (WHERE status <> 'cancelled') AS order_count,
    COALESCE(SUM(total_amount) FILTER (WHERE status <> 'cancelled'), 0) AS total_revenue,
    AVG(total_amount) FILTER (WHERE status <> 'cancelled') AS avg_order_value,
    COUNT(DISTINCT customer_id) FILTER (WHERE status <> 'cancelled') AS unique_customers,
    COUNT(*) FILTER (WHERE status = 'cancelled') AS cancelled_count
FROM silver.orders
GROUP BY CAST(order_date AS DATE), COALESCE(customer_region, 'unknown')
