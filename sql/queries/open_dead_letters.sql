-- How many dead letters of each target are open.
select d.target, count(*) as records
from sync.dead_letter d
where d.closed_on is null
group by d.target
