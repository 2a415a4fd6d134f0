SELECT
    t.day,
    t.orders,
    (SELECT COUNT(*) FROM silver.orders) AS all_orders
FROM gold.daily_totals AS t
