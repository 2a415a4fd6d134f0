SELECT
    region,
    COUNT(*) AS days,
    SUM(revenue) AS revenue,
    MAX(day) AS latest
FROM gold.daily_sales
GROUP BY region
