-- orders: every order with its customer, its lines counted and its total, oldest first.
--
-- $1  since   timestamptz  null: from the first one on
-- $2  status  text         null: any
SELECT o.id AS order_id, o.placed_at, o.status, c.name AS customer, c.email, c.city,
       l.lines, l.items, l.total, o.note
FROM shop.orders AS o
JOIN shop.customers AS c ON c.id = o.customer_id
CROSS JOIN LATERAL (
    SELECT count(*) AS lines, sum(quantity) AS items, sum(quantity * unit_price) AS total
    FROM shop.order_lines WHERE order_id = o.id) AS l
WHERE ($1::timestamptz IS NULL OR o.placed_at >= $1)
  AND ($2::text IS NULL OR o.status = $2)
ORDER BY o.id
