-- table: gold.return_rate
-- mode: overwrite
-- description: How much of what is shipped comes back, by department
select
  p.department,
  count(*) as delivered_lines,
  count(*) filter (where o.status = 'returned') as returned_lines,
  cast(
    100.0 * count(*) filter (where o.status = 'returned') / count(*) as decimal(5,2)
  ) as return_percent
from silver.orders o
join silver.products p on p.product = o.product
where o.status in ('shipped', 'returned')
group by p.department
