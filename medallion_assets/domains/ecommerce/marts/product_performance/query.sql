-- Orders that are not cancelled and hold the product, however many pieces: an order counts once per product.
WITH ordered AS (
    SELECT DISTINCT
        piece.product_id,
        o.order_id,
        CAST(o.order_date AS DATE) AS order_day
    FROM silver.orders AS o
    CROSS JOIN UNNEST(o.product_ids) AS piece (product_id)
    WHERE o.status <> 'cancelled'
      AND o.order_date >= current_date - INTERVAL '29' DAY
      AND o.order_date < current_date + INTERVAL '1' DAY
),
counted AS (
    SELECT
        product_id,
        COUNT_IF(order_day > current_date - INTERVAL '7' DAY) AS orders_7d,
        COUNT(*) AS orders_30d
    FROM ordered
    GROUP BY product_id
)
SELECT
    p.product_id,
    p.name AS product_name,
    p.category,
    p.price AS current_price,
    p.stock_level AS current_stock,
    CASE WHEN p.stock_level < 10 THEN 'Critical' WHEN p.stock_level < 50 THEN 'Low' ELSE 'Good' END AS stock_status,
    COALESCE(counted.orders_7d, 0) AS orders_7d,
    COALESCE(counted.orders_30d, 0) AS orders_30d
FROM silver.products AS p
LEFT JOIN counted ON counted.product_id = p.product_id
