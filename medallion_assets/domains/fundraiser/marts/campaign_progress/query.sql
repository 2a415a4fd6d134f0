WITH raised AS (
    SELECT
        campaign_id,
        SUM(amount) AS raised,
        COUNT(*) AS donations
    FROM silver.donations
    WHERE status = 'paid'
    GROUP BY campaign_id
),
progress AS (
    SELECT
        c.campaign_id,
        c.name,
        c.goal,
        COALESCE(r.raised, 0) AS raised,
        COALESCE(r.donations, 0) AS donations
    FROM silver.campaigns AS c
    LEFT JOIN raised AS r ON r.campaign_id = c.campaign_id
)
SELECT
    campaign_id,
    name,
    goal,
    raised,
    CAST(CAST(raised AS DECIMAL(24, 6)) / goal AS DECIMAL(38, 4)) AS reached,
    donations,
    CASE WHEN raised >= goal THEN 'reached' WHEN raised * 2 >= goal THEN 'half' ELSE 'open' END AS stage
FROM progress
