SELECT
    CAST(created_at AS DATE) AS day,
    machine_id,
    COUNT(*) AS cycles,
    SUM(amount_in_pennies) AS pennies
FROM silver.machine_transactions
WHERE kind IN ('wash', 'dry') AND machine_id IS NOT NULL
GROUP BY CAST(created_at AS DATE), machine_id
