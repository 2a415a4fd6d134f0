SELECT
    CAST(ordered_at AS DATE) AS order_date,
    COUNT(*) AS order_count,
    SUM(amount) AS revenue
FROM silver.orders
GROUP BY CAST(ordered_at AS DATE)
