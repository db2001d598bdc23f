-- table: gold.reorder_list
-- mode: overwrite
-- description: Products that will be gone before the supplier can deliver
with today as (
  select max(order_day) as day from silver.orders
),
sold as (
  select o.product, sum(o.quantity) as units
  from silver.orders o
  cross join today
  where o.status in ('paid', 'shipped')
    and cast(today.day as int) - cast(o.order_day as int) < 28
  group by o.product
),
held as (
  select reference as product, sum(quantity) as units
  from silver.stock
  group by reference
)
select
  p.product,
  p.name,
  p.supplier,
  p.delivery_days,
  held.units as in_stock,
  sold.units as sold_in_28_days,
  cast(held.units * 28.0 / sold.units as decimal(10,1)) as days_left
from sold
join held on held.product = sold.product
join silver.products p on p.product = sold.product
where held.units * 28.0 / sold.units < p.delivery_days
