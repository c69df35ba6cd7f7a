-- The shop, as it is before the day begins. Constraints and indexes come after the rows.
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id integer, name text NOT NULL, email text NOT NULL, city text NOT NULL);
CREATE TABLE shop.products (
    id integer, name text NOT NULL, unit_price numeric(10, 2) NOT NULL, received integer NOT NULL, stock integer);
CREATE TABLE shop.orders (
    id integer, customer_id integer NOT NULL, placed_at timestamptz NOT NULL, status text NOT NULL, note text);
CREATE TABLE shop.order_lines (
    order_id integer, line integer, product_id integer NOT NULL, quantity integer NOT NULL,
    unit_price numeric(10, 2) NOT NULL);
