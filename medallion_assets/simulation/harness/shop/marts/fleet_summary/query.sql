SELECT
    as_of,
    COUNT(*) AS devices,
    SUM(readings) AS readings,
    SUM(lately) AS lately
FROM gold.device_summary
GROUP BY as_of
