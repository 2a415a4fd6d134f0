SELECT
    day,
    COUNT(*) AS machines,
    SUM(cycles) AS cycles,
    CAST(CAST(SUM(pennies) AS DECIMAL(30, 4)) / 100 AS DECIMAL(38, 2)) AS revenue,
    CAST(CAST(SUM(pennies) AS DECIMAL(30, 4)) / (100 * COUNT(*)) AS DECIMAL(38, 2)) AS revenue_per_machine
FROM gold.daily_machine_revenue
GROUP BY day
