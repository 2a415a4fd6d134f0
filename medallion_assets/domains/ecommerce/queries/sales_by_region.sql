SELECT region, SUM(order_count) AS orders, SUM(total_revenue) AS revenue
FROM gold.daily_sales_by_region
WHERE order_date >= :since AND (:region IS NULL OR region = :region)
GROUP BY region
ORDER BY region
