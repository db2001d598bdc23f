-- table: gold.rfm_segments
-- mode: overwrite
-- description: Customers by how lately, how often and for how much they buy
with bought as (
  select
    customer,
    max(order_day) as last_day,
    count(distinct order_id) as frequency,
    sum(amount) as monetary
  from silver.orders
  where customer is not null and status in ('paid', 'shipped')
  group by customer
),
today as (
  select max(order_day) as day from silver.orders
),
scored as (
  select
    customer,
    cast(today.day as int) - cast(last_day as int) as recency_days,
    frequency,
    monetary,
    ntile(4) over (order by last_day, customer) as r,
    ntile(4) over (order by frequency, customer) as f,
    ntile(4) over (order by monetary, customer) as m
  from bought
  cross join today
)
select
  customer,
  recency_days,
  frequency,
  monetary,
  r,
  f,
  m,
  case
    when r = 4 and f = 4 and m = 4 then 'champion'
    when r >= 3 and f >= 3 then 'loyal'
    when r >= 3 then 'promising'
    when f >= 3 then 'at risk'
    else 'asleep'
  end as segment
from scored
