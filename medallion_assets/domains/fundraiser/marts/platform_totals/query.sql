SELECT
    platform,
    COUNT(*) AS donations,
    SUM(amount) AS amount,
    COUNT_IF(monthly) AS monthly_donations,
    MAX(donated_at) AS last_donation_at
FROM silver.donations
WHERE status = 'paid'
GROUP BY platform
