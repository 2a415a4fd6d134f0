WITH sums AS (
    SELECT
        user_id,
        CAST(COALESCE(SUM(amount_in_pennies) FILTER (WHERE kind = 'top_up'), 0) AS DECIMAL(30, 4)) AS paid_in,
        CAST(COALESCE(SUM(amount_in_pennies) FILTER (WHERE kind = 'refund'), 0) AS DECIMAL(30, 4)) AS refunded,
        CAST(COALESCE(SUM(amount_in_pennies) FILTER (WHERE kind IN ('wash', 'dry')), 0) AS DECIMAL(30, 4)) AS spent,
        MAX(created_at) AS last_transaction_at
    FROM silver.machine_transactions
    GROUP BY user_id
)
SELECT
    user_id,
    CAST(paid_in / 100 AS DECIMAL(38, 2)) AS paid_in,
    CAST(refunded / 100 AS DECIMAL(38, 2)) AS refunded,
    CAST(spent / 100 AS DECIMAL(38, 2)) AS spent,
    CAST((paid_in + refunded - spent) / 100 AS DECIMAL(38, 2)) AS balance,
    CASE
        WHEN paid_in + refunded < spent THEN 'owes'
        WHEN paid_in + refunded = spent THEN 'empty'
        ELSE 'credit'
    END AS state,
    last_transaction_at
FROM sums
