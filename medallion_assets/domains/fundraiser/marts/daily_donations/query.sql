-- Only what is paid counts; a pledge counts nowhere until it is.
SELECT
    CAST(donated_at AS DATE) AS day,
    platform,
    COUNT(*) FILTER (WHERE status = 'paid') AS donations,
    COALESCE(SUM(amount) FILTER (WHERE status = 'paid'), 0) AS amount,
    AVG(amount) FILTER (WHERE status = 'paid') AS average,
    COUNT(*) FILTER (WHERE status = 'refunded') AS refunds
FROM silver.donations
GROUP BY CAST(donated_at AS DATE), platform
