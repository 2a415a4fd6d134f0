SELECT
    COUNT(*) AS campaigns,
    COUNT_IF(stage = 'reached') AS campaigns_reached,
    COALESCE(SUM(goal), 0) AS goal,
    COALESCE(SUM(raised), 0) AS raised,
    COALESCE(SUM(donations), 0) AS donations
FROM gold.campaign_progress
