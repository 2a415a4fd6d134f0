-- Orders that are not cancelled and hold the product, however many pieces: an order counts once per product.
WITH ordered AS (
    SELECT
        o.order_id,
        piece.product_id,
        CAST(o.order_date AS DATE) AS order_day
    FROM silver.orders AS o
    CROSS JOIN UNNEST(o.product_ids) AS piece (product_id)
    WHERE o.status <> 'cancelled'
      AND o.order_date >= current_date - INTERVAL '29' DAY
      AND o.order_date < current_date + INTERVAL '1' DAY
)
SELECT
    p.product_id,
    p.name AS product_name,
    p.category,
    p.price AS current_price,
    p.stock_level AS current_stock,
    CASE WHEN p.stock_level < 10 THEN 'Critical' WHEN p.stock_level < 50 THEN 'Low' ELSE 'Good' END AS stock_status,
    COUNT(DISTINCT CASE WHEN ordered.order_day > current_date - INTERVAL '7' DAY THEN ordered.order_id END) AS orders_7d,
    COUNT(DISTINCT ordered.order_id) AS orders_30d
FROM silver.products AS p
LEFT JOIN ordered ON ordered.product_id = p.product_id
GROUP BY p.product_id, p.name, p.category, p.price, p.stock_level
