SELECT
    CAST(o.order_date AS DATE) AS day,
    COALESCE(c.tier, -1) AS tier,
    COUNT(*) AS orders,
    AVG(o.amount) AS average
FROM silver.orders AS o
LEFT JOIN silver.customers AS c ON o.customer_id = c.customer_id
GROUP BY CAST(o.order_date AS DATE), COALESCE(c.tier, -1)
