SELECT
    device,
    current_date AS as_of,
    COUNT(*) AS readings,
    SUM(exact) AS total,
    COUNT(*) FILTER (WHERE seen >= current_date - INTERVAL '1' DAY AND seen < current_date + INTERVAL '1' DAY) AS lately,
    MAX(at) AS newest
FROM silver.readings
GROUP BY device
