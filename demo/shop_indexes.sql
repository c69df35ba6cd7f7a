-- What makes the shop's tasks quick, once the rows are in.
ALTER TABLE shop.customers ADD PRIMARY KEY (id);
ALTER TABLE shop.products ADD PRIMARY KEY (id);
ALTER TABLE shop.orders ADD PRIMARY KEY (id);
ALTER TABLE shop.order_lines ADD PRIMARY KEY (order_id, line);
CREATE INDEX order_lines_product ON shop.order_lines (product_id);
ANALYZE shop.customers, shop.products, shop.orders, shop.order_lines;
