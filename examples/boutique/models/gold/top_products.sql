-- table: gold.top_products
-- mode: overwrite
-- description: The ten products of each department that earned most
select department, rank, product, name, units, revenue
from (
  select
    p.department,
    row_number() over (partition by p.department order by sum(o.amount) desc, o.product) as rank,
    o.product,
    p.name,
    sum(o.quantity) as units,
    sum(o.amount) as revenue
  from silver.orders o
  join silver.products p on p.product = o.product
  where o.status in ('paid', 'shipped')
  group by p.department, o.product, p.name
) as ranked
where rank <= 10
