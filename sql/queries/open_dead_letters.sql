-- How many dead letters of each target are open.
select r.target, count(*) as records
from sync.record r
where r.dead_lettered_on is not null
group by r.target
