SELECT
    day,
    SUM(orders) AS orders,
    SUM(revenue) AS revenue,
    COUNT(*) AS regions
FROM gold.daily_sales
GROUP BY day
