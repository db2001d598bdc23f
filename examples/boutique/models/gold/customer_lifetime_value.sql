-- table: gold.customer_lifetime_value
-- mode: overwrite
-- description: What each known customer has spent, and will in a year if nothing changes
with spent as (
  select
    customer,
    min(order_day) as first_day,
    max(order_day) as last_day,
    count(distinct order_id) as orders,
    sum(amount) as revenue
  from silver.orders
  where customer is not null and status in ('paid', 'shipped')
  group by customer
),
span as (
  select min(order_day) as first_day, max(order_day) as last_day from silver.orders
)
select
  spent.customer,
  c.first_name,
  c.last_name,
  c.city,
  c.country,
  spent.first_day,
  spent.last_day,
  spent.orders,
  spent.revenue,
  cast(spent.revenue / spent.orders as decimal(12,2)) as average_order_value,
  cast(
    spent.revenue * 365 / (cast(span.last_day as int) - cast(span.first_day as int) + 1)
    as decimal(14,2)
  ) as value_per_year
from spent
cross join span
left join silver.customers c on c.code = spent.customer
