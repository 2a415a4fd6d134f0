SELECT
    CAST(order_date AS DATE) AS day,
    COALESCE(customer_region, 'none') AS region,
    COUNT(*) FILTER (WHERE status IS NULL OR status <> 'cancelled') AS orders,
    COALESCE(SUM(amount) FILTER (WHERE status IS NULL OR status <> 'cancelled'), 0) AS revenue,
    COUNT(DISTINCT customer_id) AS buyers
FROM silver.orders
GROUP BY CAST(order_date AS DATE), COALESCE(customer_region, 'none')
